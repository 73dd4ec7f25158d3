package shop

import (
	"context"
	"fmt"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/semeltest"
)

// The program: what main registers too.

type Order struct{ Paid int64 }

type Bank interface {
	Charge(ctx context.Context, key string, cents int64) (receipt string, err error)
}

var (
	charge  = semel.EffectTo[int64, string]("charge")
	charged = semel.ContinuationTo[int64, string]("charged")
)

func (o *Order) Place(s *semel.Step, cents int64) (string, error) {
	charge.Ask(s, cents, charged.With(cents))
	return semel.Defer[string]()
}

func (o *Order) Charged(_ *semel.Step, cents int64, r semel.Result[string]) (string, error) {
	if r.Done() {
		o.Paid += cents
	}
	return r.Value, r.Err()
}

func Register(app *semel.App, bank Bank) *semel.Action[int64, string] {
	semel.NewEffect(app, "charge", func(ctx context.Context, call semel.EffectCall, cents int64) (string, error) {
		return bank.Charge(ctx, call.Key, cents)
	}, semel.Keyed)
	orders := semel.NewAgent[Order](app, "order")
	semel.Then(orders, "charged", (*Order).Charged)
	return semel.On(orders, "place", (*Order).Place)
}

// Its test. The bank is a service of the kit's World.

type testBank struct{ *semeltest.Service }

func (b testBank) Charge(ctx context.Context, key string, cents int64) (string, error) {
	return semeltest.Call(ctx, b.Service, key, cents, func() (string, error) {
		return fmt.Sprintf("receipt for %d cents", cents), nil
	})
}

func shop(r *semeltest.Run) {
	bank := testBank{r.World.Service("bank", semeltest.Deduplicates)}
	place := Register(r.App, bank)
	r.Call(place.Request("o-1", 500, semel.Key("k1")))
	r.Call(place.Request("o-2", 700, semel.Key("k2")))
	r.Check(func(context.Context) error {
		if n := bank.Count(); n != 2 {
			return fmt.Errorf("the bank charged %d times", n)
		}
		return nil
	})
}

func TestShop(t *testing.T) {
	semeltest.EveryCrash(t, shop)
	semeltest.Duplicate(t, shop)
	semeltest.Reorder(t, shop)
}
