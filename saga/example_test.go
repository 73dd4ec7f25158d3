package saga_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/store/mem"
)

// Order is the state of the sagas of the example.
type Order struct {
	Item    string
	Cents   int64
	Receipt string
}

// An order reserves an item and takes a payment; if the card is declined, the
// item is released again.
func ExampleNew() {
	ctx := context.Background()
	app, err := semel.Open(ctx, mem.New(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer app.Close(ctx)
	reserve := semel.NewEffect(app, "reserve", func(_ context.Context, call semel.EffectCall, item string) (bool, error) {
		fmt.Println("reserve", item)
		return true, nil
	}, semel.Keyed)
	release := semel.NewEffect(app, "release", func(_ context.Context, call semel.EffectCall, item string) (bool, error) {
		fmt.Println("release", item)
		return true, nil
	}, semel.Keyed)
	charge := semel.NewEffect(app, "charge", func(_ context.Context, call semel.EffectCall, cents int64) (string, error) {
		if cents > 1000 {
			return "", semel.Reject("card_declined", "%d cents are too much", cents)
		}
		return "receipt", nil
	}, semel.Keyed)

	orders := saga.New(saga.Register(app, nil), "order", saga.Version[Order]{Number: 1, Stages: []saga.Stage[Order]{
		saga.Step[Order]{
			Name: "reserve",
			Do:   saga.Effect(reserve.EffectRef, func(o *Order) (string, error) { return o.Item, nil }, nil),
			Undo: saga.UndoEffect(release.EffectRef, func(o *Order, _ saga.Fact) (string, error) { return o.Item, nil }, nil),
		},
		saga.Step[Order]{
			Name: "charge",
			Do: saga.Effect(charge.EffectRef, func(o *Order) (int64, error) { return o.Cents, nil },
				func(o *Order, receipt string) error { o.Receipt = receipt; return nil }),
		},
	}})

	done, err := orders.Run(ctx, "order-1", Order{Item: "a book", Cents: 900})
	fmt.Println(done.Receipt, err)
	_, err = orders.Run(ctx, "order-2", Order{Item: "a piano", Cents: 900_000})
	var no *semel.Rejection
	fmt.Println(errors.As(err, &no) && no.Code == "card_declined")
	// Output:
	// reserve a book
	// receipt <nil>
	// reserve a piano
	// release a piano
	// true
}
