package semel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
)

// EffectCall is what the function of an effect is told besides its request.
type EffectCall struct {
	// Key is the effect's own: the same for every attempt and probe, and of no
	// other effect, ever. Hand it to the outside world as its idempotency key.
	Key     string
	Effect  string
	Agent   AgentName // who asked
	Attempt int       // from 1
}

// EffectFunc calls the outside world, or probes it. It runs in a goroutine of
// its own, must be safe for concurrent use, and must return when ctx ends, at
// the effect's timeout or the App's end.
//
// A call's results mean: nil, it was done and this is the reply; a [*Rejection]
// (see Reject), it was done and the answer is no; NotDone, it certainly had no
// effect, and is tried again; any other error, or a panic, it may have had its
// effect, and the policy decides. So it does when the reply is larger than a
// quarter of what the store takes in one unit: it cannot be recorded.
//
// A probe asks whether the call with this key was done. Its results mean the
// same, but that any other error only says that the probe could not tell.
type EffectFunc[Req, Rep any] func(ctx context.Context, call EffectCall, req Req) (Rep, error)

// NotDone is what the function of an effect returns when the call certainly had
// no effect: the connection was refused, the provider said "try later" before it
// did anything. Of a timeout that is never certain.
func NotDone(cause error) error {
	if cause == nil {
		cause = errors.New("not done")
	}
	return &NotDoneError{Detail: cause.Error(), Cause: cause}
}

// EffectRef refers to an effect by name, for use within steps. Make one by
// EffectTo. An Effect has one.
type EffectRef[Req, Rep any] struct{ name string }

// EffectTo refers to an effect, which may be registered later. A step that uses
// it fails if the App has no such effect.
func EffectTo[Req, Rep any](name string) EffectRef[Req, Rep] {
	return EffectRef[Req, Rep]{name: name}
}

// Name is the effect's name.
func (e EffectRef[Req, Rep]) Name() string { return e.name }

// Ask makes the call, once the step stands, and has its answer brought to a
// continuation of the agent that asks. It returns the key under which the
// outside world will see it.
func (e EffectRef[Req, Rep]) Ask(s *Step, req Req, then Bound[Rep]) (key string) {
	if !then.check(s) {
		return ""
	}
	return e.ask(s, req, then)
}

// Run makes the call, once the step stands. Nobody hears of its answer.
func (e EffectRef[Req, Rep]) Run(s *Step, req Req) (key string) { return e.ask(s, req, Bound[Rep]{}) }

func (e EffectRef[Req, Rep]) ask(s *Step, req Req, then Bound[Rep]) string {
	body, err := encode(req)
	if err != nil {
		s.fail("effect %q: the request cannot be encoded: %w", e.name, err)
		return ""
	}
	return s.core.Ask(core.Call{Effect: e.name, Body: body, Then: then.name, Context: then.context, For: then.waiting}).String()
}

// Effect is a registered effect: a call to the outside world, which no commit
// can take back. Req and Rep are kept as JSON.
type Effect[Req, Rep any] struct{ EffectRef[Req, Rep] }

// NewEffect registers an effect. Its policy says what may be done about a call
// that began and whose end is not known: Ask (the default), ReadOnly, Keyed,
// AtMostOnce or Probe. It panics if the App was started, if the name is taken
// or invalid, if a function is nil, and if there is more than one policy.
func NewEffect[Req, Rep any](app *App, name string, call EffectFunc[Req, Rep], opts ...EffectOption) *Effect[Req, Rep] {
	if err := message.CheckName("effect name", name); err != nil {
		panic("semel: NewEffect: " + err.Error())
	}
	if call == nil {
		panic(fmt.Sprintf("semel: effect %q has no function to call: it is nil", name))
	}
	o := effectOptions{name: name, effect: core.Effect{Policy: core.Ask, Timeout: defaultEffectTimeout, MaxAttempts: defaultEffectAttempts}}
	for _, opt := range opts {
		opt.applyEffect(&o)
	}
	out := engine.Outside{Call: outsideFunc(app.tracing, call)}
	if o.probe != nil {
		probe, ok := o.probe.(EffectFunc[Req, Rep])
		if !ok {
			panic(fmt.Sprintf("semel: effect %q: its probe is a %T; it must have the call's types: %T", name, o.probe, call))
		}
		if probe == nil {
			panic(fmt.Sprintf("semel: effect %q has the policy Probe and no function to probe: it is nil", name))
		}
		out.Probe = outsideFunc(app.tracing, probe)
	}
	app.register(fmt.Sprintf("effect %q", name), func() {
		if app.effects[name] != nil {
			panic(fmt.Sprintf("semel: effect %q is registered twice", name))
		}
		app.effects[name], app.outside[name] = &o.effect, out
	})
	return &Effect[Req, Rep]{EffectTo[Req, Rep](name)}
}

// outsideFunc wraps an effect's function for the engine, which contains its
// panics and bounds its time.
func outsideFunc[Req, Rep any](t *tracing, fn EffectFunc[Req, Rep]) func(context.Context, core.EffectJob) core.EffectResult {
	return func(ctx context.Context, job core.EffectJob) (result core.EffectResult) {
		ctx, traced := t.effect(ctx, job)
		defer func() { traced(result) }()
		var req Req
		if err := decode(job.Body, &req); err != nil {
			status := message.StatusNotDone // nothing was called
			if job.Probe {
				status = message.StatusUnknown // but something may have been before
			}
			return core.EffectResult{Status: status, Detail: fmt.Sprintf("the stored request does not fit %T: %v", req, err)}
		}
		call := EffectCall{Key: job.ID.String(), Effect: job.Name, Agent: job.Agent, Attempt: job.Attempt}
		rep, err := fn(ctx, call, req)
		if err != nil {
			return effectFailure(err)
		}
		body, err := encode(rep)
		if err != nil {
			return core.EffectResult{Status: message.StatusUnknown, Detail: fmt.Sprintf("it was done, but its reply cannot be encoded: %v", err)}
		}
		return core.EffectResult{Status: message.StatusDone, Body: body}
	}
}

func effectFailure(err error) core.EffectResult {
	var k kinded
	if errors.As(err, &k) {
		if err := checkNil(k); err != nil {
			return core.EffectResult{Status: message.StatusUnknown, Detail: err.Error()}
		}
		switch e := k.(type) {
		case *Rejection:
			data, err := e.data()
			if err != nil {
				return core.EffectResult{Status: message.StatusUnknown, Detail: "it was rejected, but " + err.Error()}
			}
			return core.EffectResult{Status: message.StatusRejected, Code: e.code(), Detail: e.Detail, Body: data}
		case *NotDoneError:
			detail := err.Error()
			if err == error(e) {
				detail = e.Detail // without the words around it
			}
			return core.EffectResult{Status: message.StatusNotDone, Code: string(e.Code), Detail: detail}
		}
	}
	return core.EffectResult{Status: message.StatusUnknown, Detail: err.Error()}
}

const (
	defaultEffectTimeout  = 30 * time.Second
	defaultEffectAttempts = 10
)
