package saga_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/semeltest"
)

// A step that is not done is tried again, each time as another effect, with waits
// that grow; a rejection is final.
func TestRetry(t *testing.T) {
	hotel := step("hotel")
	hotel.Retry = saga.Retry{Attempts: 4, Base: time.Minute}
	var trips *saga.Definition[Trip]
	trial(t, three(&trips, "keyed", steps(step("flight"), hotel, step("pay"))), func(b *bed) {
		var calls atomic.Int32
		b.faults["hotel"] = func(semeltest.Record) semeltest.Fault {
			if calls.Add(1) <= 30 { // 10 of each effect
				return semeltest.Refuse
			}
			return semeltest.NoFault
		}
		v := b.start(trips, "k", Trip{})
		b.phase(v, saga.Completed)
		b.books([3]int{1, 1, 1}, [3]int{})
		if d := v.Steps[1].Do; d.Attempts != 4 {
			b.Errorf("%+v", d)
		}
		if d := v.Ended.Sub(v.Started); d < 90*time.Second || d > 4*time.Minute {
			b.Errorf("it took %v, and three waits of half a minute to one were to be in between", d) // Max is Base
		}
		if n := len(b.w.Service("hotel").Records()); n != 4 {
			b.Errorf("%d effects", n)
		}
	})
}

// What may have happened is never tried again, however many tries there are: it
// is compensated, and the compensation is told. FAULTS 50.
func TestUnknownIsNotTriedAgain(t *testing.T) {
	for fault, happened := range map[semeltest.Fault]int{semeltest.LoseReply: 1, semeltest.LoseCall: 0} {
		hotel := step("hotel")
		hotel.Retry.Attempts = 5
		var trips *saga.Definition[Trip]
		trial(t, three(&trips, "once", steps(step("flight"), hotel, step("pay"))), func(b *bed) {
			b.faults["hotel"] = always(fault)
			v := b.start(trips, "k", Trip{})
			b.phase(v, saga.Compensated)
			b.books([3]int{1, happened, 0}, [3]int{1, 1, 0})
			if !strings.Contains(string(v.State), `"undone":{"flight":"happened","hotel":"may_have_happened"}`) || v.Failure.Code != saga.CodeUnknown {
				b.Errorf("%s, %+v", v.State, v.Failure)
			}
		})
	}
}

// What did not happen is not undone, unless its step says so.
func TestDidNotHappen(t *testing.T) {
	for _, always := range []bool{false, true} {
		pay := step("pay")
		pay.UndoAlways = always
		var trips *saga.Definition[Trip]
		trial(t, three(&trips, "keyed", steps(step("flight"), step("hotel"), pay)), func(b *bed) {
			v := b.start(trips, "k", Trip{Fail: "pay"})
			b.phase(v, saga.Compensated)
			told := strings.Contains(string(v.State), `"pay":"did_not_happen"`)
			if n := b.w.Service("undo-pay").Count(); told != always || (n == 1) != always {
				b.Errorf("always %t: %s, undone %d times", always, v.State, n)
			}
		})
	}
}

