package semel

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/semel-dev/semel/internal/core"
)

// ContinuationRef refers to a continuation of the asking agent's own type by
// name: C is the context that it gets back, R the answer it expects. Make one
// by ContinuationTo. A Continuation has one.
type ContinuationRef[C, R any] struct{ name string }

// ContinuationTo refers to a continuation, which may be registered later. A
// step that uses it fails if the agent's type has no such continuation.
func ContinuationTo[C, R any](name string) ContinuationRef[C, R] {
	return ContinuationRef[C, R]{name: name}
}

// With binds the context that the continuation is to get with the answer. It
// is kept as JSON.
func (c ContinuationRef[C, R]) With(context C) Bound[R] {
	b, err := encode(context)
	return Bound[R]{name: c.name, context: b, err: err}
}

// Bound is a continuation with its context: whom the answer R is brought to.
type Bound[R any] struct {
	name    string
	context []byte
	waiting []byte // whose outcome the answer settles, if it is not that of the step's own message
	err     error
}

// check makes the step fail if the answer could not be brought.
func (b Bound[R]) check(s *Step) bool {
	switch {
	case b.err != nil:
		s.fail("the context for continuation %q cannot be encoded: %w", b.name, b.err)
	case s.site.typ.names[b.name] != nameContinuation:
		s.fail("agent type %q has no continuation %q that could receive the answer; register it with semel.Then", s.site.typ.name, b.name)
	default:
		return true
	}
	return false
}

// Continuation is a registered continuation.
type Continuation[C, R any] struct{ ContinuationRef[C, R] }

// Then registers a continuation: a step that receives the answer to something
// that a step of the same agent asked, with the context that was bound to it.
// What it returns, as in On, settles the outcome of the message that asked
// first, if that was deferred and still waits; otherwise it is dropped. It may
// ask for more and Defer again. Other messages of the agent may have been
// consumed in between. What it wrote stands even if it returns a Rejection. It
// cannot be called from outside. Then panics if the name is taken, the handler
// is nil, or the App was started.
func Then[S, C, R, Out any](agent *Agent[S], name string, handler func(*S, *Step, C, Result[R]) (Out, error)) *Continuation[C, R] {
	if handler == nil {
		panic(fmt.Sprintf("semel: continuation %q of agent type %q has no handler: it is nil", name, agent.typ.name))
	}
	st := &site{app: agent.app, typ: agent.typ, name: name}
	plain := plainEncoderOf(reflect.TypeFor[Out]())
	agent.add(name, nameContinuation, &core.Action{Run: func(cs *core.Step, state core.State) (v core.Result) {
		m := cs.Message()
		if m.Answer == nil {
			return core.Result{Invalid: true, Err: errNoAnswer}
		}
		var c C
		if err := decode(m.Answer.Link.Context, &c); err != nil {
			return misfit(st, "context", err)
		}
		r, err := resultOf[R](m)
		if err != nil {
			return misfit(st, "answer", err)
		}
		s := &Step{core: cs, site: st}
		defer s.end()
		if traced := st.app.tracing.step(cs); traced != nil {
			v.Verdict = core.Failed // if the handler panics
			defer func() { traced(v) }()
		}
		out, err := handler(state.(holder[S]).value(), s, c, r)
		v = verdictOf(s, plain, out, err)
		v.Keep = v.Keep || v.Verdict == core.Refused
		return v
	}})
	return &Continuation[C, R]{ContinuationTo[C, R](name)}
}

var errNoAnswer = errors.New("a continuation receives answers only; it cannot be sent to")
