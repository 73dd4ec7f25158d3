package saga_test

import (
	"context"
	"testing"

	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/semeltest"
)

// Every crash, every lost or repeated message, at every place of a saga that
// completes, and of one whose first, second or last step fails: all or none,
// each once. FAULTS 50.
func TestEveryCrash(t *testing.T) {
	for _, policy := range []string{"keyed", "probe", "ask"} {
		for _, fail := range []string{"", "flight", "hotel", "pay"} {
			t.Run(policy+"/"+fail, func(t *testing.T) {
				w := func(r *semeltest.Run) {
					outside(r.App, r.World, policy, nil)
					trips := saga.New(saga.Register(r.App, nil), "trip", version(1))
					req, _ := trips.Request("k1", Trip{Fail: fail})
					r.Call(req)
					r.Check(func(context.Context) error { return allOrNone(r.World) })
				}
				semeltest.EveryCrash(t, w)
				semeltest.Duplicate(t, w)
				semeltest.Reorder(t, w)
			})
		}
	}
}
