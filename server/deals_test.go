package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/twopc"
)

// deals gives a server a coordinator and two sagas. "deal" takes cents of the
// account "from" and pays, behind which there is no way back, and gives them to
// the account "to"; "failures" is how often paying is not done at first. "hold"
// takes cents, and waits for something until release is called.
type deals struct {
	mu       sync.Mutex
	paid     map[string]int // by the saga
	released chan struct{}
}

// stubborn is a participant that promises, and then never acknowledges.
type stubborn struct{}

func (stubborn) Prepare(_ context.Context, b twopc.Branch) (twopc.Vote, error) {
	if string(b.Body) == `"no"` {
		return twopc.Vote{}, semel.Reject("never", "it said no")
	}
	return twopc.Vote{Reply: b.Body}, nil
}

func (stubborn) Commit(context.Context, twopc.Prepared) error { return errors.New("it is gone") }
func (stubborn) Abort(context.Context, twopc.Prepared) error  { return errors.New("it is gone") }

func (stubborn) Recover(context.Context) ([]twopc.Prepared, error) {
	return []twopc.Prepared{{Tx: "of-somebody-else", Name: "1"}}, nil
}

// dealt is what a saga of either is started with.
type dealt struct {
	From     string `json:"from"`
	Cents    int    `json:"cents"`
	Failures int    `json:"failures"`
}

func (d *deals) register(app *semel.App, opts *server.Options) {
	d.paid, d.released = make(map[string]int), make(chan struct{})
	opts.Transactions, opts.Sagas = twopc.New(app, nil), saga.Register(app, nil)
	opts.Transactions.Register("stubborn", stubborn{})
	semel.NewEffect(app, "deal.pay", func(_ context.Context, c semel.EffectCall, in dealt) (string, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.paid[c.Agent.ID]++; d.paid[c.Agent.ID] <= in.Failures {
			return "", semel.NotDone(errors.New("no line"))
		}
		return "paid", nil
	}, semel.Keyed, semel.Attempts(1))
	semel.NewEffect(app, "deal.wait", func(ctx context.Context, _ semel.EffectCall, _ any) (string, error) {
		select {
		case <-d.released:
			return "over", nil
		case <-ctx.Done():
			return "", semel.NotDone(ctx.Err())
		}
	}, semel.Keyed)
	input := func(doc *saga.Document) (in dealt, err error) { return in, json.Unmarshal(doc.Input, &in) }
	from := func(doc *saga.Document) (string, error) {
		if in, err := input(doc); err == nil && in.From != "" {
			return in.From, nil
		}
		return "", semel.Reject("nobody", "it says no account") // an error would park the saga
	}
	cents := func(doc *saga.Document) (json.RawMessage, error) {
		in, err := input(doc)
		return fmt.Appendf(nil, `{"cents":%d}`, in.Cents), err
	}
	take := saga.Step[saga.Document]{
		Name: "take", Do: saga.OfAction("account", "debit", from, cents),
		Undo: saga.UndoByAction("account", "credit", from, func(doc *saga.Document, _ saga.Fact) (json.RawMessage, error) { return cents(doc) }),
	}
	saga.New(opts.Sagas, "deal", saga.Version[saga.Document]{Number: 1, Stages: []saga.Stage[saga.Document]{
		take,
		saga.Step[saga.Document]{Name: "book", Pivot: true, Do: saga.OfAction("account", "credit", func(*saga.Document) (string, error) { return "book", nil }, cents)},
		saga.Step[saga.Document]{Name: "pay", Do: saga.OfEffect("deal.pay", nil), Retry: saga.Retry{Attempts: 1}},
	}})
	saga.New(opts.Sagas, "hold", saga.Version[saga.Document]{Number: 1, Stages: []saga.Stage[saga.Document]{
		take, saga.Step[saga.Document]{Name: "wait", Do: saga.OfEffect("deal.wait", nil)},
	}})
}

// transfer is the body of a transaction that moves cents.
func transfer(from, to string, cents int) string {
	return fmt.Sprintf(`{"participants":[{"agent":"account/%s","action":"debit","body":{"cents":%d}},{"agent":"account/%s","action":"credit","body":{"cents":%d}}]}`, from, cents, to, cents)
}

// start starts a saga, and is not answered before phase.
func (s *site) start(who, name, key, input string) (id string) {
	s.t.Helper()
	r := s.as(who, "POST", "/v1/sagas/"+name, input, "Idempotency-Key", key, "Prefer", "respond-async")
	if id = r.header.Get("Semel-Saga"); r.status != 202 || !strings.HasPrefix(id, name+"-") {
		s.t.Errorf("%+v", r)
	}
	return id
}

// phased waits until a saga is in a phase.
func (s *site) phased(who, id string, phase saga.Phase) (v saga.View) {
	s.t.Helper()
	for range 10_000 {
		if v = get[saga.View](s.t, s.as(who, "GET", "/v1/sagas/"+id, ""), 200); v.Phase == phase {
			return v
		}
	}
	s.t.Fatalf("the saga is still %s: %+v", v.Phase, v)
	return v
}

// cents is what an account of somebody's tenant holds.
func (s *site) cents(t *testing.T, who, id string) int {
	t.Helper()
	return get[struct{ State struct{ Cents int } }](t, s.as(who, "GET", "/v1/agents/account/"+id, ""), 200).State.Cents
}