// A compensation that keeps failing parks the saga, with an alarm: it neither
// loops for ever nor gives up silently. Resumed, it goes on. FAULTS 49.
func TestCompensationFails(t *testing.T) {
	hotel := step("hotel")
	hotel.UndoRetry.Attempts = 3
	var trips *saga.Definition[Trip]
	trial(t, three(&trips, "keyed", steps(step("flight"), hotel, step("pay"))), func(b *bed) {
		broken := true
		b.undo = func(r refund) error {
			if broken && r.Receipt == "receipt of hotel" {
				return semel.Reject("closed", "the desk is closed")
			}
			return nil
		}
		v := b.start(trips, "k", Trip{Fail: "pay"})
		b.phase(v, saga.Parked)
		if !v.Undoing || v.Parked.Code != saga.CodeUndoFailing || v.Parked.Step != "hotel" || v.Steps[1].Undo.Attempts != 3 {
			b.Errorf("%+v", v)
		}
		b.books([3]int{1, 1, 0}, [3]int{0, 0, 0})
		b.alarmed(saga.CodeUndoFailing)
		time.Sleep(12 * time.Hour) // it waits as long as it takes
		v = b.get(v.ID)
		b.phase(v, saga.Parked)
		if _, err := b.g.Resume(b.ctx, v.ID, "ann"); err != nil { // and is broken still
			b.Fatal(err)
		}
		v = b.wait(v.ID)
		b.phase(v, saga.Parked)
		b.alarmed(saga.CodeUndoFailing, saga.CodeUndoFailing)
		broken = false
		for range 2 { // twice is once, or comes after the end
			var ended *semel.Rejection
			if _, err := b.g.Resume(b.ctx, v.ID, "ann"); err != nil && !(errors.As(err, &ended) && ended.Code == saga.CodeEnded) {
				b.Fatal(err)
			}
		}
		v = b.wait(v.ID)
		b.phase(v, saga.Compensated)
		b.books([3]int{1, 1, 0}, [3]int{1, 1, 0})
		if n := b.g.Alarms()[saga.CodeUndoFailing]; n != 2 {
			b.Errorf("%d alarms", n)
		}
		_, err := trips.Run(b.ctx, "k", Trip{Fail: "pay"})
		b.rejected(err, "no_pay") // who started it is told, though an operator ended it
	})
}

// An operator who undid a step by hand says so, and that is recorded.
func TestSkip(t *testing.T) {
	hotel := step("hotel")
	hotel.UndoRetry.Attempts = 1
	var trips *saga.Definition[Trip]
	trial(t, three(&trips, "keyed", steps(step("flight"), hotel, step("pay"))), func(b *bed) {
		b.undo = func(r refund) error {
			if r.Receipt == "receipt of hotel" {
				return semel.Reject("closed", "the desk is closed")
			}
			return nil
		}
		v := b.start(trips, "k", Trip{Fail: "pay"})
		b.phase(v, saga.Parked)
		_, err := b.g.Skip(b.ctx, v.ID, "flight", "ann", "")
		b.rejected(err, saga.CodeNotOpen)
		_, err = b.g.Skip(b.ctx, v.ID, "car", "ann", "")
		b.rejected(err, saga.CodeUnknownStep)
		for range 2 {
			if _, err := b.g.Skip(b.ctx, v.ID, "hotel", "ann", "by telephone"); err != nil && b.get(v.ID).Phase == saga.Parked {
				b.Fatal(err)
			}
		}
		v = b.wait(v.ID)
		b.phase(v, saga.Compensated)
		b.books([3]int{1, 1, 0}, [3]int{1, 0, 0})
		if u := v.Steps[1].Undo; u.By != "ann" || u.Why != "by telephone" {
			b.Errorf("%+v", u)
		}
		_, err = b.g.Skip(b.ctx, v.ID, "hotel", "ann", "")
		b.rejected(err, saga.CodeEnded)
	})
}

