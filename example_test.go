package semel_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/mem"
)

// Account is an agent's state; its methods are the agent's actions.
type Account struct{ Cents int64 }

type Debit struct{ Cents int64 }

type Receipt struct{ Left int64 }

func (a *Account) Debit(_ *semel.Step, in Debit) (Receipt, error) {
	if a.Cents+1000 < in.Cents {
		return Receipt{}, semel.Reject("insufficient_funds", "balance is %d", a.Cents)
	}
	a.Cents -= in.Cents
	return Receipt{Left: a.Cents}, nil
}

func Example() {
	ctx := context.Background()
	app, err := semel.Open(ctx, mem.New(), nil) // or pebble.At("data")
	if err != nil {
		panic(err)
	}
	defer app.Close(ctx)
	accounts := semel.NewAgent[Account](app, "account")
	debit := semel.On(accounts, "debit", (*Account).Debit)

	for range 2 { // a retry gets the stored receipt
		r, err := debit.Call(ctx, "alice", Debit{Cents: 100}, semel.Key("tx-42"))
		fmt.Println(r.Left, err)
	}
	_, err = debit.Call(ctx, "alice", Debit{Cents: 999}, semel.Key("tx-43"))
	fmt.Println(err)
	account, version, _ := accounts.Get(ctx, "alice")
	fmt.Println(account.Cents, "after", version, "step")
	// Output:
	// -100 <nil>
	// -100 <nil>
	// semel: debit of account/alice: rejected (insufficient_funds): balance is -100
	// -100 after 1 step
}

func ExampleKindOf() {
	ctx := context.Background()
	app, _ := semel.Open(ctx, mem.New(), nil)
	defer app.Close(ctx)
	debit := semel.On(semel.NewAgent[Account](app, "account"), "debit", (*Account).Debit)

	_, err := debit.Call(ctx, "alice", Debit{Cents: 5000}, semel.Key("tx-1"))
	var rejection *semel.Rejection
	if errors.As(err, &rejection) {
		fmt.Println(semel.KindOf(err), rejection.Code, rejection.Detail)
	}
	_, err = debit.Call(ctx, "alice", Debit{Cents: 1}, semel.Key("tx-1"))
	fmt.Println(semel.KindOf(err), errors.Is(err, semel.ErrConflict))
	// Output:
	// rejected insufficient_funds balance is 0
	// not_done true
}

// An order asks the outside world to charge a card, and replies when that has
// answered. The handlers refer to the effect and to each other by name.
type Order struct {
	Cents  int64
	Charge string
}

var (
	charge  = semel.EffectTo[int64, string]("charge")
	charged = semel.ContinuationTo[int64, string]("charged")
)

func (o *Order) Place(s *semel.Step, cents int64) (string, error) {
	charge.Ask(s, cents, charged.With(cents))
	return semel.Defer[string]()
}

func (o *Order) Charged(_ *semel.Step, cents int64, answer semel.Result[string]) (string, error) {
	if err := answer.Err(); err != nil {
		return "", err // rejected, or unknown: so is the order
	}
	o.Cents, o.Charge = cents, answer.Value
	return "paid by " + answer.Value, nil
}

func ExampleNewEffect() {
	ctx := context.Background()
	app, _ := semel.Open(ctx, mem.New(), nil)
	defer app.Close(ctx)

	// The provider deduplicates by our key, so a call may be repeated.
	semel.NewEffect(app, "charge", func(ctx context.Context, call semel.EffectCall, cents int64) (string, error) {
		// POST … Idempotency-Key: call.Key
		if cents > 10_000 {
			return "", semel.Reject("card_declined", "over the limit")
		}
		return "charge-1", nil
	}, semel.Keyed)
	orders := semel.NewAgent[Order](app, "order")
	semel.Then(orders, "charged", (*Order).Charged)
	place := semel.On(orders, "place", (*Order).Place)

	fmt.Println(place.Call(ctx, "o-1", 500, semel.Key("k")))
	fmt.Println(place.Call(ctx, "o-1", 500, semel.Key("k")))
	fmt.Println(place.Call(ctx, "o-2", 50_000, semel.Key("k")))
	// Output:
	// paid by charge-1 <nil>
	// paid by charge-1 <nil>
	//  semel: place of order/o-2: rejected (card_declined): over the limit
}

func ExampleApp_CallAll() {
	ctx := context.Background()
	app, _ := semel.Open(ctx, mem.New(), nil)
	defer app.Close(ctx)
	debit := semel.On(semel.NewAgent[Account](app, "account"), "debit", (*Account).Debit)

	answers := app.CallAll(ctx, []semel.Request{
		debit.Request("alice", Debit{Cents: 10}, semel.Key("tx-1")),
		debit.Request("alice", Debit{Cents: 10}, semel.Key("tx-2")),
		debit.Request("alice", Debit{Cents: 10}, semel.Key("tx-1")),
	})
	for _, a := range answers {
		r, err := debit.Reply(a)
		fmt.Println(r.Left, a.Replayed, err)
	}
	// Output:
	// -10 false <nil>
	// -20 false <nil>
	// -10 true <nil>
}

func ExampleApp_Do() {
	ctx := context.Background()
	app, _ := semel.Open(ctx, mem.New(), nil)
	defer app.Close(ctx)
	semel.On(semel.NewAgent[Account](app, "account"), "debit", (*Account).Debit)

	o, err := app.Do(ctx, semel.Request{
		Type: "account", ID: "alice", Action: "debit", Key: "tx-1", Body: []byte(`{"Cents": 100}`),
	})
	fmt.Println(o.Status, string(o.Reply), err)
	// Output: done {"Left":-100} <nil>
}

func ExampleQuery() {
	ctx := context.Background()
	app, _ := semel.Open(ctx, mem.New(), nil)
	defer app.Close(ctx)
	accounts := semel.NewAgent[Account](app, "account")
	debit := semel.On(accounts, "debit", (*Account).Debit)
	overdrawn := semel.Query(accounts, "overdrawn", func(a *Account, by int64) (bool, error) { return a.Cents < -by, nil })

	_, _ = debit.Call(ctx, "alice", Debit{Cents: 100}, semel.Key("tx-1"))
	fmt.Println(overdrawn.Ask(ctx, "alice", 50))
	// Output: true <nil>
}
