package saga_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/semeltest"
)

// everywhere crashes a workload everywhere, repeats its messages and shuffles
// them.
func everywhere(t *testing.T, w semeltest.Workload) {
	t.Helper()
	crashed(t, w)
	semeltest.Reorder(t, w, options...)
}

// crashed is for a workload whose parallel answers come in any order: what is
// asked next is asked by the last, and its key derived from that.
func crashed(t *testing.T, w semeltest.Workload) {
	t.Helper()
	semeltest.EveryCrash(t, w, options...)
	semeltest.Duplicate(t, w, options...)
}

// How a call failed is told in other words after a crash, and it takes longer.
var options = []semeltest.Option{semeltest.Elsewhere(saga.AlarmEffect), semeltest.Volatile("detail", "due", "overdue")}

// ends is a workload of one trip, which ends in a phase.
func ends(v saga.Version[Trip], policy string, wt func(*semeltest.World) *weather, in Trip, want saga.Phase) semeltest.Workload {
	return func(r *semeltest.Run) {
		var weather *weather
		if wt != nil {
			weather = wt(r.World)
		}
		outside(r.App, r.World, policy, weather)
		g := saga.Register(r.App, nil)
		trips := saga.New(g, "trip", v)
		req, id := trips.Request("k1", in)
		r.Call(req)
		r.Check(func(ctx context.Context) error {
			v, err := g.Get(ctx, id)
			if err != nil {
				return err
			}
			if v.Phase != want {
				err = fmt.Errorf("it is %s, not %s", v.Phase, want)
			}
			return errors.Join(err, allOrNone(r.World, v))
		})
	}
}

// Every crash, every lost or repeated message, at every place of a saga that
// completes, and of one whose first, second or last step fails: all or none,
// each once. FAULTS 50.
func TestEveryCrash(t *testing.T) {
	for _, policy := range []string{"keyed", "probe", "ask"} {
		fails := []string{"", "pay"}
		if policy == "keyed" {
			fails = append(fails, "flight", "hotel")
		}
		for _, fail := range fails {
			t.Run(policy+"/"+fail, func(t *testing.T) { everywhere(t, ends(version(1), policy, nil, Trip{Fail: fail}, endOf(fail))) })
		}
	}
}

func endOf(fail string) saga.Phase {
	if fail == "" {
		return saga.Completed
	}
	return saga.Compensated
}

// The same with a pivot, and with parallel steps.
func TestEveryCrashOfOthers(t *testing.T) {
	for _, fail := range []string{"", "flight", "hotel"} {
		t.Run("pivot/"+fail, func(t *testing.T) { everywhere(t, ends(pivoted(), "keyed", nil, Trip{Fail: fail}, endOf(fail))) })
	}
	for _, fail := range []string{"", "pay"} { // for the others see TestExploreParallel
		t.Run("parallel/"+fail, func(t *testing.T) { crashed(t, ends(abreast(), "keyed", nil, Trip{Fail: fail}, endOf(fail))) })
	}
}

// The same with a step that is an agent's action, and its compensation another.
func TestEveryCrashOfActions(t *testing.T) {
	for _, fail := range []string{"", "seat", "hotel"} {
		everywhere(t, func(r *semeltest.Run) {
			var trips *saga.Definition[Trip]
			b := &bed{app: r.App, w: r.World, g: saga.Register(r.App, nil)}
			withSeats(&trips, 0)(b)
			req, id := trips.Request("k1", Trip{Fail: fail})
			r.Call(req)
			r.Check(func(ctx context.Context) error {
				v, err := b.g.Get(ctx, id)
				if err != nil || v.Phase != endOf(fail) {
					return fmt.Errorf("it is %s, %w", v.Phase, err)
				}
				seats, _, err := r.App.State(ctx, semel.AgentName{Type: "seats", ID: "aisle"})
				want := `{"taken":0}`
				if fail == "" {
					want = `{"taken":1}`
				}
				if fail == "seat" {
					return nil // which was refused, so there may be none
				}
				if string(seats) != want {
					err = errors.Join(err, fmt.Errorf("the seats are %s", seats))
				}
				return err
			})
		})
	}
}

