package semel

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"unsafe"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// Request is a call without types: what a server makes of a request, and what
// Action.Request makes for a batch.
type Request struct {
	Tenant    string // empty means "default"
	Principal string // empty means "anonymous"
	Type      string
	ID        string
	Action    string
	Key       string
	Sequence  Sequence // instead of Key
	Token     string   // of the hold that it may pass
	// Body is JSON; empty means null. It belongs to the App from the call on:
	// it must not be changed any more.
	Body json.RawMessage

	err   error // why it cannot be sent
	value any   // the body, if it can be handed over within the process,
	of    *byte // and has not been replaced since: where its encoding begins,
	size  int   // and its length
}

// Agent is whom the request is for.
func (r *Request) Agent() AgentName {
	a := AgentName{Tenant: r.Tenant, Type: r.Type, ID: r.ID}
	if a.Tenant == "" {
		a.Tenant = message.DefaultTenant
	}
	return a
}

// Do asks for an action and waits for its outcome. It is Action.Call without
// types: the reply is the recorded bytes. If the error is a rejection, or says
// where the outcome stands, the Outcome says so too. A message with a Sequence
// is refused: no reply is kept for it; use Submit.
//
// What can be wrong is looked at in this order: type and action, names, key,
// size and syntax of the body, what is recorded under the key, the shape of the
// body. So a repeated call is answered even if the program would refuse its
// body by now.
func (app *App) Do(ctx context.Context, r Request) (Outcome, error) {
	a := app.call(ctx, &r)
	return a.Outcome, a.Err
}

// Submit hands a message over and returns when it is durably accepted. It is
// Action.Submit without types. The Outcome says where it stands: in flight, or,
// if it was settled before, what is recorded, which may be a rejection.
func (app *App) Submit(ctx context.Context, r Request) (Outcome, error) {
	m := new(message.Message)
	if err := app.prepare(ctx, &r, m, true); err != nil {
		return Outcome{}, err
	}
	ctx, done := app.tracing.call(ctx, m)
	a := answerOf(ctx, m.To, m.Action, app.engine.Submit(ctx, m, true))
	err := accepted(a)
	done(err)
	return a.Outcome, err
}

// CallAll makes many calls at once and waits for all of their outcomes, which
// are in the order of the requests. It is the cheapest way to make many. They
// are independent: each takes effect, or not, by itself. Read a reply with
// Action.Reply.
func (app *App) CallAll(ctx context.Context, requests []Request) []Answer {
	return app.all(ctx, requests, false)
}

// SubmitAll hands many messages over and returns when all are durably
// accepted, with an error for each, nil if it is.
func (app *App) SubmitAll(ctx context.Context, requests []Request) []error {
	errs := make([]error, len(requests))
	for i, a := range app.all(ctx, requests, true) {
		errs[i] = accepted(a)
	}
	return errs
}

// accepted says whether a message was accepted: it has an outcome, whatever
// that is.
func accepted(a Answer) error {
	if a.Status != 0 {
		return nil
	}
	return a.Err
}

func (app *App) all(ctx context.Context, requests []Request, accept bool) []Answer {
	answers := make([]Answer, len(requests))
	messages := make([]*message.Message, 0, len(requests))
	room := make([]message.Message, len(requests))
	for i := range requests {
		m := &room[i]
		if answers[i].Err = app.prepare(ctx, &requests[i], m, accept); answers[i].Err == nil {
			app.tracing.one(ctx, m)
			messages = append(messages, m)
		}
	}
	if len(messages) == 0 {
		return answers
	}
	at := -1 // of the answer to the message before; behind it, an error says that one was not sent
	app.engine.SubmitAll(ctx, messages, accept, func(i int, a core.Answer) {
		for at++; answers[at].Err != nil; at++ { // it was not sent
		}
		answers[at] = answerOf(ctx, messages[i].To, messages[i].Action, a)
	})
	return answers
}

func (app *App) call(ctx context.Context, r *Request) Answer {
	m := new(message.Message)
	if err := app.prepare(ctx, r, m, false); err != nil {
		return Answer{Err: err}
	}
	ctx, done := app.tracing.call(ctx, m)
	a := answerOf(ctx, m.To, m.Action, app.engine.Submit(ctx, m, false))
	done(a.Err)
	return a
}

