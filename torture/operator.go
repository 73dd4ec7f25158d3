package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/torture/check"
)

// operator is the person who settles doubts, by looking into the outside world's
// books. Those books are of this run alone: about what somebody else asked for
// they know nothing, so that not a word may be said of it.
type operator struct {
	*recorder
	client *client.Client
	ledger string // its URL
	run    string
	shared bool            // somebody else may use the server too
	done   map[string]bool // doubts that were settled as done, by effect key
}

func (s *stage) newOperator() (*operator, error) {
	c, err := client.New(s.nodes[0].url, &client.Options{Token: s.opt.Token, BackoffMax: time.Second})
	if err != nil {
		return nil, err
	}
	return &operator{recorder: s.rec, client: c, ledger: s.ledgerURL, run: s.run, shared: s.opt.Target != "", done: make(map[string]bool)}, nil
}

// asked is what this run asked an effect for; ours says whether it did.
func (o *operator) asked(effect string, body json.RawMessage) (w wish, ours bool) {
	err := json.Unmarshal(body, &w)
	return w, err == nil && strings.HasPrefix(effect, effectName) && w.Run == o.run
}

// settle settles doubts until done is closed.
func (o *operator) settle(ctx context.Context, done <-chan struct{}) error {
	for {
		for doubt, err := range o.client.Doubts(ctx) {
			if err != nil {
				return err
			}
			if err := o.resolve(ctx, doubt); err != nil {
				return err
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-done:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// resolve says of a doubt of ours what the books say.
func (o *operator) resolve(ctx context.Context, doubt client.Doubt) error {
	asked, ours := o.asked(doubt.Effect, doubt.Request)
	if !ours {
		return nil
	}
	rec := check.Record{Type: check.Settle, Key: asked.Op, EffectKey: doubt.Key, Resolution: "not_done"}
	word := client.NotDone()
	status, body, err := o.books(ctx, doubt.Key)
	switch {
	case err != nil:
		return fmt.Errorf("the ledger: %w", err)
	case status == http.StatusOK:
		var r struct{ Receipt string }
		if err := json.Unmarshal(body, &r); err != nil {
			return fmt.Errorf("the ledger: %w", err)
		}
		rec.Resolution, rec.Receipt, word = "done", r.Receipt, client.Done(body)
	}
	rec.At = o.now() // what follows from the word comes later
	_, err = o.client.Resolve(ctx, doubt.ID, word.About(doubt))
	switch {
	case err == nil && o.done[doubt.Key]:
		// It was listed once more because its agent has not heard of it; the word is no new one.
	case err == nil:
		o.done[doubt.Key] = rec.Resolution == "done"
		o.write(rec)
	case errors.Is(err, semel.ErrAlreadyResolved), errors.Is(err, semel.ErrUnknownDoubt): // a probe was faster
	case errors.Is(err, semel.ErrTooEarly): // the books are asked again
	default:
		return err
	}
	return nil
}

func (o *operator) books(ctx context.Context, key string) (int, []byte, error) {
	req, err := newRequest(ctx, http.MethodGet, o.ledger+"/books/"+key, nil)
	if err != nil {
		return 0, nil, err
	}
	status, _, body, err := do(http.DefaultClient, req)
	return status, body, err
}

// look writes down which doubts and dead letters are left. What is left of a
// server that is shared may be somebody else's.
func (o *operator) look(ctx context.Context) error {
	for doubt, err := range o.client.Doubts(ctx) {
		if err != nil {
			return err
		}
		if _, ours := o.asked(doubt.Effect, doubt.Request); ours || !o.shared {
			o.write(check.Record{Type: check.Doubt, EffectKey: doubt.Key})
		}
	}
	for letter, err := range o.client.DeadLetters(ctx) {
		if err != nil {
			return err
		}
		if o.sent(letter) || !o.shared {
			o.write(check.Record{Type: check.Dead, Agent: letter.Agent, Key: letter.Key, Text: letter.Reason})
		}
	}
	o.write(check.Record{Type: check.Looked})
	return nil
}

// sent says whether a dead letter is of this run: to one of its accounts, or to
// an effect.
func (o *operator) sent(letter client.DeadLetter) bool {
	if effect, ok := strings.CutPrefix(letter.Agent, effectType); ok {
		_, ours := o.asked(effect, letter.Body)
		return ours
	}
	return strings.HasPrefix(letter.Agent, accountType+o.run+"-")
}

// state writes down what is left in an account.
func (o *operator) state(ctx context.Context, agent string) error {
	var a struct {
		Cents   int64 `json:"cents"`
		Pending int64 `json:"pending"`
	}
	s, err := o.client.State(ctx, agent)
	if err == nil {
		err = json.Unmarshal(s.State, &a)
	} else if errors.Is(err, semel.ErrUnknownAgent) {
		err = nil // nobody has touched it
	}
	if err == nil {
		o.write(check.Record{Type: check.State, Agent: agent, Balance: &a.Cents, Pending: a.Pending})
	}
	return err
}
