package allocation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/allocation"
	"github.com/semel-dev/semel/store/mem"
)

// The pool does what a map would, through repetitions, time, restarts, and
// crashes with calls in flight.
func TestModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// rapid would ask a *testing.T for its deadline, which has no meaning here.
		rapid.Check(struct{ *testing.T }{t}, func(t *rapid.T) {
			m := &machine{disk: mem.New(), held: make(map[string]allocation.Reservation)}
			m.app, m.pools = open(t, m.disk)
			defer func() { closeApp(t, m.app) }()
			m.settle(t, m.request(t))
			t.Repeat(map[string]func(*rapid.T){
				"call":  func(t *rapid.T) { m.settle(t, m.request(t)) },
				"batch": func(t *rapid.T) { m.settle(t, m.requests(t)...) },
				"again": m.again,
				"time": func(t *rapid.T) {
					time.Sleep(time.Duration(rapid.IntRange(1, 40).Draw(t, "tenths")) * 100 * time.Millisecond)
				},
				"crash":  m.crash,
				"reopen": func(t *rapid.T) { m.reopen(t) },
				"":       m.check,
			})
		})
	})
}

// near is how far the clock of the steps may be from ours: after a start it is
// ahead, since it never goes back; and it goes on between the first attempt of a
// batch and its end after a crash. No reservation falls due so close to a call.
const near = 200 * time.Millisecond

// machine is the pool "p" beside what it should be.
type machine struct {
	disk  *mem.Disk
	app   *semel.App
	pools *allocation.Pools

	capacity, free int64
	held           map[string]allocation.Reservation
	ids            []string // all that ever were
	calls          []semel.Request
	answers        []string // to the calls
}

// request draws a call.
func (m *machine) request(t *rapid.T) semel.Request {
	key := semel.Key(fmt.Sprint("k", len(m.calls)))
	m.calls = append(m.calls, semel.Request{})
	r := &m.calls[len(m.calls)-1]
	held := allocation.Held{Reservation: "none"}
	if len(m.ids) > 0 {
		held.Reservation = rapid.SampledFrom(m.ids).Draw(t, "id")
	}
	switch rapid.SampledFrom([]string{"configure", "reserve", "reserve", "reserve", "confirm", "release"}).Draw(t, "action") {
	case "configure":
		*r = m.pools.Configure.Request("p", allocation.Configure{Capacity: rapid.Int64Range(-1, 20).Draw(t, "capacity")}, key)
	case "reserve":
		*r = m.pools.Reserve.Request("p", allocation.Reserve{
			Units:  rapid.Int64Range(0, 8).Draw(t, "units"),
			Holder: rapid.SampledFrom([]string{"a", `","confirmed":`, `}},"x":{`, `\"<é`}).Draw(t, "holder"),
			TTL:    rapid.SampledFrom([]string{"1s", "2s", "5s", ""}).Draw(t, "ttl"),
		}, key)
	case "confirm":
		*r = m.pools.Confirm.Request("p", held, key)
	case "release":
		*r = m.pools.Release.Request("p", held, key)
	}
	return *r
}

func (m *machine) requests(t *rapid.T) (all []semel.Request) {
	for range rapid.IntRange(1, 6).Draw(t, "calls") {
		all = append(all, m.request(t))
	}
	return all
}

// quiet waits until no reservation falls due now.
func (m *machine) quiet() {
	for m.due() {
		time.Sleep(near)
	}
	synctest.Wait()
	for id, r := range m.held {
		if !r.Confirmed && r.Expires.Before(time.Now()) {
			m.free += r.Units
			delete(m.held, id)
		}
	}
}

func (m *machine) due() bool {
	for _, r := range m.held {
		if !r.Confirmed && time.Until(r.Expires).Abs() <= 2*near {
			return true
		}
	}
	return false
}

// settle makes the calls, which are the last of m.calls, and compares.
func (m *machine) settle(t *rapid.T, calls ...semel.Request) {
	m.quiet()
	m.compare(t, calls)
}

func (m *machine) compare(t *rapid.T, calls []semel.Request) {
	var reserved []string
	for i, a := range m.app.CallAll(context.Background(), calls) {
		got := describe(a)
		want, id := m.expect(t, calls[i], a)
		if id != "" {
			reserved = append(reserved, id)
		}
		if got != want {
			t.Fatalf("%s %s was answered %s, want %s", calls[i].Action, calls[i].Body, got, want)
		}
		m.answers = append(m.answers, got)
	}
	if len(reserved) == 0 {
		return
	}
	p := get(t, m.pools, "p")
	for _, id := range reserved {
		one, ok := p.Reservations.Get(id)
		r := m.held[id]
		if late := one.Expires.Sub(r.Expires); !ok || late.Abs() > near {
			t.Fatalf("%s expires at %v, not at %v", id, one.Expires, r.Expires)
		}
		r.Expires = one.Expires
		m.held[id] = r
	}
}

