package twopc_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/store/mem"
	"github.com/semel-dev/semel/twopc"
)

// Two accounts are debited and one is credited, or none.
func Example() {
	ctx := context.Background()
	app, _ := semel.Open(ctx, mem.New(), nil)
	defer app.Close(ctx)
	accounts := ledger.Register(app)
	co := twopc.New(app, nil)

	_, _ = accounts.Open.Call(ctx, "alice", ledger.Open{Cents: 100}, semel.Key("open"))
	_, _ = accounts.Open.Call(ctx, "bob", ledger.Open{Cents: 20}, semel.Key("open"))
	present := func(each int64) []twopc.Part {
		return []twopc.Part{
			twopc.Do(accounts.Debit.Ref, "alice", ledger.Amount{Cents: each}),
			twopc.Do(accounts.Debit.Ref, "bob", ledger.Amount{Cents: each}),
			twopc.Do(accounts.Credit.Ref, "shop", ledger.Amount{Cents: 2 * each}),
		}
	}

	r, err := co.Run(ctx, "present-1", present(15))
	shop, _ := twopc.Reply[ledger.Balance](r, 2)
	fmt.Println(shop.Cents, err)

	_, err = co.Run(ctx, "present-2", present(15))
	who, _ := twopc.RefusedOf(err)
	var no *semel.Rejection
	fmt.Println(errors.As(err, &no), no.Code, who.At)

	alice, _, _ := accounts.Get(ctx, "alice")
	fmt.Println(alice.Cents)
	// Output:
	// 30 <nil>
	// true insufficient_funds account/bob
	// 85
}
