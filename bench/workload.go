package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"

	"github.com/google/uuid"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/pebble"
)

// payload is the size in bytes of a body and of a state.
const payload = 100

// Account is the state that is measured: about payload bytes of JSON, with a
// string, so that it is encoded after every step as most states are.
type Account struct {
	Cents int64  `json:"cents"`
	Owner string `json:"owner"`
}

// Credit is the body: about payload bytes of JSON.
type Credit struct {
	Cents int64  `json:"cents"`
	Memo  string `json:"memo"`
}

// Receipt is the reply.
type Receipt struct {
	Cents int64 `json:"cents"`
}

var (
	memo  = strings.Repeat("m", payload-22)
	owner = strings.Repeat("o", payload-30)
)

// Credit adds to the account.
func (a *Account) Credit(_ *semel.Step, in Credit) (Receipt, error) {
	a.Cents += in.Cents
	a.Owner = owner
	return Receipt{Cents: a.Cents}, nil
}

// Bench is an open App with the measured actions, one for each guarantee.
type Bench struct {
	App        *semel.App
	Exactly    *semel.Action[Credit, Receipt]
	AtLeast    *semel.Action[Credit, Receipt]
	AtMost     *semel.Action[Credit, Receipt]
	CallerKeys func() string // makes the key of a new call
}

// actionNames are the actions' names, by guarantee.
var actionNames = [...]string{
	message.ExactlyOnce: "credit",
	message.AtLeastOnce: "credit-at-least-once",
	message.AtMostOnce:  "credit-at-most-once",
}

// needsKey says whether a call must say which one it is: where nothing is
// recorded, there is nothing to compare a key with.
func needsKey(g message.Guarantee) bool { return g != message.AtLeastOnce }

// keys makes the keys of calls with a guarantee; empty ones if it needs none.
func (b *Bench) keys(g message.Guarantee) func() string {
	if needsKey(g) {
		return b.CallerKeys
	}
	return func() string { return "" }
}

// action is the action with a guarantee.
func (b *Bench) action(g message.Guarantee) *semel.Action[Credit, Receipt] {
	return [...]*semel.Action[Credit, Receipt]{b.Exactly, b.AtLeast, b.AtMost}[g]
}

// Open opens an App on a Pebble store in dir, with the given options.
func Open(dir string, o pebble.Options, cfg *semel.Config) (*Bench, error) {
	o.Logger = slog.New(slog.DiscardHandler)
	return OpenOn(context.Background(), pebble.At(dir, o), cfg)
}

// OpenOn opens an App on any store.
func OpenOn(ctx context.Context, on store.Opener, cfg *semel.Config) (*Bench, error) {
	app, err := semel.Open(ctx, on, cfg)
	if err != nil {
		return nil, err
	}
	accounts := semel.NewAgent[Account](app, "account")
	b := &Bench{
		App:        app,
		Exactly:    semel.On(accounts, actionNames[message.ExactlyOnce], (*Account).Credit),
		AtLeast:    semel.On(accounts, actionNames[message.AtLeastOnce], (*Account).Credit, semel.AtLeastOnce),
		AtMost:     semel.On(accounts, actionNames[message.AtMostOnce], (*Account).Credit, semel.AtMostOnce),
		CallerKeys: func() string { return uuid.Must(uuid.NewV7()).String() },
	}
	if err := app.Start(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Close closes the App.
func (b *Bench) Close() error { return b.App.Close(context.Background()) }

// Run offers a load of one action, each call with a key: single calls, or
// groups by CallAll.
func (b *Bench) Run(l Load, action *semel.Action[Credit, Receipt]) (Result, error) {
	return b.run(l, action, b.CallerKeys)
}

// run calls with the key that key makes for each call, which is none if it is
// empty.
func (b *Bench) run(l Load, action *semel.Action[Credit, Receipt], key func() string) (Result, error) {
	return run(l, b.caller(l, action, key))
}

// caller makes one group of calls for one of the load's callers.
func (b *Bench) caller(l Load, action *semel.Action[Credit, Receipt], key func() string) func(c, n int) error {
	ctx := context.Background()
	agent := func() string { return fmt.Sprintf("a%d", rand.IntN(l.Agents)) }
	batches := make([][]semel.Request, l.Callers) // each caller's room, used again
	return func(c, n int) error {
		in := Credit{Cents: int64(n%100 + 1), Memo: memo}
		if l.Group == 1 {
			_, err := action.Call(ctx, agent(), in, semel.Key(key()))
			return err
		}
		requests := batches[c][:0]
		for range l.Group {
			requests = append(requests, action.Request(agent(), in, semel.Key(key())))
		}
		batches[c] = requests
		for _, a := range b.App.CallAll(ctx, requests) {
			if _, err := action.Reply(a); err != nil {
				return err
			}
		}
		return nil
	}
}