// expect takes a call in the model. The id of a reservation, which no model
// can know, is the answer's.
func (m *machine) expect(t *rapid.T, r semel.Request, a semel.Answer) (answer, reserved string) {
	var in struct {
		allocation.Configure
		allocation.Reserve
		allocation.Held
	}
	if err := json.Unmarshal(r.Body, &in); err != nil {
		t.Fatal(err)
	}
	one, known := m.held[in.Reservation]
	switch {
	case r.Action == "configure" && in.Capacity < 0:
		return "invalid_capacity", ""
	case r.Action == "configure" && in.Capacity < m.capacity-m.free:
		return "capacity_in_use", ""
	case r.Action == "configure":
		m.capacity, m.free = in.Capacity, in.Capacity-m.capacity+m.free
		return fmt.Sprintf(`{"capacity":%d,"free":%d}`, m.capacity, m.free), ""
	case r.Action == "reserve" && in.Units == 0:
		return "invalid_units", ""
	case r.Action == "reserve" && in.Units > m.free:
		return "insufficient_capacity", ""
	case r.Action == "reserve":
		reply, err := m.pools.Reserve.Reply(a)
		if err != nil || slices.Contains(m.ids, reply.Reservation) {
			t.Fatalf("%s: %+v, %v", r.Body, reply, err)
		}
		ttl, err := time.ParseDuration(in.TTL)
		if err != nil {
			ttl = allocation.DefaultTTL
		}
		in.Reservation = reply.Reservation
		m.ids = append(m.ids, in.Reservation)
		one = allocation.Reservation{Units: in.Units, Holder: in.Holder, Expires: time.Now().Add(ttl)}
		m.held[in.Reservation] = one
		m.free -= one.Units
		reserved = in.Reservation
	case !known:
		return "unknown_reservation", ""
	case r.Action == "confirm":
		one.Confirmed = true
		m.held[in.Reservation] = one
	case r.Action == "release":
		m.free += one.Units
		delete(m.held, in.Reservation)
	}
	return fmt.Sprintf(`{"reservation":%q,"units":%d,"free":%d}`, in.Reservation, one.Units, m.free), reserved
}

// again repeats a call: it is answered as at first.
func (m *machine) again(t *rapid.T) {
	i := rapid.IntRange(0, len(m.calls)-1).Draw(t, "call")
	a := m.app.CallAll(context.Background(), m.calls[i:i+1])[0]
	if got := describe(a); got != m.answers[i] || !a.Replayed {
		t.Fatalf("%s %s was answered %s, at first %s", m.calls[i].Action, m.calls[i].Body, got, m.answers[i])
	}
}

// crash loses the power while calls are in flight; they are repeated.
func (m *machine) crash(t *rapid.T) {
	calls := m.requests(t)
	m.quiet()
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.app.CallAll(context.Background(), calls)
	}()
	if rapid.Bool().Draw(t, "answered") {
		<-done
	}
	m.disk.Crash(rapid.IntRange(0, 3).Draw(t, "kept"))
	// A shard without its disk answers nobody: who waits is told when Close
	// gives up, which is at once.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.app.Close(ctx)
	<-done
	m.reopen(t)
	m.compare(t, calls)
}

func (m *machine) reopen(t *rapid.T) {
	if err := m.app.Close(context.Background()); err != nil && !errors.Is(err, mem.ErrCrashed) && !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v", err)
	}
	time.Sleep(near / 2) // or the clocks of many starts in a row would run ahead, each of the one before
	m.app, m.pools = open(t, m.disk)
	if err := m.app.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// check compares the states.
func (m *machine) check(t *rapid.T) {
	m.quiet()
	p := allocation.Pool{}
	if _, _, err := m.pools.Get(context.Background(), "p"); err == nil {
		p = get(t, m.pools, "p") // it exists as soon as a step stands
	}
	if p.Capacity != m.capacity || p.Free != m.free || p.Reservations.Len() != len(m.held) {
		t.Fatalf("%d of %d are free with %d reservations, want %d of %d with %d",
			p.Free, p.Capacity, p.Reservations.Len(), m.free, m.capacity, len(m.held))
	}
	for id, want := range m.held {
		got, ok := p.Reservations.Get(id)
		if !ok || got.Units != want.Units || got.Holder != want.Holder || got.Confirmed != want.Confirmed || !got.Confirmed && !got.Expires.Equal(want.Expires) {
			t.Fatalf("%s is %+v, want %+v", id, got, want)
		}
	}
}

// describe is an answer without the text for people.
func describe(a semel.Answer) string {
	if a.Err != nil {
		return code(a.Err)
	}
	return string(a.Reply)
}
