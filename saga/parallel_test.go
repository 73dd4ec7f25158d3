package saga_test

import (
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/semeltest"
)

// abreast books flight and hotel at once, and then pays.
func abreast() saga.Version[Trip] {
	return saga.Version[Trip]{Number: 1, Stages: []saga.Stage[Trip]{saga.Parallel[Trip]{step("flight"), step("hotel")}, step("pay")}}
}

// Parallel steps are asked for at once, and undone at once.
func TestParallel(t *testing.T) {
	var trips *saga.Definition[Trip]
	trial(t, three(&trips, "keyed", abreast()), func(b *bed) {
		b.gates["flight"], b.gates["hotel"] = make(chan struct{}), make(chan struct{})
		id, err := trips.Start(b.ctx, "k", Trip{})
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Second)
		v := b.get(id)
		if v.Steps[0].Do.State != saga.Asked || v.Steps[1].Do.State != saga.Asked || v.Steps[2].Do.State != saga.Idle {
			b.Errorf("%+v", v.Steps)
		}
		close(b.gates["hotel"])
		time.Sleep(time.Second)
		if v := b.get(id); v.Steps[1].Do.State != saga.Done || v.Steps[2].Do.State != saga.Idle {
			b.Errorf("%+v", v.Steps)
		}
		close(b.gates["flight"])
		b.phase(b.wait(id), saga.Completed)
		b.books([3]int{1, 1, 1}, [3]int{})
	})
	trial(t, three(&trips, "keyed", abreast()), func(b *bed) {
		b.faults["undo-flight"] = func(r semeltest.Record) semeltest.Fault {
			if r.Calls < 3 {
				return semeltest.Refuse
			}
			return semeltest.NoFault
		}
		v := b.start(trips, "k", Trip{Fail: "pay"})
		b.phase(v, saga.Compensated)
		b.books([3]int{1, 1, 0}, [3]int{1, 1, 0})
		if f, h := v.Steps[0].Undo, v.Steps[1].Undo; !f.Asked.Equal(h.Asked) || !f.Settled.After(h.Settled) {
			b.Errorf("they were not undone at once: %+v, %+v", f, h)
		}
	})
}

// When one of them fails, the other is withdrawn; when that turns out to have
// happened, it is undone.
func TestParallelFails(t *testing.T) {
	for _, policy := range []string{"keyed", "ask", "once", "probe"} {
		for _, lost := range []bool{false, true} {
			var trips *saga.Definition[Trip]
			trial(t, three(&trips, policy, abreast()), func(b *bed) {
				if lost {
					b.faults["flight"] = always(semeltest.LoseReply)
				}
				b.gates["flight"] = make(chan struct{})
				id, err := trips.Start(b.ctx, "k", Trip{Fail: "hotel"})
				if err != nil {
					b.Fatal(err)
				}
				time.Sleep(time.Second)
				if v := b.get(id); !v.Undoing || !v.Steps[0].Do.Waiting || v.Steps[0].Undo.State != saga.Idle {
					b.Errorf("%s: %+v", policy, v)
				}
				close(b.gates["flight"])
				v := b.wait(id)
				b.phase(v, saga.Compensated)
				b.books([3]int{1, 0, 0}, [3]int{1, 0, 0})
				fact := `"flight":"happened"`
				if lost {
					fact = `"flight":"may_have_happened"`
				}
				if !strings.Contains(string(v.State), fact) || v.Failure.Code != "no_hotel" {
					b.Errorf("%s, lost %t: %s, %+v", policy, lost, v.State, v.Failure)
				}
			})
		}
	}
}