// prepare checks a request and makes m its message. accept says that the caller
// waits for its acceptance only.
func (app *App) prepare(ctx context.Context, r *Request, m *message.Message, accept bool) error {
	if err := app.use(ctx); err != nil {
		return err
	}
	if r.err != nil {
		return r.err
	}
	to := r.Agent()
	no := func(code message.Code, detail string) error {
		return refuse(to, r.Action, code, "%s", detail)
	}
	action, fault := app.lookup(r.Type, r.Action)
	if fault != nil {
		return faultError(AgentName{}, "", fault, nil)
	}
	if err := to.Validate(); err != nil {
		return no(message.CodeInvalidRequest, err.Error())
	}
	*m = message.Message{To: to, Action: r.Action, Principal: r.Principal, Body: r.Body, Token: r.Token}
	if r.value != nil && unsafe.SliceData(r.Body) == r.of && len(r.Body) == r.size {
		m.Value = r.value
	}
	if m.Principal == "" {
		m.Principal = message.Anonymous
	} else if err := message.CheckName("principal", m.Principal); err != nil {
		return no(message.CodeInvalidRequest, err.Error())
	}
	if m.Token != "" {
		if err := message.CheckName("token", m.Token); err != nil {
			return no(message.CodeInvalidRequest, err.Error())
		}
	}
	if err := identify(m, r, action.Guarantee); err != nil {
		return err
	}
	if m.Source != "" && !accept {
		// Nobody who waits for a failed step may go on to the next position:
		// the cursor would pass the one that was not consumed. An accepted
		// message is tried until it is consumed.
		return no(message.CodeInvalidRequest, "no reply is kept for a message that has a place in a sequence; use Submit, or give it a key")
	}
	if len(r.Body) > app.cfg.MaxBody {
		return refuse(to, r.Action, message.CodeTooLarge, "the body has %d bytes; at most %d are allowed: send what is large elsewhere, and refer to it", len(r.Body), app.cfg.MaxBody)
	}
	if m.Key == "" {
		if err := message.CheckJSON(r.Body); err != nil {
			return no(message.CodeInvalidRequest, err.Error())
		}
		return nil
	}
	var err error
	if m.Fingerprint, err = message.FingerprintOf(to, r.Action, r.Body); err != nil {
		return no(message.CodeInvalidRequest, err.Error())
	}
	return nil
}

// identify gives a message its identity: the key or the place in a sequence
// that its caller gave, or, where a duplicate may run again, a random one.
func identify(m *message.Message, r *Request, g Guarantee) error {
	no := func(code message.Code, form string, args ...any) error {
		return refuse(m.To, m.Action, code, form, args...)
	}
	seq := r.Sequence
	if r.Key != "" {
		if err := message.CheckKey(r.Key); err != nil {
			return no(message.CodeKeyInvalid, "%v", err)
		}
		if seq != (Sequence{}) {
			return no(message.CodeInvalidRequest, "the message has a key and a place in a sequence; give one of them")
		}
	}
	switch {
	case g == message.AtLeastOnce && seq != Sequence{}:
		return no(message.CodeInvalidRequest, "this action takes effect at least once: nothing is remembered of what it consumed, so a place in a sequence would keep no duplicate away; leave it out, or make the action ExactlyOnce")
	case g == message.AtLeastOnce:
		_, _ = rand.Read(m.ID[:]) // never fails: crypto/rand ends the process instead
	case r.Key != "":
		m.Key = r.Key
	case seq != Sequence{}:
		if err := message.CheckName("source", seq.Source); err != nil {
			return no(message.CodeInvalidRequest, "%v", err)
		}
		if err := message.CheckName("source's incarnation", seq.Incarnation); err != nil {
			return no(message.CodeInvalidRequest, "%v", err)
		}
		if seq.Position == 0 {
			return no(message.CodeInvalidRequest, "positions in a sequence begin at 1")
		}
		// A zero byte can be in neither name, so no two pairs meet.
		m.Source, m.Position = seq.Source+"\x00"+seq.Incarnation, seq.Position
	default:
		return no(message.CodeKeyRequired, "this action takes effect exactly once per key: give the call a key that its retry will have again (semel.Key, or the header Idempotency-Key)")
	}
	return nil
}
