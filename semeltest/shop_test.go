package semeltest_test

import (
	"context"
	"fmt"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/semeltest"
)

// Order is an agent that charges a card, and tells the books when it is paid.
type Order struct {
	Cents   int64
	Receipt string
}

type Receipt struct{ ID string }

var (
	charge  = semel.EffectTo[int64, Receipt]("charge")
	charged = semel.ContinuationTo[int64, Receipt]("charged")
	booked  = semel.RefTo[int64, int64]("books", "book")
)

func (o *Order) Place(s *semel.Step, cents int64) (string, error) {
	if cents <= 0 {
		return "", semel.Reject("invalid", "an order of %d cents", cents)
	}
	charge.Ask(s, cents, charged.With(cents))
	return semel.Defer[string]()
}

func (o *Order) Charged(s *semel.Step, cents int64, r semel.Result[Receipt]) (string, error) {
	if err := r.Err(); err != nil {
		return "", err
	}
	o.Cents, o.Receipt = o.Cents+cents, r.Value.ID
	booked.Send(s, "all", cents)
	return "paid by " + r.Value.ID, nil
}

// Books add up what orders are paid.
type Books struct{ Sum int64 }

func (b *Books) Book(_ *semel.Step, cents int64) (int64, error) {
	b.Sum += cents
	return b.Sum, nil
}

// Shop is the program: what main registers.
type Shop struct {
	Place *semel.Action[int64, string]
	Books *semel.Agent[Books]
}

// NewShop registers the program, with the effect that charges.
func NewShop(app *semel.App, charge semel.EffectFunc[int64, Receipt], opts ...semel.EffectOption) *Shop {
	semel.NewEffect(app, "charge", charge, opts...)
	orders := semel.NewAgent[Order](app, "order")
	semel.Then(orders, "charged", (*Order).Charged)
	books := semel.NewAgent[Books](app, "books")
	semel.On(books, "book", (*Books).Book)
	return &Shop{Place: semel.On(orders, "place", (*Order).Place), Books: books}
}

// buy lists the workload's calls, and what must have come of them.
func (shop *Shop) buy(r *semeltest.Run) {
	r.Call(shop.Place.Request("o-1", 500, semel.Key("k1")))
	r.Call(shop.Place.Request("o-2", 700, semel.Key("k2")))
	r.Call(shop.Place.Request("o-3", -1, semel.Key("k3")))
	r.Check(func(ctx context.Context) error {
		books, _, err := shop.Books.Get(ctx, "all")
		if err == nil && books.Sum != 1200 {
			err = fmt.Errorf("the books say %d", books.Sum)
		}
		return err
	})
}

// receipt is what the bank answers.
func receipt(cents int64) (Receipt, error) { return Receipt{fmt.Sprintf("r-%d", cents)}, nil }

// shopWith is the workload over a bank.
func shopWith(bank func(*semeltest.Run) *semeltest.Service, opts ...semel.EffectOption) semeltest.Workload {
	return func(r *semeltest.Run) {
		NewShop(r.App, semeltest.Effect(bank(r), receipt), opts...).buy(r)
	}
}

func recognizingBank(r *semeltest.Run) *semeltest.Service {
	return r.World.Service("bank", semeltest.Deduplicates)
}

func forgetfulBank(r *semeltest.Run) *semeltest.Service { return r.World.Service("bank") }
