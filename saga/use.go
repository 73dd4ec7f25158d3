package saga

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// Request makes the call that starts a saga, for App.Do, App.Submit, or a test,
// and says what the saga's id will be. Of the options, As and Tenant matter. It
// is Definition.Request for those who do not know S: input is its JSON. The error
// is ErrUnknownAgentType if there is no such definition.
//
// The id is derived from tenant, principal and key, so who repeats the call with
// them finds the same saga.
func (g *Registry) Request(name, key string, input json.RawMessage, opts ...semel.CallOption) (r semel.Request, id string, err error) {
	d, err := g.definition(name)
	if err != nil {
		return r, "", err
	}
	r, id = d.request(key, input, opts)
	return r, id, nil
}

func (d *definition) request(key string, input json.RawMessage, opts []semel.CallOption) (r semel.Request, id string) {
	r = d.start.Request("", input, opts...)
	r.Key = key
	principal := r.Principal
	if principal == "" {
		principal = message.Anonymous
	}
	r.ID = agentID(r.Agent().Tenant, principal, key)
	return r, idOf(d.name, r.ID)
}

// Start starts a saga and returns its id when it is durable that it will go on
// until its end. Started again with the same key it is the same saga; with the
// same key and another input the error is ErrConflict. The Outcome says where it
// stands, if it was started before.
func (g *Registry) Start(ctx context.Context, name, key string, input json.RawMessage, opts ...semel.CallOption) (id string, o semel.Outcome, err error) {
	r, id, err := g.Request(name, key, input, opts...)
	if err != nil {
		return "", o, err
	}
	o, err = g.app.Submit(ctx, r)
	return id, o, err
}

// Run starts a saga, or finds the one that was started with the key, and waits
// for its end. Completed, its reply is the final state. If it did not complete
// and was undone, the error is a [*semel.Rejection] with the code of the step that
// failed, whose data are a Failed. If ctx ends first, ErrInFlight says that it
// goes on; so it does when the saga is parked.
func (g *Registry) Run(ctx context.Context, name, key string, input json.RawMessage, opts ...semel.CallOption) (id string, o semel.Outcome, err error) {
	r, id, err := g.Request(name, key, input, opts...)
	if err != nil {
		return "", o, err
	}
	o, err = g.app.Do(ctx, r)
	return id, o, err
}

// Get reads a saga. Of the options, Tenant matters. The error is ErrUnknownAgent
// if there is none: it was never started, or was forgotten.
func (g *Registry) Get(ctx context.Context, id string, opts ...semel.CallOption) (View, error) {
	d, agent, err := g.find(id)
	if err != nil {
		return View{}, err
	}
	v, err := d.get.Ask(ctx, agent, struct{}{}, opts...)
	v.ID = id
	return v, d.unknown(id, err)
}

// Cancel has a saga undone, if its pivot was not asked for: before that it is
// compensated and ends as Cancelled, from then on the order is rejected
// (CodePastPivot), and at its end too (CodeEnded). It returns when that is
// decided; the compensations follow. A saga that is being undone, or was, is left as
// it is; so to repeat the order changes nothing.
func (g *Registry) Cancel(ctx context.Context, id, who, why string, opts ...semel.CallOption) (Phase, error) {
	d, agent, err := g.find(id)
	if err != nil {
		return "", err
	}
	m, err := d.cancel.Call(ctx, agent, said{By: who, Why: why}, opts...)
	return m.Phase, d.unknown(id, err)
}

// Resume makes a parked saga try again from where it stands: what was not done
// gets as many tries again, functions of the definition run again. What may have
// happened is not tried again (CodeNeedsDecision): Settle it. A saga that is not
// parked goes on as it is.
func (g *Registry) Resume(ctx context.Context, id, who string, opts ...semel.CallOption) (Phase, error) {
	d, agent, err := g.find(id)
	if err != nil {
		return "", err
	}
	m, err := d.resume.Call(ctx, agent, said{By: who}, opts...)
	return m.Phase, d.unknown(id, err)
}

// Settlement is what somebody says of a step at which a saga is parked: of its
// Undo if the saga is compensating, else of its Do.
type Settlement struct {
	Step string
	// Fact is Happened: it happened, or somebody did it by hand; the saga goes on
	// behind it. Or DidNotHappen: it is asked for again, but a pivot that did not
	// happen fails the saga.
	Fact     Fact
	Who, Why string          // recorded; Who is required
	Reply    json.RawMessage // of what happened, to be kept in the state; nil if the state needs none
}

// Settle says what is the case with a step at which the saga is parked, and
// resumes it. It is rejected (CodeNotOpen) if nobody's word is waited for. An
// effect in doubt is settled by semel.App.Resolve instead, for which the saga
// waits.
func (g *Registry) Settle(ctx context.Context, id string, v Settlement, opts ...semel.CallOption) (Phase, error) {
	d, agent, err := g.find(id)
	if err != nil {
		return "", err
	}
	refuse := func(detail string) (Phase, error) {
		return "", &semel.NotDoneError{Code: message.CodeInvalidRequest, Detail: detail}
	}
	switch {
	case v.Fact != Happened && v.Fact != DidNotHappen:
		return refuse("a settlement says that the step happened, or that it did not happen")
	case message.CheckName("name of who settles", v.Who) != nil:
		return refuse("a settlement needs the name of who says so")
	case v.Reply != nil && v.Fact == DidNotHappen:
		return refuse("what did not happen has no reply")
	}
	m, err := d.settle.Call(ctx, agent, settlement{Step: v.Step, Fact: v.Fact, By: v.Who, Why: v.Why, Reply: v.Reply}, opts...)
	return m.Phase, d.unknown(id, err)
}

// Skip is Settle for a step that somebody did by hand.
func (g *Registry) Skip(ctx context.Context, id, step, who, why string, opts ...semel.CallOption) (Phase, error) {
	return g.Settle(ctx, id, Settlement{Step: step, Fact: Happened, Who: who, Why: why}, opts...)
}

// unknown words that there is no such saga, however that shows.
func (d *definition) unknown(id string, err error) error {
	var no *semel.Rejection
	if errors.As(err, &no) && no.Code == codeUnknownSaga || errors.Is(err, semel.ErrUnknownAgent) {
		return unknownSaga(id)
	}
	return err
}
