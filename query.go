package semel

import (
	"context"
	"errors"
	"fmt"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// QueryHandle is a registered query. It is safe for concurrent use.
type QueryHandle[In, Out any] struct {
	app       *App
	typ, name string
}

// untypedQuery answers a query from a state.
type untypedQuery func(state core.State, body []byte) core.Answer

// Query registers a question that agents of a type answer from their state,
// without a step: nothing is recorded, and it needs no key. The handler must
// change nothing, and must not keep what it finds in the state. A Rejection is
// the answer no; any other error, or a panic, is a failure. Query panics if the
// name is taken, the handler is nil, or the App was started.
func Query[S, In, Out any](agent *Agent[S], name string, handler func(*S, In) (Out, error)) *QueryHandle[In, Out] {
	if handler == nil {
		panic(fmt.Sprintf("semel: query %q of agent type %q has no handler: it is nil", name, agent.typ.name))
	}
	st := &site{app: agent.app, typ: agent.typ, name: name}
	answer := func(state core.State, body []byte) (a core.Answer) {
		defer func() {
			if v := recover(); v != nil {
				a = failedQuery(fmt.Errorf("the query panicked: %v", v))
			}
		}()
		var in In
		if err := decode(body, &in); err != nil {
			return core.Answer{Fault: &message.Fault{Code: message.CodeInvalidRequest, Detail: misfit(st, "body", err).Err.Error()}}
		}
		out, err := handler(state.(holder[S]).look(), in)
		if err != nil {
			var no *Rejection
			if errors.As(err, &no) {
				if err := checkNil(no); err != nil {
					return failedQuery(err)
				}
				data, err := no.data()
				if err != nil {
					return failedQuery(err)
				}
				return core.Answer{Outcome: &message.Outcome{Status: message.StatusRejected, Code: no.code(), Detail: no.Detail, Body: data}}
			}
			return failedQuery(err)
		}
		b, err := encode(out) // here, on the loop: out may share memory with the state
		if err != nil {
			return failedQuery(fmt.Errorf("the answer cannot be encoded: %w", err))
		}
		return core.Answer{Outcome: &message.Outcome{Status: message.StatusDone, Body: b}}
	}
	agent.app.register(fmt.Sprintf("query %q of agent type %q", name, agent.typ.name), func() {
		agent.typ.claim(name, nameQuery)
		agent.typ.queries[name] = answer
	})
	return &QueryHandle[In, Out]{app: agent.app, typ: agent.typ.name, name: name}
}

func failedQuery(err error) core.Answer {
	return core.Answer{Fault: &message.Fault{Code: message.CodeHandlerFailed, Detail: err.Error()}, Err: err}
}

// Ask answers the query from the agent's present state, which contains every
// step that was acknowledged. The error is ErrUnknownAgent if the agent does
// not exist. Of the options, only Tenant matters.
func (q *QueryHandle[In, Out]) Ask(ctx context.Context, id string, in In, opts ...CallOption) (Out, error) {
	var out Out
	o := callOptionsOf(opts)
	name := AgentName{Tenant: o.tenant, Type: q.typ, ID: id}
	body, err := encode(in)
	if err != nil {
		return out, refuse(name, q.name, message.CodeInvalidRequest, "the body cannot be encoded: %v", err)
	}
	reply, err := q.app.Query(ctx, name, q.name, body)
	if err != nil {
		return out, err
	}
	if err := decode(reply, &out); err != nil {
		return out, misfitReply(name, q.name, out, err)
	}
	return out, nil
}

// Query answers a query by its name. It is QueryHandle.Ask for those who do
// not know the types. Body and answer are JSON.
func (app *App) Query(ctx context.Context, name AgentName, query string, body []byte) ([]byte, error) {
	if err := app.address(ctx, &name); err != nil {
		return nil, err
	}
	answer := app.types[name.Type].queries[query]
	if answer == nil {
		return nil, refuse(name, query, message.CodeUnknownAction, "agents of type %q have no query %q", name.Type, query)
	}
	if err := message.CheckJSON(body); err != nil {
		return nil, refuse(name, query, message.CodeInvalidRequest, "%v", err)
	}
	a := app.engine.Query(ctx, name, func(state core.State, _ uint64, exists bool) core.Answer {
		if !exists {
			return core.Answer{Fault: unknownAgent(name)}
		}
		return answer(state, body)
	})
	if a.Fault != nil {
		return nil, readFault(ctx, name, query, a.Fault, a.Err)
	}
	if a.Outcome.Status == message.StatusRejected {
		out := outcomeOf(a.Outcome)
		return nil, out.Err(name, query)
	}
	return orNull(a.Outcome.Body), nil
}
