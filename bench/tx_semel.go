package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/webeffect"
)

// txAgents are the accounts that take part, chosen uniformly.
const txAgents = 10000

// transfer is the name of the saga that is measured.
const transfer = "transfer"

// txSemel is an App with what DTM does: sagas of effects over HTTP, and a
// coordinator; and agents, which DTM has not.
type txSemel struct {
	app         *semel.App
	sagas       *saga.Registry
	coordinator *twopc.Coordinator
	database    *txDatabase // nil for a store of its own
}

// openTx opens it on an empty store, with effects that call the branches.
func openTx(ctx context.Context, on store.Opener, b *branches) (s *txSemel, err error) {
	app, err := semel.Open(ctx, on, nil)
	if err != nil {
		return nil, err
	}
	s = &txSemel{app: app}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	accounts := semel.NewAgent[Account](app, "account")
	credit := semel.On(accounts, "credit", (*Account).Credit)
	effects := map[string]webeffect.Spec{}
	for _, call := range []string{takeOut, takeIn, takeOut + undo, takeIn + undo} {
		effects[call] = webeffect.Spec{URL: b.url(call), Policy: "keyed", Timeout: 10 * time.Second, AllowPrivate: true}
	}
	if err := webeffect.Register(app, effects, nil); err != nil {
		return nil, err
	}
	s.sagas = saga.Register(app, &saga.Config{Logger: slog.New(slog.DiscardHandler)})
	step := func(call string) saga.Step[saga.Document] {
		return saga.Step[saga.Document]{Name: call, Do: saga.OfEffect(call, nil), Undo: saga.UndoByEffect(call+undo, input)}
	}
	saga.New(s.sagas, transfer, saga.Version[saga.Document]{Number: 1, Stages: []saga.Stage[saga.Document]{step(takeOut), step(takeIn)}})
	s.coordinator = twopc.New(app, nil)
	if err := app.Start(ctx); err != nil {
		return nil, err
	}
	return s, s.fund(ctx, credit)
}

// fund gives every account its first money, so that none has to be read from the
// store when it takes part first.
func (s *txSemel) fund(ctx context.Context, credit *semel.Action[Credit, Receipt]) error {
	const together = 500
	for first := 0; first < txAgents; first += together {
		var calls []semel.Request
		for i := range together {
			calls = append(calls, credit.Request(accountID(first+i), Credit{Cents: 100000, Memo: memo}, semel.Key(uuid.Must(uuid.NewV7()).String())))
		}
		for _, answer := range s.app.CallAll(ctx, calls) {
			if _, err := credit.Reply(answer); err != nil {
				return err
			}
		}
	}
	return nil
}

func accountID(n int) string { return fmt.Sprintf("a%d", n) }

func input(d *saga.Document, _ saga.Fact) (json.RawMessage, error) { return d.Input, nil }

func (s *txSemel) close() error { return s.app.Close(context.Background()) }

// saga is Semel's of two branches over HTTP, which run one after the other; its
// caller is in the same process as it.
func (s *txSemel) saga() way {
	return s.way("Semel, saga, in process", []string{takeOut, takeIn}, func(ctx context.Context, tx string) error {
		_, _, err := s.sagas.Run(ctx, transfer, tx, json.RawMessage(branchBody(tx)))
		return err
	})
}

// agents is a two-phase commit of two of its agents, until it is decided.
func (s *txSemel) agents() way {
	return s.way("Semel, 2PC of two agents, in process, until decided", nil, func(ctx context.Context, tx string) error {
		_, err := s.coordinator.Run(ctx, tx, randomTransfer())
		return err
	})
}

// randomTransfer moves money between two accounts.
func randomTransfer() []twopc.Part {
	from := rand.IntN(txAgents)
	to := (from + 1 + rand.IntN(txAgents-1)) % txAgents
	move := func(agent, cents int) twopc.Part {
		return twopc.Act("account", accountID(agent), "credit", json.RawMessage(fmt.Sprintf(`{"cents":%d,"memo":%q}`, cents, memo)))
	}
	return []twopc.Part{move(from, -30), move(to, 30)}
}

func (s *txSemel) way(name string, calls []string, run func(context.Context, string) error) way {
	return way{
		name: name, calls: calls, used: s.used,
		dial: func() (caller, error) {
			return caller{transact: func(tx string) error { return run(context.Background(), tx) }, close: func() {}}, nil
		},
	}
}

// used is what its database has used, and the units; the rest is this process's.
func (s *txSemel) used() usage {
	u := s.database.used()
	u.units = int64(s.app.Stats().UnitBytes.Count)
	return u
}
