package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/torture/check"
)

// operator is the person who settles doubts, by looking into the outside world's
// books.
type operator struct {
	*recorder
	client *client.Client
	ledger string // its URL
}

func newOperator(rec *recorder, server, token, ledger string) (*operator, error) {
	c, err := client.New(server, &client.Options{Token: token, BackoffMax: time.Second})
	if err != nil {
		return nil, err
	}
	return &operator{rec, c, ledger}, nil
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

// resolve says of a doubt what the books say. One of another run on the same
// server is not ours.
func (o *operator) resolve(ctx context.Context, doubt client.Doubt) error {
	var asked wish
	if err := json.Unmarshal(doubt.Request, &asked); err != nil || asked.Op == "" {
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
	case err == nil:
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

// look writes down which doubts and dead letters are left; if all is not said,
// they may be of somebody else.
func (o *operator) look(ctx context.Context, all bool) error {
	for doubt, err := range o.client.Doubts(ctx) {
		if err != nil {
			return err
		}
		if all {
			o.write(check.Record{Type: check.Doubt, EffectKey: doubt.Key})
		}
	}
	for letter, err := range o.client.DeadLetters(ctx) {
		if err != nil {
			return err
		}
		if all {
			o.write(check.Record{Type: check.Dead, Agent: letter.Agent, Key: letter.Key, Text: letter.Reason})
		}
	}
	o.write(check.Record{Type: check.Looked})
	return nil
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