// A step whose end nobody knows: undone, and never called again.
func TestEveryCrashOfUnknown(t *testing.T) {
	for _, f := range []semeltest.Fault{semeltest.LoseReply, semeltest.LoseCall} {
		everywhere(t, func(r *semeltest.Run) {
			outside(r.App, r.World, "once", &weather{faults: map[string]func(semeltest.Record) semeltest.Fault{"pay": always(f)}})
			g := saga.Register(r.App, nil)
			req, id := saga.New(g, "trip", version(1)).Request("k1", Trip{})
			r.Call(req)
			r.Check(func(ctx context.Context) error {
				v, err := g.Get(ctx, id)
				if err == nil && v.Phase != saga.Compensated {
					err = fmt.Errorf("it is %s", v.Phase)
				}
				for _, s := range v.Steps {
					if s.Fact == saga.MayHaveHappened && s.Undo.State != saga.Done {
						err = errors.Join(err, fmt.Errorf("%s may have happened, and its undo is %q", s.Name, s.Undo.State))
					}
				}
				return errors.Join(err, r.World.AtMostOnce())
			})
		})
	}
}

// A step that does not answer in its time, and is withdrawn. FAULTS 51.
func TestExploreTimeout(t *testing.T) {
	hotel := step("hotel")
	hotel.Timeout = 10 * time.Second
	for policy := range policies {
		var trips *saga.Definition[Trip]
		explore(t, three(&trips, policy, steps(step("flight"), hotel, step("pay"))), weather{
			faults: map[string]func(semeltest.Record) semeltest.Fault{"hotel": always(semeltest.TimeOut)},
		}, trip(&trips, Trip{}, nil), settledEnd(&trips))
	}
}

// A saga that is cancelled while it is under way: it ends cancelled or completed,
// and whoever asks is told the same. FAULTS 52.
func TestExploreCancel(t *testing.T) {
	for _, policy := range []string{"keyed", "probe", "once"} {
		for _, wait := range []time.Duration{0, time.Nanosecond} {
			var trips *saga.Definition[Trip]
			explore(t, three(&trips, policy, pivoted()), weather{}, trip(&trips, Trip{}, func(b *bed, id string) error {
				time.Sleep(wait)
				_, err := b.g.Cancel(b.ctx, id, "ann", "")
				var no *semel.Rejection
				if errors.As(err, &no) && (no.Code == saga.CodePastPivot || no.Code == saga.CodeEnded) {
					return nil
				}
				return err
			}), settledEnd(&trips))
		}
	}
}

// Parallel steps of which one fails, with answers in any order.
func TestExploreParallel(t *testing.T) {
	for _, policy := range []string{"keyed", "once", "probe"} {
		for _, fail := range []string{"flight", "hotel"} {
			var trips *saga.Definition[Trip]
			explore(t, three(&trips, policy, abreast()), weather{}, trip(&trips, Trip{Fail: fail}, nil), settledEnd(&trips))
		}
	}
}

// A compensation that fails until the saga is parked, and an operator who resumes
// it. FAULTS 49.
func TestExploreParked(t *testing.T) {
	hotel := step("hotel")
	hotel.UndoRetry = saga.Retry{Attempts: 2, Base: 100 * time.Millisecond}
	var trips *saga.Definition[Trip]
	var closed atomic.Bool
	explore(t, three(&trips, "keyed", steps(step("flight"), hotel, step("pay"))), weather{undo: func(r refund) error {
		if closed.Load() && r.Receipt == "receipt of hotel" {
			return semel.Reject("closed", "the desk is closed")
		}
		return nil
	}}, func(b *bed) error {
		closed.Store(true)
		err := trip(&trips, Trip{Fail: "pay"}, nil)(b)
		if err != nil {
			return err
		}
		closed.Store(false)
		v, err := b.g.Get(b.ctx, trips.ID("k"))
		if err != nil || v.Phase.Ended() {
			return err
		}
		if _, err := b.g.Resume(b.ctx, v.ID, "ann"); err != nil {
			return err
		}
		return trip(&trips, Trip{Fail: "pay"}, nil)(b)
	}, settledEnd(&trips))
}

// settledEnd checks that a saga is at an end at which all or nothing is done,
// and that whoever started it is told so.
func settledEnd(trips **saga.Definition[Trip]) func(*bed) error {
	return func(b *bed) error {
		v, err := b.g.Get(b.ctx, (*trips).ID("k"))
		if err != nil {
			return err
		}
		if !v.Phase.Ended() {
			return fmt.Errorf("it is %s, %+v", v.Phase, v.Parked)
		}
		return allOrNone(b.w, v)
	}
}
