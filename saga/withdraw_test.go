package saga_test

import (
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/semeltest"
)

// A step whose time is over is withdrawn under every policy, and undone only when
// what is known of it is known. FAULTS 51.
func TestStepTimeout(t *testing.T) {
	for policy := range policies {
		hotel := step("hotel")
		hotel.Timeout = 90 * time.Second
		var trips *saga.Definition[Trip]
		trial(t, three(&trips, policy, steps(step("flight"), hotel, step("pay"))), func(b *bed) {
			b.faults["hotel"] = always(semeltest.Refuse) // for 10 attempts, which take some time
			b.gates["hotel"] = make(chan struct{})       // each waits for 30 s
			v := b.start(trips, "k", Trip{})
			b.phase(v, saga.Compensated)
			if v.Failure.Step != "hotel" || v.Failure.Code != saga.CodeStepTimeout && v.Failure.Code != saga.CodeUnknown {
				b.Errorf("%s: %+v", policy, v.Failure)
			}
			calls := 0
			for _, r := range b.w.Service("hotel").Records() {
				calls += r.Calls
			}
			close(b.gates["hotel"])
			time.Sleep(time.Hour)
			for _, r := range b.w.Service("hotel").Records() {
				calls -= r.Calls
			}
			if calls != 0 {
				b.Errorf("%s: it was called %d times after it was withdrawn", policy, -calls)
			}
			b.books([3]int{1, 0, 0}, [3]int{1, b.w.Service("undo-hotel").Count(), 0})
		})
	}
}

// A doubt is withdrawn, compensated as what may have happened, and then settled
// as not done: it is never called again. FAULTS 51.
func TestTombstone(t *testing.T) {
	for _, happened := range []bool{false, true} {
		hotel := step("hotel")
		hotel.Timeout = time.Hour
		var trips *saga.Definition[Trip]
		trial(t, three(&trips, "ask", steps(step("flight"), hotel, step("pay"))), func(b *bed) {
			b.faults["hotel"] = always(semeltest.LoseCall)
			if happened {
				b.faults["hotel"] = always(semeltest.LoseReply)
			}
			v := b.start(trips, "k", Trip{})
			b.phase(v, saga.Compensated)
			if !strings.Contains(string(v.State), `"hotel":"may_have_happened"`) {
				b.Errorf("%s", v.State)
			}
			b.faults["hotel"] = nil
			n := b.w.Service("hotel").Count()
			for e, err := range b.app.Doubts(b.ctx) {
				if err != nil {
					b.Fatal(err)
				}
				if _, err := b.app.Resolve(b.ctx, e.ID, semel.ResolveNotDone().About(e), "ann"); err != nil {
					b.Fatal(err)
				}
			}
			time.Sleep(2 * time.Hour)
			if got := b.w.Service("hotel").Count(); got != n {
				b.Errorf("it happened %d times, and %d before its doubt was settled", got, n)
			}
			b.phase(b.get(v.ID), saga.Compensated)
		})
	}
}

// No compensation overtakes its action: a call that is under way when the saga is
// cancelled is waited for. FAULTS 51.
func TestCancelWhileCalling(t *testing.T) {
	for policy := range policies {
		var trips *saga.Definition[Trip]
		trial(t, three(&trips, policy, version(1)), func(b *bed) {
			b.gates["hotel"] = make(chan struct{})
			id, err := trips.Start(b.ctx, "k", Trip{})
			if err != nil {
				b.Fatal(err)
			}
			time.Sleep(time.Second)
			for range 2 {
				if p, err := b.g.Cancel(b.ctx, id, "ann", "she stays"); err != nil || p.Ended() {
					b.Fatalf("%s, %v", p, err)
				}
			}
			time.Sleep(time.Second)
			v := b.get(id)
			if !v.Undoing || !v.Steps[1].Do.Waiting || v.Steps[1].Undo.State != saga.Idle || b.w.Service("undo-flight").Count() != 0 {
				b.Errorf("%s: %+v", policy, v)
			}
			close(b.gates["hotel"])
			v = b.wait(id)
			b.phase(v, saga.Cancelled)
			b.books([3]int{1, 1, 0}, [3]int{1, 1, 0})
			if !strings.Contains(string(v.State), `"hotel":"happened"`) || v.Failure.By != "ann" || v.Failure.Detail != "she stays" {
				b.Errorf("%s: %s, %+v", policy, v.State, v.Failure)
			}
			if _, err := b.g.Cancel(b.ctx, id, "bob", ""); err != nil {
				b.Error(err) // it is cancelled already
			}
			_, err = trips.Run(b.ctx, "k", Trip{})
			b.rejected(err, saga.CodeCancelled)
		})
	}
}

// What cannot be withdrawn is waited for, visibly.
func TestOverdue(t *testing.T) {
	var trips *saga.Definition[Trip]
	trial(t, withSeats(&trips, time.Minute), func(b *bed) {
		held := semel.Request{Type: "seats", ID: "aisle", Action: "hold", Key: "h"}
		if _, err := b.app.Do(b.ctx, held); err != nil {
			b.Fatal(err)
		}
		id, err := trips.Start(b.ctx, "k", Trip{})
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		v := b.get(id)
		b.phase(v, saga.Running)
		if d := v.Steps[1].Do; !d.Waiting || d.Key != "" {
			b.Errorf("%+v", d)
		}
		b.alarmed(saga.CodeOverdue)
		if _, err := b.g.Cancel(b.ctx, id, "ann", ""); err != nil {
			b.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		b.phase(b.get(id), saga.Running) // still: the seat may yet be taken
		time.Sleep(time.Hour)
		v = b.wait(id)
		b.phase(v, saga.Cancelled)
		if n := seatsTaken(b); n != 0 {
			b.Errorf("%d seats are taken", n)
		}
	})
}
