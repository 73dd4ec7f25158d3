package twopc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// The codes of a transaction that is aborted and had no voter's own. A voter's
// code is passed on as it is.
const (
	CodeTimeout  = "timeout"             // not all votes came in time
	CodeTooLarge = "too_large"           // the replies are too large to be kept
	CodeInvalid  = "invalid_transaction" // what is asked for cannot be a transaction
)

// Other codes of answers of the coordinator.
const (
	CodeUndecided     = "undecided"           // it is not decided yet
	CodeUnknown       = "unknown_transaction" // nothing is known of it, or not any more
	CodeUnknownBranch = "unknown_branch"      // it has no such branch
	CodeNotNeeded     = "not_needed"          // there is nothing for an operator to resolve
)

// Part is what one participant is to do. Make one by Do, Act or
// Coordinator.With.
type Part struct {
	branch branch
	err    error
}

// Do asks an agent for an action. Its step must be of the kind that replies at
// once: one that defers votes no, because what it waits for cannot be undone.
// (The only participant of a transaction may defer.)
func Do[In, Out any](ref semel.Ref[In, Out], id string, in In) Part {
	typ, action := ref.Names()
	body, err := json.Marshal(in)
	if err != nil {
		err = fmt.Errorf("the body of %s of %s/%s cannot be encoded: %w", action, typ, id, err)
	}
	return Part{branch: branch{Type: typ, ID: id, Action: action, Body: body}, err: err}
}

// Act is Do for those who do not know the types. body is JSON, and belongs to
// the Part; empty means null.
func Act(agentType, id, action string, body json.RawMessage) Part {
	return Part{branch: branch{Type: agentType, ID: id, Action: action, Body: body}}
}

// With asks a registered participant, by its name. What the body means is the
// participant's: it is kept as JSON.
func (c *Coordinator) With(participant string, body any) Part {
	b, err := json.Marshal(body)
	if err != nil {
		err = fmt.Errorf("the body for participant %q cannot be encoded: %w", participant, err)
	} else if c.participants[participant] == nil {
		err = fmt.Errorf("no participant %q is registered", participant)
	}
	return Part{branch: branch{Participant: participant, Body: b}, err: err}
}

// Result is the outcome of a transaction that is committed.
type Result struct {
	Tx      string            `json:"tx"`      // its name
	Replies []json.RawMessage `json:"replies"` // of the participants, in the order in which they were given
}

// Reply reads the reply of the i-th participant, from 0. The error is
// semel.ErrReplyMisfit if it does not fit Out.
func Reply[Out any](r Result, i int) (out Out, err error) {
	if i < 0 || i >= len(r.Replies) {
		return out, fmt.Errorf("twopc: transaction %s has %d participants, and no number %d", r.Tx, len(r.Replies), i)
	}
	if len(r.Replies[i]) == 0 {
		return out, nil
	}
	if err := json.Unmarshal(r.Replies[i], &out); err != nil {
		return out, &semel.UnknownError{Code: message.CodeReplyMisfit, Detail: fmt.Sprintf(
			"the reply of participant %d of transaction %s does not fit %T: %v", i, r.Tx, out, err)}
	}
	return out, nil
}

// Refused is the data of the rejection of a transaction that is aborted: who
// refused it.
type Refused struct {
	Tx     string          `json:"tx"`
	Branch string          `json:"branch,omitempty"` // the name of the branch: its number, from 1; empty if it was none
	At     string          `json:"at,omitempty"`     // the agent or the participant
	Data   json.RawMessage `json:"data,omitempty"`   // of its own rejection
}

// RefusedOf finds out of an error of Run who refused.
func RefusedOf(err error) (r Refused, ok bool) {
	var no *semel.Rejection
	if !errors.As(err, &no) || len(no.Data) == 0 {
		return r, false
	}
	return r, json.Unmarshal(no.Data, &r) == nil && r.Tx != ""
}

// outcome is what the caller of run is told.
func (t *transaction) outcome() (Result, error) {
	switch {
	case t.State == Unclear:
		return Result{}, semel.OutcomeUnknown("%s", cmpText(t.Branches[0].Error, "the only participant does not know"))
	case t.State != Committed:
		why := t.Refusal
		if why == nil {
			why = &refusal{Code: CodeUnknown}
		}
		r := Refused{Tx: t.Tx, Data: why.Data}
		if why.Branch > 0 && why.Branch <= len(t.Branches) {
			r.Branch, r.At = branchName(why.Branch-1), t.Branches[why.Branch-1].subject()
		}
		return Result{}, semel.Reject(why.Code, "%s", why.Detail).With(r)
	}
	r := Result{Tx: t.Tx}
	for i := range t.Branches {
		r.Replies = append(r.Replies, t.Branches[i].Reply)
	}
	return r, nil
}

