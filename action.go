package semel

import (
	"context"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// Action is one thing that agents of a type do: In is its body, Out its reply,
// both kept as JSON (struct{} for none). From outside it is reached by Call,
// Submit and Request, from within a step by its Ref. It is safe for concurrent
// use.
type Action[In, Out any] struct {
	Ref[In, Out]
	app       *App
	carriesIn bool // the body can be handed over within the process
}

// On registers an action. The handler may change the state and use the Step;
// what it returns is the outcome:
//
//   - a reply and nil: recorded, with everything that the step did;
//   - a [*Rejection] (see Reject): recorded, and nothing else of the step;
//   - Defer: the outcome comes from a continuation;
//   - OutcomeUnknown: recorded as final;
//   - any other error, or a panic: nothing is recorded. A caller is told that
//     it is not done; a message that was accepted is tried again with backoff,
//     and ends among the dead letters.
//
// On panics if the name is taken, the handler is nil, or the App was started.
func On[S, In, Out any](agent *Agent[S], name string, handler func(*S, *Step, In) (Out, error), opts ...ActionOption) *Action[In, Out] {
	if handler == nil {
		panic(fmt.Sprintf("semel: action %q of agent type %q has no handler: it is nil", name, agent.typ.name))
	}
	st := &site{app: agent.app, typ: agent.typ, name: name}
	tin, tout := reflect.TypeFor[In](), reflect.TypeFor[Out]()
	carriesIn, carriesOut := carries(tin), carries(tout)
	plainOut := plainEncoderOf(tout)
	action := &core.Action{Run: func(cs *core.Step, state core.State) (res core.Result) {
		in, err := carried[In](cs.Message().Value, cs.Message().Body)
		if err != nil {
			return misfit(st, "body", err)
		}
		s := &Step{core: cs, site: st}
		defer s.end()
		if traced := st.app.tracing.step(cs); traced != nil {
			res.Verdict = core.Failed // if the handler panics
			defer func() { traced(res) }()
		}
		out, err := handler(state.(holder[S]).value(), s, in)
		res = verdictOf(s, plainOut, out, err)
		if res.Verdict == core.Replied {
			res.Value = carry(carriesOut, out, res.Body)
		}
		return res
	}}
	for _, opt := range opts {
		opt.applyAction(action)
	}
	agent.add(name, nameAction, action)
	agent.app.mu.Lock()
	defer agent.app.mu.Unlock()
	agent.typ.actions[name] = ActionInfo{Type: agent.typ.name, Action: name, Guarantee: action.Guarantee, In: tin, Out: tout}
	return &Action[In, Out]{Ref: RefTo[In, Out](agent.typ.name, name), app: agent.app, carriesIn: carriesIn}
}

// add registers an action or a continuation.
func (a *Agent[S]) add(name string, kind nameKind, action *core.Action) {
	a.app.register(fmt.Sprintf("%s %q of agent type %q", kind, name, a.typ.name), func() {
		a.typ.claim(name, kind)
		a.typ.behavior.Actions[name] = action
	})
}

// Call asks the agent for the action and waits for its outcome: the reply, or
// one of the three errors. It needs a Key unless the action is AtLeastOnce. When
// ctx ends first, the error says what is known: ErrCanceled that it was not and
// will not be executed, ErrInFlight that it goes on.
func (a *Action[In, Out]) Call(ctx context.Context, id string, in In, opts ...CallOption) (Out, error) {
	r := a.Request(id, in, opts...)
	return a.reply(r.Agent(), a.app.call(ctx, &r))
}

// Submit hands the message to the agent and returns when it is durably
// accepted: it will be processed, whatever happens to us, with retries and in
// the end among the dead letters. Its outcome, be it a rejection, is not
// waited for: App.Outcome tells it. Submitting it again is safe as in Call.
func (a *Action[In, Out]) Submit(ctx context.Context, id string, in In, opts ...CallOption) error {
	r := a.Request(id, in, opts...)
	_, err := a.app.Submit(ctx, r)
	return err
}

// Request makes a call for App.CallAll and App.SubmitAll.
func (a *Action[In, Out]) Request(id string, in In, opts ...CallOption) Request {
	o := callOptionsOf(opts)
	r := Request{
		Tenant: o.tenant, Principal: o.principal, Type: a.typ, ID: id, Action: a.action,
		Key: o.key, Sequence: o.sequence, Token: o.token,
	}
	if r.Body, r.err = encodeAs(a.plain, in); r.err != nil {
		r.err = refuse(r.Agent(), a.action, message.CodeInvalidRequest, "the body cannot be encoded: %v", r.err)
	}
	r.value, r.of, r.size = carry(a.carriesIn, in, r.Body), unsafe.SliceData(r.Body), len(r.Body)
	return r
}

// Reply reads an answer of App.CallAll. If it is done, but its recorded reply
// does not fit Out (it was recorded by another version of the program), the
// error is ErrReplyMisfit; Answer.Reply has the bytes.
func (a *Action[In, Out]) Reply(answer Answer) (Out, error) {
	return a.reply(AgentName{}, answer)
}

func (a *Action[In, Out]) reply(agent AgentName, answer Answer) (Out, error) {
	if answer.Err != nil {
		var none Out
		return none, answer.Err
	}
	out, err := carried[Out](answer.value, answer.Reply)
	if err != nil {
		return out, misfitReply(agent, a.action, out, err)
	}
	return out, nil
}
