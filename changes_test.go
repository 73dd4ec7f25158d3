package semel_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
	"github.com/semel-dev/semel/store/pebble"
)

// A projection keeps what it was told and the position with it, in one
// transaction of its own. Here it is a map.
func ExampleApp_Changes() {
	ctx := context.Background()
	app, _ := semel.Open(ctx, mem.New(), &semel.Config{ChangeFeed: true})
	defer app.Close(ctx)
	debit := semel.On(semel.NewAgent[Account](app, "account"), "debit", (*Account).Debit)

	_, _ = debit.Call(ctx, "alice", Debit{Cents: 100}, semel.Key("tx-1"))
	_, _ = debit.Call(ctx, "alice", Debit{Cents: 50}, semel.Key("tx-2"))

	balances := make(map[string]string)
	var position semel.Position
	for c, err := range app.Changes(ctx, semel.ChangesQuery{Type: "account", From: semel.FromStart}) {
		switch {
		case err != nil:
			fmt.Println(err)
		case c.Reset: // list the agents, see there
		case c.Deleted:
			delete(balances, c.Agent.ID)
		default:
			balances[c.Agent.ID] = string(c.State)
			fmt.Println(c.Agent, c.Version, balances[c.Agent.ID])
		}
		position = c.Position
		break // a projection goes on
	}

	next := app.Changes(ctx, semel.ChangesQuery{Type: "account", From: position})
	_, _ = debit.Call(ctx, "bob", Debit{Cents: 1}, semel.Key("tx-3"))
	for c, err := range next {
		fmt.Println(c.Agent, string(c.State), err)
		break
	}
	// Output:
	// account/alice 2 {"Cents":-150}
	// account/bob {"Cents":-1} <nil>
}

// stores are what an App may run on here.
func stores(t *testing.T) map[string]store.Opener {
	return map[string]store.Opener{"mem": mem.New(), "pebble": pebble.At(t.TempDir(), pebble.Options{Shards: 4})}
}

// openOn opens an App on a store that is used by one App after the other.
func openOn(t *testing.T, on store.Opener) (*semel.App, *semel.Agent[counter], *semel.Action[int64, int64]) {
	t.Helper()
	app, err := semel.Open(t.Context(), on, &semel.Config{ChangeFeed: true, Fatal: func(err error) { t.Errorf("fatal: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeApp(t, app) })
	agent := semel.NewAgent[counter](app, "counter")
	return app, agent, semel.On(agent, "add", add)
}

func TestChanges(t *testing.T) {
	t.Parallel()
	for name, on := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app, agent, plus := openOn(t, on)
			before := must(app.FeedPosition(t.Context()))
			changes := app.Changes(t.Context(), semel.ChangesQuery{Type: "counter"})
			must(plus.Call(t.Context(), "a", 5, semel.Key("1")))
			must(plus.Call(t.Context(), "a", 1, semel.Key("1"), semel.Tenant("acme")))
			var at semel.Change
			for c, err := range changes {
				if err != nil {
					t.Fatal(err)
				}
				state, version, err := app.State(t.Context(), c.Agent)
				if err != nil || string(state) != string(c.State) || version != c.Version || c.Agent != agent.Name("a") && c.Agent.Tenant != message.DefaultTenant {
					t.Errorf("the feed has %+v, and it is %s, %d, %v", c, state, version, err)
				}
				at = c
				break
			}
			if err := agent.Delete(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			for c, err := range app.Changes(t.Context(), semel.ChangesQuery{Type: "counter", From: at.Position}) {
				if err != nil || !c.Deleted || c.State != nil || c.Version != 0 || c.Agent != at.Agent {
					t.Errorf("after the deletion the feed has %+v, %v", c, err)
				}
				break
			}
			closeApp(t, app)

			// The next process goes on where the last one was left.
			app, _, plus = openOn(t, on)
			must(plus.Call(t.Context(), "b", 1, semel.Key("1")))
			left := map[string]bool{"a": true, "b": true}
			for c, err := range app.Changes(t.Context(), semel.ChangesQuery{Type: "counter", From: before}) {
				if err != nil || c.Reset || c.Deleted != (c.Agent.ID == "a") {
					t.Fatalf("from the first position on comes %+v, %v", c, err)
				}
				if delete(left, c.Agent.ID); len(left) == 0 {
					break
				}
			}
			for c, err := range app.Changes(t.Context(), semel.ChangesQuery{Type: "counter", Tenant: "acme", From: semel.FromStart}) {
				if err != nil || c.Agent.Tenant != "acme" || c.Version != 1 {
					t.Errorf("of another tenant comes %+v, %v", c, err)
				}
				break
			}
		})
	}
}

func TestChangesEnd(t *testing.T) {
	t.Parallel()
	app, _, _ := openOn(t, mem.New())
	ctx, cancel := context.WithCancel(t.Context())
	ends := func(ctx context.Context, q semel.ChangesQuery, target error) {
		t.Helper()
		n := 0
		for c, err := range app.Changes(ctx, q) {
			if n++; n > 1 || err == nil {
				t.Fatalf("%+v, %v", c, err)
			}
			wantError(t, err, target)
		}
	}
	ends(t.Context(), semel.ChangesQuery{Type: "nothing"}, semel.ErrUnknownAgentType)
	ends(t.Context(), semel.ChangesQuery{Type: "counter", From: "x"}, semel.ErrInvalidRequest)
	time.AfterFunc(time.Millisecond, cancel)
	ends(ctx, semel.ChangesQuery{Type: "counter"}, semel.ErrCanceled)
	ends(ctx, semel.ChangesQuery{Type: "counter"}, context.Canceled)

	following, ended := make(chan struct{}), make(chan error, 1)
	changes := app.Changes(t.Context(), semel.ChangesQuery{Type: "counter"})
	go func() {
		close(following)
		for _, err := range changes {
			ended <- err
		}
	}()
	<-following
	closeApp(t, app)
	wantError(t, <-ended, semel.ErrClosed)
	ends(t.Context(), semel.ChangesQuery{Type: "counter"}, semel.ErrClosed)

	off := open(t, nil, semel.Config{})
	semel.NewAgent[counter](off, "counter")
	if _, err := off.FeedPosition(t.Context()); !errors.Is(err, semel.ErrInvalidRequest) {
		t.Errorf("a position without a feed: %v", err)
	}
}
