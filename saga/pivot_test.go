package saga_test

import (
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/semeltest"
)

// pivoted is a trip whose hotel is its pivot.
func pivoted() saga.Version[Trip] {
	hotel, pay := step("hotel"), step("pay")
	hotel.Undo, hotel.Pivot = nil, true
	pay.Undo, pay.Retry = nil, saga.Retry{Attempts: 3}
	return steps(step("flight"), hotel, pay)
}

// A pivot that did not happen fails the saga, as any step does.
func TestPivotFails(t *testing.T) {
	var trips *saga.Definition[Trip]
	trial(t, three(&trips, "keyed", pivoted()), func(b *bed) {
		v := b.start(trips, "k", Trip{Fail: "hotel"})
		b.phase(v, saga.Compensated)
		b.books([3]int{1, 0, 0}, [3]int{1, 0, 0})
	})
}

// Behind the pivot there is only forward: what is rejected is tried again, and
// then waits for somebody. Nothing is undone.
func TestBehindThePivot(t *testing.T) {
	var trips *saga.Definition[Trip]
	trial(t, three(&trips, "keyed", pivoted()), func(b *bed) {
		b.faults["pay"] = always(semeltest.Refuse)
		v := b.start(trips, "k", Trip{})
		b.phase(v, saga.Parked)
		if v.Undoing || v.Parked.Code != saga.CodeStepFailing || v.Steps[2].Do.Attempts != 3 {
			b.Errorf("%+v", v)
		}
		_, err := b.g.Cancel(b.ctx, v.ID, "ann", "")
		b.rejected(err, saga.CodePastPivot)
		b.faults["pay"] = nil
		if _, err := b.g.Resume(b.ctx, v.ID, "ann"); err != nil {
			b.Fatal(err)
		}
		b.phase(b.wait(v.ID), saga.Completed)
		b.books([3]int{1, 1, 1}, [3]int{})
		b.alarmed(saga.CodeStepFailing)
	})
	trial(t, three(&trips, "keyed", pivoted()), func(b *bed) {
		v := b.start(trips, "k", Trip{Fail: "pay"}) // it says no, again and again
		b.phase(v, saga.Parked)
		if _, err := b.g.Settle(b.ctx, v.ID, saga.Settlement{Step: "pay", Fact: saga.Happened, Who: "ann", Why: "in cash", Reply: []byte(`"by hand"`)}); err != nil {
			b.Fatal(err)
		}
		v = b.wait(v.ID)
		b.phase(v, saga.Completed)
		b.books([3]int{1, 1, 0}, [3]int{})
		if !strings.Contains(string(v.State), `"pay":"by hand"`) {
			b.Errorf("%s", v.State)
		}
	})
}

// A pivot that may have happened: to undo would be as wrong as to go on.
// Somebody looks, and says.
func TestPivotUnknown(t *testing.T) {
	for _, fact := range []saga.Fact{saga.Happened, saga.DidNotHappen} {
		var trips *saga.Definition[Trip]
		trial(t, three(&trips, "once", pivoted()), func(b *bed) {
			b.faults["hotel"] = always(semeltest.LoseReply)
			if fact == saga.DidNotHappen {
				b.faults["hotel"] = always(semeltest.LoseCall)
			}
			v := b.start(trips, "k", Trip{})
			b.phase(v, saga.Parked)
			b.alarmed(saga.CodePivotUnknown)
			_, err := b.g.Cancel(b.ctx, v.ID, "ann", "")
			b.rejected(err, saga.CodePastPivot)
			_, err = b.g.Resume(b.ctx, v.ID, "ann")
			b.rejected(err, saga.CodeNeedsDecision)
			if _, err := b.g.Settle(b.ctx, v.ID, saga.Settlement{Step: "hotel", Fact: fact, Who: "ann"}); err != nil {
				b.Fatal(err)
			}
			v = b.wait(v.ID)
			if fact == saga.Happened {
				b.phase(v, saga.Completed)
				b.books([3]int{1, 1, 1}, [3]int{})
			} else {
				b.phase(v, saga.Compensated)
				b.books([3]int{1, 0, 0}, [3]int{1, 0, 0})
			}
		})
	}
}

// What may have happened behind the pivot is not tried again either.
func TestUnknownBehindThePivot(t *testing.T) {
	var trips *saga.Definition[Trip]
	trial(t, three(&trips, "once", pivoted()), func(b *bed) {
		b.faults["pay"] = always(semeltest.LoseReply)
		v := b.start(trips, "k", Trip{})
		b.phase(v, saga.Parked)
		b.alarmed(saga.CodeUnknown)
		_, err := b.g.Resume(b.ctx, v.ID, "ann")
		b.rejected(err, saga.CodeNeedsDecision)
		b.books([3]int{1, 1, 1}, [3]int{})
		if _, err := b.g.Skip(b.ctx, v.ID, "pay", "ann", ""); err != nil {
			b.Fatal(err)
		}
		b.phase(b.wait(v.ID), saga.Completed)
		b.books([3]int{1, 1, 1}, [3]int{})
	})
}

// A saga whose time is over is undone, but not from the pivot on.
func TestSagaTimeout(t *testing.T) {
	late := pivoted()
	late.Timeout = time.Hour
	for _, name := range services {
		var trips *saga.Definition[Trip]
		trial(t, three(&trips, "keyed", late), func(b *bed) {
			b.faults[name] = always(semeltest.Refuse)
			id, err := trips.Start(b.ctx, "k", Trip{})
			if err != nil {
				b.Fatal(err)
			}
			if name == "pay" {
				v := b.wait(id)
				b.phase(v, saga.Parked)
				time.Sleep(2 * time.Hour)
				b.alarmed(saga.CodeStepFailing, saga.CodeOverdue)
				return
			}
			v := b.wait(id)
			b.phase(v, saga.Compensated)
			b.alarmed()
		})
	}
	slow := version(1)
	slow.Timeout = time.Minute
	var trips *saga.Definition[Trip]
	trial(t, three(&trips, "ask", slow), func(b *bed) {
		b.faults["hotel"] = always(semeltest.LoseReply) // in doubt
		v := b.start(trips, "k", Trip{})
		b.phase(v, saga.Compensated)
		if v.Failure.Code != saga.CodeSagaTimeout || v.Failure.Step != "" || v.Ended.Sub(v.Started) < time.Minute {
			b.Errorf("%+v", v.Failure)
		}
		b.books([3]int{1, 1, 0}, [3]int{1, 1, 0})
	})
}
