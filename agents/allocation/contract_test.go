package allocation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/allocation"
	"github.com/semel-dev/semel/store/mem"
)

// In bodies and replies, $a stands for the first reservation, and so on.
func TestContract(t *testing.T) {
	t.Parallel()
	app, pools := open(t, mem.New())
	defer closeApp(t, app)
	most := fmt.Sprint(math.MaxInt64)
	var ids []string
	fill := func(s string) string {
		for i, id := range ids {
			s = strings.ReplaceAll(s, fmt.Sprintf("$%c", 'a'+i), id)
		}
		return s
	}
	for i, c := range []struct{ action, body, reply, code string }{
		{"reserve", `{"units":1,"holder":"x"}`, "", "insufficient_capacity"}, // not configured
		{"configure", `{"capacity":-1}`, "", "invalid_capacity"},
		{"configure", `{"capacity":10}`, `{"capacity":10,"free":10}`, ""},
		{"reserve", `{"units":4,"holder":"job-1","ttl":"10m"}`, `{"reservation":"$a","units":4,"free":6}`, ""},
		{"reserve", `{"units":6,"holder":"job-2"}`, `{"reservation":"$b","units":6,"free":0}`, ""},
		{"reserve", `{"units":1,"holder":"job-3"}`, "", "insufficient_capacity"},
		{"reserve", `{"units":` + most + `,"holder":"job-3"}`, "", "insufficient_capacity"},
		{"reserve", `{"units":0,"holder":"job-3"}`, "", "invalid_units"},
		{"reserve", `{"units":-1,"holder":"job-3"}`, "", "invalid_units"},
		{"reserve", `null`, "", "invalid_units"},
		{"reserve", `{"units":1}`, "", "invalid_holder"},
		{"reserve", `{"units":1,"holder":"a\u0000"}`, "", "invalid_holder"},
		{"reserve", `{"units":1,"holder":"` + strings.Repeat("x", allocation.MaxHolder+1) + `"}`, "", "invalid_holder"},
		{"reserve", `{"units":1,"holder":"x","ttl":"soon"}`, "", "invalid_ttl"},
		{"reserve", `{"units":1,"holder":"x","ttl":"10"}`, "", "invalid_ttl"},
		{"reserve", `{"units":1,"holder":"x","ttl":"0s"}`, "", "invalid_ttl"},
		{"reserve", `{"units":1,"holder":"x","ttl":"-1s"}`, "", "invalid_ttl"},
		{"reserve", `{"units":1,"holder":"x","ttl":"24h1ns"}`, "", "invalid_ttl"},
		{"reserve", `{"units":1,"holder":"x","ttl":"` + strings.Repeat("9", 100_000) + `"}`, "", "invalid_ttl"},
		{"configure", `{"capacity":9}`, "", "capacity_in_use"},
		{"configure", `{"capacity":12}`, `{"capacity":12,"free":2}`, ""},
		{"configure", `{"capacity":10}`, `{"capacity":10,"free":0}`, ""},
		{"confirm", `{"reservation":"$a"}`, `{"reservation":"$a","units":4,"free":0}`, ""},
		{"confirm", `{"reservation":"$a"}`, `{"reservation":"$a","units":4,"free":0}`, ""}, // another key
		{"confirm", `{"reservation":"no"}`, "", "unknown_reservation"},
		{"confirm", `{"reservation":"` + strings.Repeat("a", 100_000) + `"}`, "", "unknown_reservation"},
		{"confirm", `{"reservation":"units"}`, "", "unknown_reservation"},
		{"confirm", `null`, "", "unknown_reservation"},
		{"release", `null`, "", "unknown_reservation"},
		{"expire", `null`, `null`, ""},
		{"expire", `{"reservation":"$b"}`, `null`, ""}, // not before its time
		{"expire", `{"reservation":"$a"}`, `null`, ""}, // confirmed
		{"release", `{"reservation":"$b"}`, `{"reservation":"$b","units":6,"free":6}`, ""},
		{"release", `{"reservation":"$b"}`, "", "unknown_reservation"},
		{"confirm", `{"reservation":"$b"}`, "", "unknown_reservation"},
		{"reserve", `{"units":1,"holder":"<\"\\é>","ttl":"24h"}`, `{"reservation":"$c","units":1,"free":5}`, ""},
		{"release", `{"reservation":"$c"}`, `{"reservation":"$c","units":1,"free":6}`, ""},
	} {
		for range 2 {
			o, err := app.Do(t.Context(), semel.Request{Type: "pool", ID: "p", Action: c.action, Key: fmt.Sprint(i), Body: []byte(fill(c.body))})
			if r := new(allocation.Reserved); err == nil && c.action == "reserve" && !o.Replayed && json.Unmarshal(o.Reply, r) == nil {
				ids = append(ids, r.Reservation)
			}
			reply := string(o.Reply)
			if c.code != code(err) || c.code == "" && reply != fill(c.reply) {
				t.Errorf("%s %.80s: %s, %v", c.action, c.body, reply, err)
			}
		}
		if p, _, err := pools.Get(t.Context(), "p"); err == nil && p.Capacity > 0 {
			get(t, pools, "p")
		}
	}
	state, _, err := app.State(t.Context(), pools.Name("p"))
	if want := fill(`{"capacity":10,"free":6,"reservations":{"$a":{"units":4,"holder":"job-1","confirmed":true}}}`); err != nil || string(state) != want {
		t.Errorf("%s, %v", state, err)
	}
	if !regexp.MustCompile(`^[0-9a-f]{1,16}-[0-9a-f]{12}$`).MatchString(ids[0]) {
		t.Errorf("the id %q", ids[0])
	}
}

