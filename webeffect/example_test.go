package webeffect_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/mem"
	"github.com/semel-dev/semel/webeffect"
)

// A payment provider is called once per key, and its answer is recorded, be it a
// receipt or a refusal.
func Example() {
	calls := 0
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		body, _ := io.ReadAll(r.Body)
		if string(body) == `{"cents":9900}` {
			w.WriteHeader(http.StatusPaymentRequired)
			fmt.Fprint(w, `{"error":"card_declined"}`)
			return
		}
		fmt.Fprintf(w, `{"receipt":%d}`, calls)
	}))
	defer provider.Close()

	ctx := context.Background()
	app, err := semel.Open(ctx, mem.New(), nil) // or pebble.At("data")
	if err != nil {
		panic(err)
	}
	defer app.Close(ctx)
	err = webeffect.Register(app, map[string]webeffect.Spec{
		"charge": {URL: provider.URL, Policy: "keyed", AllowPrivate: true},
	}, nil)
	if err != nil {
		panic(err)
	}

	charge := func(key, body string) {
		o, err := app.Do(ctx, semel.Request{
			Type: webeffect.AgentType, ID: "charge", Action: webeffect.Action, Key: key, Body: json.RawMessage(body),
		})
		var no *semel.Rejection
		if errors.As(err, &no) {
			fmt.Printf("%s: %s %s (replayed: %v)\n", key, no.Code, no.Data, o.Replayed)
			return
		}
		fmt.Printf("%s: %s %v (replayed: %v)\n", key, o.Reply, err, o.Replayed)
	}
	for range 2 {
		charge("order-1", `{"cents":500}`)
		charge("order-2", `{"cents":9900}`)
	}
	fmt.Println("the provider was called", calls, "times")
	// Output:
	// order-1: {"receipt":1} <nil> (replayed: false)
	// order-2: rejected_by_provider {"status":402,"body":{"error":"card_declined"}} (replayed: false)
	// order-1: {"receipt":1} <nil> (replayed: true)
	// order-2: rejected_by_provider {"status":402,"body":{"error":"card_declined"}} (replayed: true)
	// the provider was called 2 times
}
