package semeltest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/semeltest"
)

// careless is a program with a bug, and what the kit must say about it.
type careless struct {
	w    semeltest.Workload
	find func(semeltest.TB, semeltest.Workload, ...semeltest.Option)
	says string
}

// Careless programs that are wrong about the outside world.
var carelessEffects = map[string]careless{
	"keyed, of a provider that does not deduplicate": {
		shopWith(forgetfulBank, semel.Keyed), semeltest.EveryCrash,
		`crash \d+ of \d+: after effect "charge" of order/o-1 happened, before its result was recorded, during place of order/o-1 \(key k1\)
    effect "charge" of order/o-1 at service "bank" happened 2 times, and without a crash it happened once \(policy keyed, with the key [0-9a-f]{32}\)`,
	},
	"the same, when an answer gets lost": {
		shopWith(forgetfulBank, semel.Keyed), semeltest.Duplicate,
		`duplicates, case 1 of 20\n    effect "charge" of order/o-1 at service "bank" happened 2 times`,
	},
	"a call that changes something is said to be read-only": {
		shopWith(forgetfulBank, semel.ReadOnly), semeltest.EveryCrash, `happened 2 times, and without a crash it happened once \(policy read_only`,
	},
	"a random key": {
		func(r *semeltest.Run) {
			bank := recognizingBank(r)
			NewShop(r.App, func(ctx context.Context, _ semel.EffectCall, cents int64) (Receipt, error) {
				return semeltest.Call(ctx, bank, rand.Text(), cents, func() (Receipt, error) { return receipt(cents) })
			}, semel.Keyed).buy(r)
		}, semeltest.EveryCrash, `it does not do the same twice.*\n    effect "charge" of order/o-1 at service "bank" was called with the key .*send EffectCall.Key`,
	},
	"a key made of the time": {
		func(r *semeltest.Run) {
			bank := recognizingBank(r)
			NewShop(r.App, func(ctx context.Context, call semel.EffectCall, cents int64) (Receipt, error) {
				key := fmt.Sprint(call.Agent.ID, "-", time.Now().UnixNano())
				return semeltest.Call(ctx, bank, key, cents, func() (Receipt, error) { return receipt(cents) })
			}, semel.Keyed).buy(r)
		}, semeltest.EveryCrash, `effect "charge" of order/o-1 at service "bank" was called with the keys o-1-\d+ and o-1-\d+: send EffectCall.Key`,
	},
	"a timeout is taken for a call that was not done": {
		func(r *semeltest.Run) {
			bank := forgetfulBank(r)
			NewShop(r.App, func(ctx context.Context, call semel.EffectCall, cents int64) (Receipt, error) {
				out, err := semeltest.Call(ctx, bank, call.Key, cents, func() (Receipt, error) { return receipt(cents) })
				if err != nil {
					err = semel.NotDone(err)
				}
				return out, err
			}, semel.Ask).buy(r)
		}, semeltest.Duplicate, `happened 2 times, and without duplicates it happened once \(policy ask`,
	},
	"a probe that never finds anything": {
		func(r *semeltest.Run) {
			probe := func(context.Context, semel.EffectCall, int64) (Receipt, error) { return Receipt{}, semel.NotDone(nil) }
			NewShop(r.App, semeltest.Effect(forgetfulBank(r), receipt), semel.Probe(probe)).buy(r)
		}, semeltest.EveryCrash, `happened 2 times, and without a crash it happened once \(policy probe`,
	},
	"a probe that finds what is not there": {
		func(r *semeltest.Run) {
			probe := func(_ context.Context, _ semel.EffectCall, cents int64) (Receipt, error) { return receipt(cents) }
			NewShop(r.App, semeltest.Effect(forgetfulBank(r), receipt), semel.Probe(probe)).buy(r)
		}, semeltest.EveryCrash, `before effect "charge" of order/o-1 reached the outside world.*\n.*did not happen, and without a crash it happened once \(policy probe`,
	},
	"an error is taken for success": {
		func(r *semeltest.Run) {
			bank := recognizingBank(r)
			bank.Faults(func(rec semeltest.Record) semeltest.Fault {
				if rec.Calls == 1 && rec.Agent.ID == "o-2" {
					return semeltest.LoseCall
				}
				return semeltest.NoFault
			})
			shop := NewShop(r.App, func(ctx context.Context, call semel.EffectCall, cents int64) (Receipt, error) {
				out, _ := semeltest.Call(ctx, bank, call.Key, cents, func() (Receipt, error) { return receipt(cents) })
				return out, nil
			}, semel.Keyed)
			shop.buy(r)
			r.Check(func(context.Context) error { return bank.ExactlyOnce() })
		}, semeltest.EveryCrash, `nothing was done to the program, and yet: effect "charge" of order/o-2 at service "bank" did not happen`,
	},
	"one key for all effects": {
		func(r *semeltest.Run) {
			bank := recognizingBank(r)
			NewShop(r.App, func(ctx context.Context, _ semel.EffectCall, cents int64) (Receipt, error) {
				return semeltest.Call(ctx, bank, "charge", cents, func() (Receipt, error) { return receipt(cents) })
			}, semel.Keyed).buy(r)
		}, semeltest.EveryCrash, `effect "charge" of order/o-2 at service "bank" came with the key charge, by which the service knows another effect: it was not done`,
	},
	"a doubt that nobody can settle": {
		func(r *semeltest.Run) {
			lost := func(context.Context, semel.EffectCall, int64) (Receipt, error) {
				return Receipt{}, errors.New("a broken line")
			}
			NewShop(r.App, lost, semel.Ask).buy(r)
		}, semeltest.EveryCrash, `effect "charge" of .*order/o-1 is in doubt \(a broken line\), and the World cannot say`,
	},
}

