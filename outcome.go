package semel

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
)

// Status says where a message stands.
type Status = message.Status

// Outcome is what is recorded of a message.
type Outcome struct {
	Status      Status
	Action      string
	Reply       json.RawMessage // if done: the reply, byte for byte. Others may hold it too: it must not be changed
	Code        string          // of a rejection
	Detail      string
	Data        json.RawMessage     // of a rejection that has some: JSON, byte for byte. It must not be changed either
	Ref         ID                  // the doubt or the dead letter that it waits for
	Fingerprint message.Fingerprint // of the request; zero without a key
	FirstSeen   time.Time
	Settled     time.Time // zero if it is not settled
	Attempts    int
	Replayed    bool // it was recorded before this call
	// AskedAgain: the call was made more than once, because a shard moved from
	// node to node meanwhile. What is Replayed may then be of the call itself.
	AskedAgain bool
}

// Answer is what a call is told. Err is nil if it was done; else it is one of
// the three errors, and what is recorded, if anything is, stands in Outcome.
type Answer struct {
	Outcome
	Err error

	value any // the reply, if it was handed over within the process
}

func outcomeOf(o *message.Outcome) Outcome {
	out := Outcome{
		Status: o.Status, Action: o.Action, Code: o.Code, Detail: o.Detail, Ref: o.Doubt,
		Fingerprint: o.Fingerprint, FirstSeen: timeOf(o.FirstSeen), Settled: timeOf(o.Settled), Attempts: o.Attempts,
	}
	switch {
	case o.Status == message.StatusDone:
		out.Reply = orNull(o.Body)
	case o.Status == message.StatusRejected && len(o.Body) > 0:
		out.Data = o.Body
	}
	return out
}

func orNull(b []byte) json.RawMessage {
	if len(b) == 0 {
		return null
	}
	return b
}

// answerOf tells a caller what became of its message.
func answerOf(ctx context.Context, a AgentName, action string, ans core.Answer) Answer {
	if ans.Fault != nil {
		return Answer{Err: callError(ctx, a, action, ans.Fault, ans.Err)}
	}
	out := outcomeOf(ans.Outcome)
	out.Replayed, out.AskedAgain = ans.Replayed, ans.Again
	return Answer{Outcome: out, Err: out.Err(a, action), value: ans.Value}
}

// Err is the error that a caller of the action is given for the outcome; nil if
// it is done.
func (o *Outcome) Err(a AgentName, action string) error {
	unknown := func(code message.Code, form string, args ...any) error {
		return &UnknownError{Agent: a, Action: action, Code: code, Detail: fmt.Sprintf(form, args...), Ref: o.Ref}
	}
	switch o.Status {
	case message.StatusDone:
		return nil
	case message.StatusRejected:
		return &Rejection{Agent: a, Action: action, Code: o.Code, Detail: o.Detail, Data: o.Data}
	case message.StatusInFlight:
		return unknown(message.CodeInFlight, "it was accepted and goes on; ask again with the same key")
	case message.StatusInDoubt:
		return unknown(message.CodeInDoubt, "effect %s may have happened, and waits for a person or a probe to say so; resolve the doubt, or ask again later with the same key", o.Ref)
	case message.StatusDead:
		return unknown(message.CodeDead, "it failed too often and is dead letter %s; retry or discard that", o.Ref)
	case message.StatusNotDone:
		return &NotDoneError{Agent: a, Action: action, Code: message.Code(o.Code), Detail: o.Detail}
	}
	detail := o.Detail
	if detail == "" {
		detail = "nobody can know whether it took effect, and it is not tried again"
	}
	return unknown(message.CodeOutcomeUnknown, "%s", detail)
}

// Outcome looks up what is recorded of a call by its key. Of the options, As
// and Tenant matter. The error is of the kind unknown if nothing is recorded:
// ErrExpired when the key's own time says that it may have been forgotten, else
// ErrUnknownKey. That is no proof that it did not and will not take effect: the
// call may be under way (in the network, in a queue, or because its agent is
// held), or be older than the retention. Only repeating the call itself, with
// the same key, settles it.
func (app *App) Outcome(ctx context.Context, name AgentName, key string, opts ...CallOption) (Outcome, error) {
	o := callOptionsOf(opts)
	if name.Tenant == "" {
		name.Tenant = o.tenant
	}
	if err := app.address(ctx, &name); err != nil {
		return Outcome{}, err
	}
	if err := message.CheckKey(key); err != nil {
		return Outcome{}, refuse(name, "", message.CodeKeyInvalid, "%v", err)
	}
	principal := o.principal
	if principal == "" {
		principal = message.Anonymous
	}
	found, err := app.engine.Outcome(ctx, name, principal, key)
	if err != nil {
		return Outcome{}, readError(ctx, name, "look up an outcome", err)
	}
	if found == nil {
		return Outcome{}, faultError(name, "look up an outcome", &message.Fault{Code: message.CodeUnknownKey, Detail: fmt.Sprintf(
			"no outcome is recorded under this key for principal %q: a call with it never came, is still on its way, was not done, or is older than the retention; to be sure, repeat the call with the same key", principal)}, nil)
	}
	out := outcomeOf(found)
	out.Replayed = true
	return out, nil
}

// OutcomeEntry is an outcome with the key that it is recorded under.
type OutcomeEntry struct {
	Principal string
	Key       string
	Outcome   Outcome
	Place     Place
}

// Outcomes lists what is recorded of an agent's calls that had a key: first
// what is not settled, then what was settled within the retention. Of messages
// without a key (between agents, from a source that numbers them) no outcome is
// listed. It ends with an error, if there is one.
func (app *App) Outcomes(ctx context.Context, name AgentName, opts ...ListOption) iter.Seq2[OutcomeEntry, error] {
	return func(yield func(OutcomeEntry, error) bool) {
		o := listOptionsOf(opts)
		if name.Tenant == "" {
			name.Tenant = o.tenant
		}
		if err := app.address(ctx, &name); err != nil {
			yield(OutcomeEntry{}, err)
			return
		}
		for e, err := range app.engine.Outcomes(ctx, name, engine.Place(o.after)) {
			if err != nil {
				yield(OutcomeEntry{}, readError(ctx, name, "list outcomes", err))
				return
			}
			if !yield(OutcomeEntry{Principal: e.Principal, Key: e.Key, Outcome: outcomeOf(e.Outcome), Place: Place(e.Place)}, nil) {
				return
			}
		}
	}
}