// A compensation that may have happened is not repeated blindly: somebody says
// what is the case.
func TestCompensationUnknown(t *testing.T) {
	for _, fact := range []saga.Fact{saga.Happened, saga.DidNotHappen} {
		var trips *saga.Definition[Trip]
		trial(t, func(b *bed) {
			outside(b.app, b.w, "keyed", &b.weather)
			s := b.w.Service("refunds")
			s.Faults(b.fault("refunds"))
			semel.NewEffect(b.app, "refund", semeltest.Effect(s, func(int) (string, error) { return "", nil }), semel.AtMostOnce)
			flight := step("flight")
			flight.Undo = saga.UndoEffect(semel.EffectTo[int, string]("refund"), func(*Trip, saga.Fact) (int, error) { return 5, nil }, nil)
			trips = saga.New(b.g, "trip", steps(flight, step("hotel")))
		}, func(b *bed) {
			b.faults["refunds"] = func(r semeltest.Record) semeltest.Fault {
				if b.w.Service("refunds").Count() == 0 && len(b.w.Service("refunds").Records()) == 1 {
					return semeltest.LoseCall
				}
				return semeltest.NoFault
			}
			v := b.start(trips, "k", Trip{Fail: "hotel"})
			b.phase(v, saga.Parked)
			_, err := b.g.Resume(b.ctx, v.ID, "ann")
			b.rejected(err, saga.CodeNeedsDecision)
			b.alarmed(saga.CodeUndoUnknown)
			if _, err := b.g.Settle(b.ctx, v.ID, saga.Settlement{Step: "flight", Fact: fact, Who: "ann"}); err != nil {
				b.Fatal(err)
			}
			b.phase(b.wait(v.ID), saga.Compensated)
			want := 0
			if fact == saga.DidNotHappen {
				want = 1
			}
			if n := b.w.Service("refunds").Count(); n != want {
				b.Errorf("settled as %s: refunded %d times", fact, n)
			}
		})
	}
}

// A definition's functions that fail park the saga instead of losing it; mended,
// they run again. A reply that came meanwhile is not lost.
func TestDefinitionFails(t *testing.T) {
	broken := true
	var trips *saga.Definition[Trip]
	failing := func(what string) error {
		if broken && what == "panic" {
			panic("oh")
		} else if broken {
			return errors.New("oh")
		}
		return nil
	}
	for _, where := range []string{"request", "keep"} {
		for _, how := range []string{"panic", "error"} {
			broken = true
			hotel := step("hotel")
			hotel.Do = saga.Effect(semel.EffectTo[booking, string]("book-hotel"),
				func(*Trip) (booking, error) {
					if where == "request" {
						return booking{}, failing(how)
					}
					return booking{}, nil
				},
				func(t *Trip, receipt string) error {
					t.Booked["hotel"] = receipt
					if where == "keep" {
						return failing(how)
					}
					return nil
				})
			trial(t, three(&trips, "keyed", steps(step("flight"), hotel, step("pay"))), func(b *bed) {
				v := b.start(trips, "k", Trip{})
				b.phase(v, saga.Parked)
				if v.Parked.Code != saga.CodeDefinition || !strings.Contains(v.Parked.Detail, "oh") || strings.Contains(string(v.State), "receipt of hotel") {
					b.Errorf("%s %s: %+v, %s", where, how, v.Parked, v.State)
				}
				broken = false
				if _, err := b.g.Resume(b.ctx, v.ID, "ann"); err != nil {
					b.Fatal(err)
				}
				v = b.wait(v.ID)
				b.phase(v, saga.Completed)
				b.books([3]int{1, 1, 1}, [3]int{})
				if !strings.Contains(string(v.State), "receipt of hotel") {
					b.Errorf("%s", v.State)
				}
			})
		}
	}
}

// A definition may say no by itself: before a call, or of a reply.
func TestDefinitionRejects(t *testing.T) {
	for _, where := range []string{"request", "keep"} {
		hotel := step("hotel")
		hotel.Do = saga.Effect(semel.EffectTo[booking, string]("book-hotel"),
			func(*Trip) (booking, error) {
				if where == "request" {
					return booking{}, semel.Reject("too_dear", "")
				}
				return booking{}, nil
			},
			func(*Trip, string) error { return semel.Reject("too_dear", "") })
		var trips *saga.Definition[Trip]
		trial(t, three(&trips, "keyed", steps(step("flight"), hotel, step("pay"))), func(b *bed) {
			_, err := trips.Run(b.ctx, "k", Trip{})
			b.rejected(err, "too_dear")
			n := 0
			if where == "keep" {
				n = 1 // it happened, and is undone
			}
			b.books([3]int{1, n, 0}, [3]int{1, n, 0})
		})
	}
}