// A pool that nobody configured has no state but its zero value, and a deleted
// one has forgotten its reservations and their timers.
func TestDeletion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app, pools := open(t, mem.New())
		defer closeApp(t, app)
		configure(t, pools, 10)
		r, err := pools.Reserve.Call(t.Context(), "p", allocation.Reserve{Units: 4, Holder: "x", TTL: "1s"}, semel.Key("r"))
		if err != nil {
			t.Fatal(err)
		}
		if err := pools.Delete(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		configure2 := allocation.Configure{Capacity: 3}
		if c, err := pools.Configure.Call(t.Context(), "p", configure2, semel.Key("again")); err != nil || c.Free != 3 {
			t.Errorf("%+v, %v", c, err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if p := get(t, pools, "p"); p.Free != 3 {
			t.Errorf("free %d", p.Free)
		}
		for _, act := range []*semel.Action[allocation.Held, allocation.Reserved]{pools.Confirm, pools.Release} {
			if _, err := act.Call(t.Context(), "p", allocation.Held{Reservation: r.Reservation}, semel.Key(act.String())); code(err) != "unknown_reservation" {
				t.Error(err)
			}
		}
	})
}

// The pool is full before its state is; and nothing but reserve makes it larger.
func TestTooManyReservations(t *testing.T) {
	t.Parallel()
	app, pools := open(t, mem.New())
	defer closeApp(t, app)
	configure(t, pools, math.MaxInt64)
	const n = 3000
	var requests []semel.Request
	for i := range n {
		in := allocation.Reserve{Units: 1, Holder: strings.Repeat("x", allocation.MaxHolder), TTL: "24h"}
		requests = append(requests, pools.Reserve.Request("p", in, semel.Key(fmt.Sprint(i))))
	}
	var held []semel.Request
	refused := 0
	for _, a := range app.CallAll(t.Context(), requests) {
		r, err := pools.Reserve.Reply(a)
		switch {
		case code(err) == "too_many_reservations":
			refused++
		case err != nil || refused > 0:
			t.Fatalf("%+v, %v, after %d were refused", r, err, refused)
		default:
			held = append(held, pools.Confirm.Request("p", allocation.Held{Reservation: r.Reservation}, semel.Key("c"+r.Reservation)))
		}
	}
	if len(held) < 2950 || refused == 0 {
		t.Errorf("%d reservations fit; the documentation says 2,960", len(held))
	}
	state, _, err := app.State(t.Context(), pools.Name("p"))
	if err != nil || len(state) > allocation.MaxState || len(state) < allocation.MaxState-1000 {
		t.Errorf("%d bytes, %v", len(state), err)
	}
	for _, a := range app.CallAll(t.Context(), held) {
		if a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	if p := get(t, pools, "p"); p.Reservations.Len() != len(held) {
		t.Errorf("%d reservations of %d", p.Reservations.Len(), len(held))
	}
}

func configure(t failer, pools *allocation.Pools, capacity int64) {
	t.Helper()
	if _, err := pools.Configure.Call(context.Background(), "p", allocation.Configure{Capacity: capacity}, semel.Key("configure")); err != nil {
		t.Fatal(err)
	}
}

func Example() {
	ctx := context.Background()
	app, _ := semel.Open(ctx, mem.New(), nil)
	defer app.Close(ctx)
	pools := allocation.Register(app)

	_, _ = pools.Configure.Call(ctx, "gpus", allocation.Configure{Capacity: 8}, semel.Key("setup"))
	r, err := pools.Reserve.Call(ctx, "gpus", allocation.Reserve{Units: 6, Holder: "job-1", TTL: "10m"}, semel.Key("job-1"))
	fmt.Println(r.Units, r.Free, err)
	_, err = pools.Reserve.Call(ctx, "gpus", allocation.Reserve{Units: 3, Holder: "job-2"}, semel.Key("job-2"))
	fmt.Println(err)
	var no *semel.Rejection
	fmt.Println(errors.As(err, &no) && no.Code == allocation.CodeInsufficientCapacity)
	r, err = pools.Confirm.Call(ctx, "gpus", allocation.Held{Reservation: r.Reservation}, semel.Key("job-1 began"))
	fmt.Println(r.Units, r.Free, err)
	r, err = pools.Release.Call(ctx, "gpus", allocation.Held{Reservation: r.Reservation}, semel.Key("job-1 ended"))
	fmt.Println(r.Units, r.Free, err)
	// Output:
	// 6 2 <nil>
	// semel: reserve of pool/gpus: rejected (insufficient_capacity): 2 units are free, less than 3
	// true
	// 6 2 <nil>
	// 6 8 <nil>
}
