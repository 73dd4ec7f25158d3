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

// Seen is the moment at which a doubt was read. It is opaque; its text may be
// kept, and given back, also by another process.
type Seen string

// PendingEffect is an effect that is not settled.
type PendingEffect struct {
	ID        ID // its String is EffectCall.Key
	Effect    string
	Agent     AgentName // who asked
	Principal string
	Request   json.RawMessage
	InDoubt   bool // it may have happened, and waits for a person or a probe
	Started   bool // it may have been called
	Attempts  int
	AskedAt   time.Time
	StartedAt time.Time // of the last call; zero if there was none
	Reason    string    // why the last attempt did not settle it
	Seen      Seen      // when this was read, for About
	Place     Place     // in its listing
}

// Effects lists the effects that are not settled. It ends with an error, if
// there is one.
func (app *App) Effects(ctx context.Context, opts ...ListOption) iter.Seq2[PendingEffect, error] {
	return app.pending(ctx, opts, func(core.EffectView) bool { return true })
}

// Doubts lists the effects that are in doubt.
func (app *App) Doubts(ctx context.Context, opts ...ListOption) iter.Seq2[PendingEffect, error] {
	return app.pending(ctx, opts, func(e core.EffectView) bool { return e.InDoubt })
}

// Doubt looks up an effect that is in doubt. The error is ErrUnknownDoubt if
// there is none.
func (app *App) Doubt(ctx context.Context, id ID, opts ...ListOption) (PendingEffect, error) {
	if err := app.use(ctx); err != nil {
		return PendingEffect{}, err
	}
	what := "look up doubt " + id.String()
	e, found, err := app.engine.Effect(ctx, id)
	if err != nil {
		return PendingEffect{}, readError(ctx, AgentName{}, what, err)
	}
	if o := listOptionsOf(opts); !found || !e.InDoubt || !o.has(e.Agent.Tenant) {
		return PendingEffect{}, refuse(AgentName{}, what, message.CodeUnknownDoubt, "no effect %s is in doubt", id)
	}
	return pendingEffect(e), nil
}

func (app *App) pending(ctx context.Context, opts []ListOption, wanted func(core.EffectView) bool) iter.Seq2[PendingEffect, error] {
	return func(yield func(PendingEffect, error) bool) {
		o := listOptionsOf(opts)
		if err := app.use(ctx); err != nil {
			yield(PendingEffect{}, err)
			return
		}
		for e, err := range app.engine.Effects(ctx, engine.Place(o.after)) {
			if err != nil {
				yield(PendingEffect{}, readError(ctx, AgentName{}, "list effects", err))
				return
			}
			if o.has(e.Agent.Tenant) && wanted(e.EffectView) && !yield(pendingEffect(e), nil) {
				return
			}
		}
	}
}

func pendingEffect(e engine.EffectEntry) PendingEffect {
	return PendingEffect{
		ID: e.ID, Effect: e.Name, Agent: e.Agent, Principal: e.Principal, Request: orNull(e.Body),
		InDoubt: e.InDoubt, Started: e.Started, Attempts: e.Attempts,
		AskedAt: timeOf(e.AskedAt), StartedAt: timeOf(e.StartedAt), Reason: e.Reason, Seen: Seen(e.Seen.String()), Place: Place(e.Place),
	}
}

// Resolution is how a person settles a doubt.
type Resolution struct {
	status       message.Status
	reply        any
	code, detail string
	seen         Seen
}

// ResolveDone says that the effect happened, with this reply. A
// json.RawMessage is taken as it is.
func ResolveDone(reply any) Resolution {
	return Resolution{status: message.StatusDone, reply: reply}
}

// ResolveNotDone says that the effect did not happen. It is called again, with
// the same key. It must be About a doubt that was read before the look at the
// outside world. While a former call could still arrive then (for the effect's
// timeout after it came back, or after the App was opened), it is ErrTooEarly,
// whose After says when to look again. A program that does not have the effect,
// or is a guest, cannot say it (ErrUnknownEffect).
func ResolveNotDone() Resolution { return Resolution{status: message.StatusNotDone} }

// ResolveFailed says that the answer of the effect is no. An empty code means
// "rejected".
func ResolveFailed(code, detail string) Resolution {
	return Resolution{status: message.StatusRejected, code: orRejected(code), detail: detail}
}

// About says which doubt was read before somebody looked at the outside world:
// what is said holds of the calls that were made by then.
func (r Resolution) About(e PendingEffect) Resolution {
	r.seen = e.Seen
	return r
}

// Resolve settles an effect that is in doubt. Who says who does; it is recorded.
// The first resolution wins: the same one again changes nothing, and another
// one is ErrAlreadyResolved. It returns who settled the doubt, which may be
// somebody who said the same before. ErrUnknownDoubt says that no such effect is in doubt.
func (app *App) Resolve(ctx context.Context, id ID, r Resolution, who string, opts ...ListOption) (by string, err error) {
	o := listOptionsOf(opts)
	if err := app.use(ctx); err != nil {
		return "", err
	}
	if err := message.CheckName("name of who resolves", who); err != nil {
		return "", refuse(AgentName{}, "resolve "+id.String(), message.CodeInvalidRequest, "%v", err)
	}
	if r.status == 0 {
		return "", refuse(AgentName{}, "resolve "+id.String(), message.CodeInvalidRequest, "the resolution says nothing; use ResolveDone, ResolveNotDone or ResolveFailed")
	}
	seen, ok := core.ParseLook(string(r.seen))
	if r.status == message.StatusNotDone && !ok {
		return "", refuse(AgentName{}, "resolve "+id.String(), message.CodeInvalidRequest,
			"that it is not done must be about a doubt that was read before the look at the outside world: give back its seen")
	}
	res := core.Resolution{Status: r.status, Code: r.code, Detail: r.detail, Seen: seen, By: who, Tenant: o.tenant}
	if r.status == message.StatusDone {
		body, err := encode(r.reply)
		if err != nil {
			return "", refuse(AgentName{}, "resolve "+id.String(), message.CodeInvalidRequest, "the reply cannot be encoded: %v", err)
		}
		res.Body = body
	}
	a := app.engine.Resolve(ctx, id, res)
	if a.Fault != nil {
		return "", callError(ctx, AgentName{}, "resolve "+id.String(), a.Fault, a.Err)
	}
	by, _ = a.Value.(string)
	return by, nil
}
