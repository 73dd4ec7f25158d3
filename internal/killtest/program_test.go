package killtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/pebble"
)

// payer is the state of the program's agents.
type payer struct{ Paid int64 }

type payment struct {
	Policy string
	Cents  int64
}

var policies = []string{"read_only", "keyed", "probe", "at_most_once", "ask"}

// reply is what the program tells the test of a call or a resolution.
type reply struct {
	Reply    json.RawMessage `json:",omitempty"`
	Status   string
	Code     string `json:",omitempty"`
	Kind     string `json:",omitempty"`
	Ref      string `json:",omitempty"`
	Replayed bool   `json:",omitempty"`
}

func replyOf(o semel.Outcome, err error) reply {
	r := reply{Reply: o.Reply, Replayed: o.Replayed, Status: "done"}
	if err == nil {
		return r
	}
	r.Status, r.Kind = "failed", semel.KindOf(err).String()
	var notDone *semel.NotDoneError
	var rejected *semel.Rejection
	var unknown *semel.UnknownError
	switch {
	case errors.As(err, &notDone):
		r.Code = string(notDone.Code)
	case errors.As(err, &rejected):
		r.Code = rejected.Code
	case errors.As(err, &unknown):
		r.Code, r.Ref = string(unknown.Code), unknown.Ref.String()
	default:
		r.Code = err.Error()
	}
	return r
}

// outsideFunc calls or probes the outside world, on a connection of its own so
// that nothing below repeats a request by itself.
func outsideFunc(base, path, policy string) semel.EffectFunc[int64, string] {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context, c semel.EffectCall, cents int64) (string, error) {
		q := url.Values{"policy": {policy}, "key": {c.Key}, "cents": {fmt.Sprint(cents)}}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path+"?"+q.Encode(), nil)
		if err != nil {
			return "", err
		}
		res, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		if res.StatusCode == http.StatusNotFound {
			return "", semel.NotDone(errors.New("the outside world knows nothing of it"))
		}
		b, err := io.ReadAll(res.Body)
		if err != nil {
			return "", err
		}
		var receipt string
		return receipt, json.Unmarshal(b, &receipt)
	}
}

// registerPayer registers the agent that pays by an effect of each policy.
func registerPayer(app *semel.App, base string) {
	agent := semel.NewAgent[payer](app, "payer")
	paid := semel.Then(agent, "paid", func(p *payer, _ *semel.Step, in payment, r semel.Result[string]) (string, error) {
		if r.Done() {
			p.Paid += in.Cents
		}
		return r.Value, r.Err()
	})
	effects := make(map[string]*semel.Effect[int64, string])
	for _, policy := range policies {
		opt := map[string]semel.EffectOption{
			"read_only": semel.ReadOnly, "keyed": semel.Keyed, "at_most_once": semel.AtMostOnce, "ask": semel.Ask,
			"probe": semel.Probe(outsideFunc(base, "/probe", policy)),
		}[policy]
		effects[policy] = semel.NewEffect(app, policy, outsideFunc(base, "/call", policy), opt, semel.Timeout(5*time.Second))
	}
	semel.On(agent, "pay", func(_ *payer, s *semel.Step, in payment) (string, error) {
		effects[in.Policy].Ask(s, in.Cents, paid.With(in))
		return semel.Defer[string]()
	})
}

// runProgram is a program that embeds Semel, and does what the test asks.
func runProgram() error {
	ctx := context.Background()
	opener := store.Opener(pebble.At(os.Getenv("DATA")))
	if os.Getenv("GATE") != "" {
		opener = gatedOpener{opener}
	}
	app, err := semel.Open(ctx, opener, nil)
	if err != nil {
		return err
	}
	registerPayer(app, os.Getenv("OUTSIDE"))
	if err := app.Start(ctx); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/pay", func(w http.ResponseWriter, r *http.Request) {
		body, _ := json.Marshal(payment{Policy: r.FormValue("policy"), Cents: 7})
		writeJSON(w, replyOf(app.Do(r.Context(), semel.Request{Type: "payer", ID: "a", Action: "pay", Key: r.FormValue("key"), Body: body})))
	})
	mux.HandleFunc("/paid", func(w http.ResponseWriter, r *http.Request) {
		state, _, err := app.State(r.Context(), semel.AgentName{Type: "payer", ID: "a"})
		var p payer
		if err == nil {
			err = json.Unmarshal(state, &p)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		writeJSON(w, p.Paid)
	})
	mux.HandleFunc("/doubts", func(w http.ResponseWriter, r *http.Request) {
		ids := []string{}
		for e, err := range app.Doubts(r.Context()) {
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			ids = append(ids, e.ID.String())
		}
		writeJSON(w, ids)
	})
	mux.HandleFunc("/resolve", func(w http.ResponseWriter, r *http.Request) {
		id, _ := message.ParseID(r.FormValue("id"))
		res := semel.ResolveNotDone()
		if r.FormValue("as") == "done" {
			res = semel.ResolveDone(r.FormValue("reply"))
		}
		doubt, err := app.Doubt(r.Context(), id)
		if err != nil {
			doubt.Seen = "1-1" // it is settled, or another is meant
		}
		res = res.About(doubt)
		_, err = app.Resolve(r.Context(), id, res, "tester")
		writeJSON(w, replyOf(semel.Outcome{}, err))
	})
	return listenAndSay(mux)
}

// A gated store stops the world when an effect was asked: its unit becomes
// durable, the test is told, and from then on nobody hears of a commit and no
// other is made. So the effect was asked, and certainly not started.
type gatedOpener struct{ store.Opener }

func (o gatedOpener) OpenStore(ctx context.Context) (store.Store, error) {
	st, err := o.Opener.OpenStore(ctx)
	return &gatedStore{Store: st}, err
}

type gatedStore struct {
	store.Store
	shut atomic.Bool
}

func (st *gatedStore) Open(ctx context.Context, shard message.Shard, owner string) (store.Session, error) {
	s, err := st.Store.Open(ctx, shard, owner)
	return gatedSession{s, st}, err
}

type gatedSession struct {
	store.Session
	st *gatedStore
}

func (s gatedSession) Commit(ctx context.Context, u *message.Unit) store.Pending {
	if s.st.shut.Load() {
		select {}
	}
	asks := false
	for _, w := range u.Writes {
		asks = asks || w.Table == message.TableEffect && w.Op == message.Put
	}
	p := s.Session.Commit(ctx, u)
	if !asks {
		return p
	}
	s.st.shut.Store(true)
	return gatedPending{p}
}

type gatedPending struct{ store.Pending }

func (p gatedPending) Wait() error {
	if err := p.Pending.Wait(); err != nil {
		return err
	}
	say("asked")
	select {}
}