// Option is a choice made for one transaction.
type Option func(*options)

type options struct {
	tenant, principal string
	timeout           time.Duration
}

// Within bounds the time until the decision, instead of Config.Timeout: from
// 10 ms to 24 hours. A transaction of one agent alone ends when that has
// answered, and has no timeout.
func Within(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// As says on whose behalf it runs; keys are the principal's own. The default is
// "anonymous".
func As(principal string) Option { return func(o *options) { o.principal = principal } }

// Tenant says whose agents are meant, and whose transaction it is. The default
// is "default".
func Tenant(tenant string) Option { return func(o *options) { o.tenant = tenant } }

func optionsOf(opts []Option) options {
	o := options{tenant: message.DefaultTenant, principal: message.Anonymous}
	for _, set := range opts {
		set(&o)
	}
	if o.tenant == "" {
		o.tenant = message.DefaultTenant
	}
	if o.principal == "" {
		o.principal = message.Anonymous
	}
	return o
}

// Run makes all of the parts happen, or none, and returns when that is decided;
// everybody is told then, whatever happens to us. The key is what a retry has
// again: it gets the stored outcome. An agent takes part once, and outside
// participants as often as they allow. At most MaxParticipants take part, with
// bodies of 256 KiB together.
//
// The error is one of semel's three. A [*semel.Rejection] is the abort: its code
// is the voter's own, or one of the codes above, and RefusedOf says who it was.
// When ctx ends first, the transaction goes on (semel.ErrInFlight): ask again
// with the same key.
func (c *Coordinator) Run(ctx context.Context, key string, parts []Part, opts ...Option) (Result, error) {
	req, err := c.Request(ctx, key, parts, opts...)
	if err != nil {
		return Result{}, err
	}
	for _, p := range parts {
		if b := &p.branch; !b.outside() { // else it would vote no, and that would be recorded
			if _, err := c.app.Action(b.Type, b.Action); err != nil {
				return Result{}, err
			}
		}
	}
	out, err := c.app.Do(ctx, req)
	if err != nil {
		return Result{}, err
	}
	return ReadResult(out.Reply)
}

// Request makes the call that Run makes, for App.CallAll, App.SubmitAll and
// tests. ReadResult reads the reply.
func (c *Coordinator) Request(ctx context.Context, key string, parts []Part, opts ...Option) (semel.Request, error) {
	o := optionsOf(opts)
	none := semel.Request{}
	if err := message.CheckKey(key); err != nil {
		return none, notDone(message.CodeKeyInvalid, "%v", err)
	}
	in := request{TimeoutMS: int64((o.timeout + time.Millisecond - 1) / time.Millisecond)}
	for _, p := range parts {
		if p.err != nil {
			return none, notDone(message.CodeInvalidRequest, "%v", p.err)
		}
		in.Branches = append(in.Branches, p.branch)
	}
	if err := c.check(&in); err != nil {
		return none, notDone(message.CodeInvalidRequest, "%v", err)
	}
	if err := c.tenants.know(ctx, o.tenant); err != nil {
		return none, err
	}
	body, err := json.Marshal(in)
	if err != nil {
		return none, notDone(message.CodeInvalidRequest, "a body is not JSON: %v", err)
	}
	return semel.Request{
		Tenant: o.tenant, Principal: o.principal, Type: Type, ID: agentID(o.tenant, o.principal, key), Action: "run", Key: key, Body: body,
	}, nil
}

// ReadResult reads a recorded reply of a transaction.
func ReadResult(reply json.RawMessage) (r Result, err error) {
	if err := json.Unmarshal(reply, &r); err != nil {
		return r, &semel.UnknownError{Action: "run", Code: message.CodeReplyMisfit, Detail: "the recorded outcome of the transaction cannot be read: " + err.Error()}
	}
	return r, nil
}

func notDone(code message.Code, form string, args ...any) error {
	return &semel.NotDoneError{Action: "run", Code: code, Detail: fmt.Sprintf(form, args...)}
}
