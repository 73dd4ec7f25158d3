package semel

import (
	"fmt"
	"reflect"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// Ref refers to an action by name, for use within steps. Its zero value is of
// no use; make one by RefTo. An Action has one.
type Ref[In, Out any] struct {
	typ, action string
	plain       *plainEncoder // of the body, if it has one
}

// RefTo refers to an action of an agent type, which may be registered later. A
// step that uses a Ref to an action that the App does not have fails.
func RefTo[In, Out any](agentType, action string) Ref[In, Out] {
	return Ref[In, Out]{typ: agentType, action: action, plain: plainEncoderOf(reflect.TypeFor[In]())}
}

// Names is the agent type and the action that it refers to.
func (r Ref[In, Out]) Names() (agentType, action string) { return r.typ, r.action }

// Send sends a message to an agent of the step's tenant, if the step stands.
// It arrives once. Nobody hears of its outcome; Ask for it if it matters.
func (r Ref[In, Out]) Send(s *Step, id string, in In, opts ...SendOption) {
	if o, ok := r.outgoing(s, id, in, opts); ok {
		s.core.Send(o)
	}
}

// Ask sends a message as Send does, and has its outcome brought to a
// continuation of the agent that asks.
func (r Ref[In, Out]) Ask(s *Step, id string, in In, then Bound[Out], opts ...SendOption) {
	o, ok := r.outgoing(s, id, in, opts)
	if !ok || !then.check(s) {
		return
	}
	o.Then, o.Context, o.For = then.name, then.context, then.waiting
	s.core.Send(o)
}

// After makes the agent receive the message after a delay, from Step.Now on. A
// timer of the same name is replaced. The action must be the agent's own.
func (r Ref[In, Out]) After(s *Step, name string, d time.Duration, in In) {
	if r.typ != s.site.typ.name {
		s.fail("timer %q: action %q belongs to agent type %q; an agent sets timers for itself: use Send with Delay", name, r.action, r.typ)
		return
	}
	if o, ok := r.outgoing(s, s.Agent().ID, in, nil); ok {
		s.core.SetTimer(name, d, o.Action, o.Body)
	}
}

// outgoing prepares a message, or makes the step fail.
func (r Ref[In, Out]) outgoing(s *Step, id string, in In, opts []SendOption) (core.Outgoing, bool) {
	if _, fault := s.site.app.lookup(r.typ, r.action); fault != nil {
		s.fail("send %s to %s/%s: %s; register it with this App", r.action, r.typ, id, fault.Detail)
		return core.Outgoing{}, false
	}
	body, err := encodeAs(r.plain, in)
	if err != nil {
		s.fail("send %s to %s/%s: the body cannot be encoded: %w", r.action, r.typ, id, err)
		return core.Outgoing{}, false
	}
	opt := sendOptionsOf(opts)
	if opt.token != "" {
		if err := message.CheckName("token", opt.token); err != nil {
			s.fail("send %s to %s/%s: %w", r.action, r.typ, id, err)
			return core.Outgoing{}, false
		}
	}
	return core.Outgoing{
		To: AgentName{Type: r.typ, ID: id}, Action: r.action, Body: body, Token: opt.token, Delay: opt.delay,
	}, true
}

// String is the action as people write it.
func (r Ref[In, Out]) String() string { return fmt.Sprintf("%s of %s", r.action, r.typ) }
