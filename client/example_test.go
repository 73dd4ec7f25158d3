package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store/mem"
)

// bank stands for `semel serve`.
func bank() (url string, stop func()) {
	app, err := semel.Open(context.Background(), mem.New(), nil)
	if err != nil {
		panic(err)
	}
	ledger.Register(app)
	srv := httptest.NewServer(server.Handler(app, server.Options{Logger: slog.New(slog.DiscardHandler)}))
	return srv.URL, func() {
		srv.Close()
		_ = app.Close(context.Background())
	}
}

func Example() {
	url, stop := bank()
	defer stop()
	ctx := context.Background()

	c, err := client.New(url, nil)
	if err != nil {
		panic(err)
	}
	pay := client.Request{Agent: "account/alice", Action: "open", Key: "open-alice"}
	for range 2 { // the second time stands for a retry after a crash
		balance, reply, err := client.CallJSON[ledger.Balance](ctx, c, pay, ledger.Open{Cents: 1000})
		fmt.Println(balance.Cents, reply.Replayed, err)
	}

	// The three kinds of failure.
	_, _, err = client.CallJSON[ledger.Balance](ctx, c,
		client.Request{Agent: "account/alice", Action: "debit", Key: "debit-1"}, ledger.Amount{Cents: 9999})
	var no *semel.Rejection
	switch semel.KindOf(err) {
	case semel.KindRejected:
		errors.As(err, &no)
		fmt.Println("decided:", no.Code)
	case semel.KindNotDone:
		fmt.Println("it did not take effect; mend it, or try again")
	case semel.KindUnknown:
		fmt.Println("it may have taken effect; repeat it with the same key only")
	}

	// The same key for another request is a mistake.
	_, _, err = client.CallJSON[ledger.Balance](ctx, c, pay, ledger.Open{Cents: 1})
	fmt.Println(errors.Is(err, semel.ErrConflict))
	// Output:
	// 1000 false <nil>
	// 1000 true <nil>
	// decided: insufficient_funds
	// true
}

func ExampleClient_Batch() {
	url, stop := bank()
	defer stop()
	c, err := client.New(url, nil)
	if err != nil {
		panic(err)
	}
	for _, a := range c.Batch(context.Background(), []client.Request{
		{Agent: "account/alice", Action: "credit", Key: "c-1", Body: []byte(`{"cents":5}`)},
		{Agent: "account/bob", Action: "debit", Key: "d-1", Body: []byte(`{"cents":5}`)},
	}) {
		if a.Err != nil {
			fmt.Println(a.Key, a.Err)
			continue
		}
		fmt.Println(a.Key, string(a.Body))
	}
	// Output:
	// c-1 {"cents":5}
	// d-1 semel: debit of account/bob: rejected (insufficient_funds): the balance is 0, less than 5
}
