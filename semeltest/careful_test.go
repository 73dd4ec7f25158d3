package semeltest_test

import (
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/semeltest"
)

// A careful program passes, whatever its policy.
func TestCareful(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]semeltest.Workload{
		"keyed":        shopWith(recognizingBank, semel.Keyed),
		"ask":          shopWith(forgetfulBank, semel.Ask),
		"at most once": shopWithCheckOff(forgetfulBank, semel.AtMostOnce),
		"probe": func(r *semeltest.Run) {
			bank := forgetfulBank(r)
			NewShop(r.App, semeltest.Effect(bank, receipt), semel.Probe(semeltest.Probe[int64, Receipt](bank))).buy(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			semeltest.EveryCrash(t, w)
			semeltest.Duplicate(t, w)
			semeltest.Reorder(t, w)
		})
	}
}

func shopWithCheckOff(bank func(*semeltest.Run) *semeltest.Service, opts ...semel.EffectOption) semeltest.Workload {
	return func(r *semeltest.Run) {
		shop := NewShop(r.App, semeltest.Effect(bank(r), receipt), opts...)
		r.Call(shop.Place.Request("o-1", 500, semel.Key("k1")))
		r.Call(shop.Place.Request("o-2", 700, semel.Key("k2")))
	}
}
