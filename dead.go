package semel

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/semel-dev/semel/internal/core"
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
}

// DeadLetters lists the messages that failed for good. It ends with an error,
// if there is one.
func (app *App) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		if err := app.use(ctx); err != nil {
			yield(DeadLetter{}, err)
			return
		}
		for d, err := range app.engine.DeadLetters(ctx) {
			if err != nil {
				yield(DeadLetter{}, readError(ctx, AgentName{}, "list dead letters", err))
				return
			}
			m := d.Message
			if !yield(DeadLetter{
				ID: m.ID, Agent: m.To, Action: m.Action, Principal: m.Principal, Key: m.Key, Body: orNull(m.Body),
				Reason: d.Reason, Attempts: d.Attempts, At: timeOf(d.At),
			}, nil) {
				return
			}
		}
	}
}

// RetryDead takes a message back from the dead letters and tries it again, as
// often as a new one. The error is ErrUnknownDead if there is no such one.
func (app *App) RetryDead(ctx context.Context, id ID) error {
	return app.dead(ctx, id, "retry", app.engine.RetryDead)
}

// DiscardDead gives a dead letter up. Whoever waits for its outcome is told
// that it was discarded: a rejection if it was a request, for each of its
// attempts was undone; unknown if it was the answer to something that its
// agent had asked. The error is ErrUnknownDead if there is no such one.
func (app *App) DiscardDead(ctx context.Context, id ID) error {
	return app.dead(ctx, id, "discard", app.engine.DiscardDead)
}

func (app *App) dead(ctx context.Context, id ID, verb string, do func(context.Context, ID) core.Answer) error {
	if err := app.use(ctx); err != nil {
		return err
	}
	if a := do(ctx, id); a.Fault != nil {
		return callError(ctx, AgentName{}, verb+" "+id.String(), a.Fault, a.Err)
	}
	return nil
}
