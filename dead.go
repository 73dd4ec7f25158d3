package semel

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
)

// DeadLetter is a message that was accepted and failed for good.
type DeadLetter struct {
	ID        ID
	Agent     AgentName
	Action    string
	Principal string
	Key       string // empty for messages between agents
	Body      json.RawMessage
	Reason    string // of the last failure
	Attempts  int
	At        time.Time
	Place     Place // in its listing
}

func deadLetter(d engine.DeadEntry) DeadLetter {
	m := d.Message
	return DeadLetter{
		ID: m.ID, Agent: m.To, Action: m.Action, Principal: m.Principal, Key: m.Key, Body: orNull(m.Body),
		Reason: d.Reason, Attempts: d.Attempts, At: timeOf(d.At), Place: Place(d.Place),
	}
}

// DeadLetters lists the messages that failed for good. It ends with an error,
// if there is one.
func (app *App) DeadLetters(ctx context.Context, opts ...ListOption) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		o := listOptionsOf(opts)
		if err := app.use(ctx); err != nil {
			yield(DeadLetter{}, err)
			return
		}
		for d, err := range app.engine.DeadLetters(ctx, engine.Place(o.after)) {
			if err != nil {
				yield(DeadLetter{}, readError(ctx, AgentName{}, "list dead letters", err))
				return
			}
			if o.has(d.Message.To.Tenant) && !yield(deadLetter(d), nil) {
				return
			}
		}
	}
}

// DeadLetter looks up one of them. The error is ErrUnknownDead if there is no
// such one.
func (app *App) DeadLetter(ctx context.Context, id ID, opts ...ListOption) (DeadLetter, error) {
	return app.findDead(ctx, id, "look up", opts)
}

func (app *App) findDead(ctx context.Context, id ID, verb string, opts []ListOption) (DeadLetter, error) {
	if err := app.use(ctx); err != nil {
		return DeadLetter{}, err
	}
	what := verb + " " + id.String()
	d, found, err := app.engine.DeadLetter(ctx, id)
	if err != nil {
		return DeadLetter{}, readError(ctx, AgentName{}, what, err)
	}
	if o := listOptionsOf(opts); !found || !o.has(d.Message.To.Tenant) {
		return DeadLetter{}, refuse(AgentName{}, what, message.CodeUnknownDead, "there is no dead letter %s", id)
	}
	return deadLetter(d), nil
}

// RetryDead takes a message back from the dead letters and tries it again, as
// often as a new one. The error is ErrUnknownDead if there is no such one.
func (app *App) RetryDead(ctx context.Context, id ID, opts ...ListOption) error {
	return app.dead(ctx, id, "retry", opts, app.engine.RetryDead)
}

// DiscardDead gives a dead letter up. Whoever waits for its outcome is told
// that it was discarded: a rejection if it was a request, for each of its
// attempts was undone; unknown if it was the answer to something that its
// agent had asked. The error is ErrUnknownDead if there is no such one.
func (app *App) DiscardDead(ctx context.Context, id ID, opts ...ListOption) error {
	return app.dead(ctx, id, "discard", opts, app.engine.DiscardDead)
}

func (app *App) dead(ctx context.Context, id ID, verb string, opts []ListOption, do func(context.Context, ID) core.Answer) error {
	if err := app.use(ctx); err != nil {
		return err
	}
	if o := listOptionsOf(opts); o.tenant != "" {
		// An identity never changes its tenant, so what is looked at before
		// still holds when it is done.
		if _, err := app.findDead(ctx, id, verb, opts); err != nil {
			return err
		}
	}
	if a := do(ctx, id); a.Fault != nil {
		return callError(ctx, AgentName{}, verb+" "+id.String(), a.Fault, a.Err)
	}
	return nil
}