// Careless programs whose steps are not pure, or whose calls have no identity.
var carelessSteps = map[string]careless{
	"I/O within a step": {
		func(r *semeltest.Run) {
			bank := recognizingBank(r)
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "pay", func(b *Books, s *semel.Step, cents int64) (int64, error) {
				_, err := semeltest.Call(context.Background(), bank, s.Key(), cents, func() (Receipt, error) { return receipt(cents) })
				b.Sum += cents
				return b.Sum, err
			})
			r.Call(act.Request("all", 5, semel.Key("k1")))
		}, semeltest.EveryCrash, `service "bank" was called \(5\) from outside of any effect.*: a step must not reach outside`,
	},
	"effects in the order of a map": {
		func(r *semeltest.Run) {
			bank := recognizingBank(r)
			mail := semel.NewEffect(r.App, "mail", semeltest.Effect(bank, func(string) (bool, error) { return true, nil }), semel.Keyed)
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "tell", func(_ *Books, s *semel.Step, all map[string]bool) (bool, error) {
				for who := range all {
					mail.Run(s, who)
				}
				return true, nil
			})
			everybody := make(map[string]bool)
			for i := range 20 {
				everybody[fmt.Sprint("reader", i)] = true
			}
			r.Call(act.Request("all", everybody, semel.Key("k1")))
		}, semeltest.EveryCrash, `it does not do the same twice.*the order of a map.*\n    effect "mail" of books/all .* was called with "reader\d+", and in another run with "reader\d+"`,
	},
	"memory outside of the state": {
		func(r *semeltest.Run) {
			sum := int64(0)
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "book", func(b *Books, _ *semel.Step, cents int64) (int64, error) {
				sum += cents
				b.Sum = sum
				return sum, nil
			})
			r.Call(act.Request("all", 5, semel.Key("k1")))
			r.Call(act.Request("all", 7, semel.Key("k2")))
		}, semeltest.EveryCrash, `the state of .*books/all is {"Sum":7}, and without a crash {"Sum":12}`,
	},
	"a key that is made anew": {
		func(r *semeltest.Run) {
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "book", (*Books).Book)
			r.Call(act.Request("all", 5, semel.Key(rand.Text())))
		}, semeltest.EveryCrash, `call 1 was book of books/all \(key .*\), and when the workload was asked again`,
	},
	"a key that is made anew, within a Do": {
		func(r *semeltest.Run) {
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "book", (*Books).Book)
			r.Do(func(ctx context.Context) error {
				_, err := act.Call(ctx, "all", 5, semel.Key(rand.Text()))
				return err
			})
		}, semeltest.EveryCrash, `crash \d+ of \d+: after a commit was durable, before anybody was told, during a Do\n    the state of .*books/all is {"Sum":10}, and without a crash {"Sum":5}`,
	},
	"at least once, of what cannot bear it": {
		func(r *semeltest.Run) {
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "book", (*Books).Book, semel.AtLeastOnce)
			r.Call(act.Request("all", 5))
		}, semeltest.Duplicate, `the state of .*books/all is {"Sum":1[05]}, and without duplicates {"Sum":5}`,
	},
	"the last one wins": {
		func(r *semeltest.Run) {
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "set", func(b *Books, _ *semel.Step, cents int64) (bool, error) {
				b.Sum = cents
				return true, nil
			})
			for i := range int64(3) {
				r.Call(act.Request("all", i, semel.Key(fmt.Sprint(i))))
			}
		}, semeltest.Reorder, `order \d+ of 20 \(calls [123], [123], [123]\)\n    the state of .*books/all is {"Sum":[01]}, and in the order of the workload {"Sum":2}`,
	},
	"a handler that fails": {
		func(r *semeltest.Run) {
			act := semel.On(semel.NewAgent[Books](r.App, "books"), "book", func(*Books, *semel.Step, int64) (bool, error) { return false, errors.New("oh") })
			r.Call(act.Request("all", 5, semel.Key("k")))
		}, semeltest.EveryCrash, `nothing was done to the program, and yet: call 1, book of books/all \(key k\): .*handler_failed`,
	},
}

// The kit finds the bug of every careless program, and says what it is.
func TestCareless(t *testing.T) {
	t.Parallel()
	for _, programs := range []map[string]careless{carelessEffects, carelessSteps} {
		for name, c := range programs {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := record(t)
				c.find(r, c.w)
				r.fails(c.says)
			})
		}
	}
}
