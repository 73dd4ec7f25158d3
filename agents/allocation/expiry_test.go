package allocation_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/allocation"
	"github.com/semel-dev/semel/store/mem"
)

// The tests of time run in a bubble (testing/synctest), whose clock goes on
// only when everything waits: a sleep there is a step of the clock, and takes
// no time.

func reserve(t failer, pools *allocation.Pools, key string, units int64, ttl string) string {
	t.Helper()
	r, err := call(pools.Reserve, allocation.Reserve{Units: units, Holder: "job " + key, TTL: ttl}, key)
	if err != nil {
		t.Fatal(err)
	}
	return r.Reservation
}

func TestExpiryFreesOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := mem.New()
		app, pools := open(t, disk)
		defer func() { closeApp(t, app) }()
		configure(t, pools, 10)
		expire := func(id, key string) {
			if _, err := app.Do(t.Context(), semel.Request{Type: "pool", ID: "p", Action: "expire", Key: key, Body: fmt.Appendf(nil, `{"reservation":%q}`, id)}); err != nil {
				t.Error(err)
			}
		}
		free := func(want int64) {
			t.Helper()
			synctest.Wait()
			if p := get(t, pools, "p"); p.Free != want {
				t.Errorf("%d are free, want %d", p.Free, want)
			}
		}
		one, two, kept := reserve(t, pools, "1", 1, "1s"), reserve(t, pools, "2", 2, "2s"), reserve(t, pools, "3", 4, "1s")
		if _, err := call(pools.Confirm, allocation.Held{Reservation: kept}, "confirm"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second - time.Millisecond)
		expire(one, "early")
		free(3)
		time.Sleep(2 * time.Millisecond)
		free(4)
		expire(one, "late")
		expire(kept, "confirmed")
		for _, act := range []*semel.Action[allocation.Held, allocation.Reserved]{pools.Confirm, pools.Release} {
			if _, err := call(act, allocation.Held{Reservation: one}, act.String()); code(err) != "unknown_reservation" {
				t.Error(err)
			}
		}
		free(4)
		// The second falls due while nobody runs.
		closeApp(t, app)
		time.Sleep(time.Hour)
		app, pools = open(t, disk)
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // a step of the bubble's clock: what is due is looked for
		free(6)
		expire(two, "two")
		free(6)
		if _, err := call(pools.Release, allocation.Held{Reservation: kept}, "release"); err != nil {
			t.Error(err)
		}
		free(10)
	})
}

// Confirmations at the very moment of the expiry, before and after: each
// reservation is either confirmed and stays, or refused and freed.
func TestExpiryRacesConfirm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app, pools := open(t, mem.New())
		defer closeApp(t, app)
		const n = 300
		configure(t, pools, n)
		var wg sync.WaitGroup
		var errs [n]error
		for i := range n {
			id := reserve(t, pools, fmt.Sprint(i), 1, "1s")
			wg.Go(func() {
				time.Sleep(time.Second + time.Duration(i%3-1)*time.Millisecond)
				if i%2 == 0 {
					_, errs[i] = call(pools.Confirm, allocation.Held{Reservation: id}, "c"+id)
				} else {
					_, errs[i] = call(pools.Release, allocation.Held{Reservation: id}, "r"+id)
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		confirmed := 0
		for i, err := range errs {
			switch {
			case err == nil && i%2 == 0:
				confirmed++
			case err != nil && code(err) != "unknown_reservation":
				t.Error(err)
			case (err == nil) != (i%3 == 0): // those that came a millisecond before
				t.Errorf("%d: %v", i, err)
			}
		}
		p := get(t, pools, "p")
		if p.Free != int64(n-confirmed) || p.Reservations.Len() != confirmed || confirmed != n/6 {
			t.Errorf("%d of %d are free after %d were confirmed", p.Free, n, confirmed)
		}
	})
}

// The timer's message waits, and what was asked meanwhile finds a reservation
// that is over, although its units are not free yet.
func TestLateTimer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app, pools := open(t, mem.New())
		defer closeApp(t, app)
		type none = struct{}
		hold := semel.On(pools.Agent, "hold", func(_ *allocation.Pool, s *semel.Step, _ none) (none, error) {
			s.Hold("token", time.Hour)
			return none{}, nil
		})
		unhold := semel.On(pools.Agent, "unhold", func(_ *allocation.Pool, s *semel.Step, _ none) (none, error) {
			s.Release()
			return none{}, nil
		})
		configure(t, pools, 10)
		late, confirmed := reserve(t, pools, "1", 1, "1s"), reserve(t, pools, "2", 2, "2s")
		if _, err := call(hold, none{}, "hold"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond)
		for _, act := range []*semel.Action[allocation.Held, allocation.Reserved]{pools.Confirm, pools.Release} {
			if _, err := call(act, allocation.Held{Reservation: late}, act.String(), semel.Token("token")); code(err) != "unknown_reservation" {
				t.Error(err)
			}
		}
		if _, err := call(pools.Confirm, allocation.Held{Reservation: confirmed}, "confirm", semel.Token("token")); err != nil {
			t.Error(err)
		}
		if p := get(t, pools, "p"); p.Free != 7 {
			t.Errorf("%d are free", p.Free)
		}
		time.Sleep(1500 * time.Millisecond)
		if _, err := call(unhold, none{}, "unhold", semel.Token("token")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if p := get(t, pools, "p"); p.Free != 8 {
			t.Errorf("%d are free", p.Free)
		}
	})
}

// The key of a reservation that stands is used again when its outcome was
// forgotten: that is another reservation, with another id.
func TestKeyAfterItsRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app, err := semel.Open(t.Context(), mem.New(), &semel.Config{Retention: time.Minute, MaxClockJump: 1000 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		pools := allocation.Register(app)
		defer closeApp(t, app)
		configure(t, pools, 10)
		first := reserve(t, pools, "again", 1, "")
		if _, err := call(pools.Confirm, allocation.Held{Reservation: first}, "confirm"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if second := reserve(t, pools, "again", 1, ""); second == first {
			t.Errorf("both are %s", first)
		}
		if p := get(t, pools, "p"); p.Free != 8 || p.Reservations.Len() != 2 {
			t.Errorf("%d are free with %d reservations", p.Free, p.Reservations.Len())
		}
	})
}

// However many ask at once, no more is given than there is.
func TestConcurrentReserves(t *testing.T) {
	t.Parallel()
	app, pools := open(t, mem.New())
	defer closeApp(t, app)
	const capacity, callers, each = 100, 32, 20
	configure(t, pools, capacity)
	var wg sync.WaitGroup
	var taken [callers]int64
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				units := int64(1 + (c+i)%3)
				r, err := call(pools.Reserve, allocation.Reserve{Units: units, Holder: "x"}, fmt.Sprint(c, " ", i))
				switch {
				case err == nil:
					if taken[c] += units; r.Free < 0 {
						t.Error(r)
					}
				case code(err) != "insufficient_capacity":
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	sum := int64(0)
	for _, n := range taken {
		sum += n
	}
	if p := get(t, pools, "p"); sum != capacity || p.Free != 0 {
		t.Errorf("%d of %d were given, %d are free", sum, capacity, p.Free)
	}
}
