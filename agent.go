package semel

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// Agent is a registered agent type whose agents have a state of type S. Each
// agent has its own S, kept as JSON; a new agent's S is its zero value. An
// agent begins to exist with the first step that stands.
type Agent[S any] struct {
	app *App
	typ *agentType
}

// AgentOption is a choice made for an agent type.
type AgentOption interface{ applyAgent(*agentOptions) }

type agentOption func(*agentOptions)

func (f agentOption) applyAgent(o *agentOptions) { f(o) }

type agentOptions struct{ schema schema }

// NewAgent registers an agent type. S must survive a round trip through JSON,
// because a step that finds its agent in memory and one that finds it after a
// restart must see the same. So NewAgent panics if S has, anywhere within,
//
//   - an unexported field, unless it is tagged json:"-" as a cache is;
//   - two fields with one name in JSON, also by embedding;
//   - an interface, be it any: use the type that is meant, or json.RawMessage
//     for JSON of any shape (which a restart finds without white space);
//   - a map whose keys are not strings, integers, or of a type that marshals
//     and unmarshals itself as text;
//   - what JSON cannot hold, such as a func, a chan or a complex number.
//
// A state that may grow large makes its own JSON: see [JSONAppender].
//
// What depends on values is found when a step ends, which then fails: a string
// that is not valid UTF-8 (keep bytes in a []byte), a float that is not a
// number. It also panics if the App was started, or if the name is taken,
// empty, or contains '/' or ':'.
func NewAgent[S any](app *App, name string, opts ...AgentOption) *Agent[S] {
	o := agentOptions{schema: schema{version: 1}}
	for _, opt := range opts {
		opt.applyAgent(&o)
	}
	a := &Agent[S]{app: app, typ: &agentType{
		name: name,
		behavior: &core.Type{
			Load:    stateLoader[S](name, &o.schema, app.cfg.MaxState),
			Schema:  o.schema.version,
			Actions: make(map[string]*core.Action),
		},
		names:   make(map[string]nameKind),
		actions: make(map[string]ActionInfo),
		queries: make(map[string]untypedQuery),
	}}
	if err := (AgentName{Tenant: message.DefaultTenant, Type: name, ID: "x"}).Validate(); err != nil {
		panic("semel: NewAgent: " + err.Error())
	}
	if err := checkState(reflect.TypeFor[S]()); err != nil {
		panic(fmt.Sprintf("semel: agent type %q: its state %v", name, err))
	}
	if err := checkAppender(reflect.TypeFor[S]()); err != nil {
		panic(fmt.Sprintf("semel: agent type %q: its state %v", name, err))
	}
	app.register(fmt.Sprintf("agent type %q", name), func() {
		if app.types[name] != nil {
			panic(fmt.Sprintf("semel: agent type %q is registered twice", name))
		}
		app.types[name] = a.typ
	})
	return a
}

// Name is the full name of the agent with an id.
func (a *Agent[S]) Name(id string, opts ...CallOption) AgentName {
	o := callOptionsOf(opts)
	return AgentName{Tenant: o.tenant, Type: a.typ.name, ID: id}
}

// Get returns a copy of an agent's state, which belongs to the caller, and its
// version: the number of steps that changed it. It sees every step that was
// acknowledged. The error is ErrUnknownAgent if the agent does not exist.
func (a *Agent[S]) Get(ctx context.Context, id string, opts ...CallOption) (S, uint64, error) {
	var state S
	name := a.Name(id, opts...)
	data, version, err := a.app.State(ctx, name)
	if err != nil {
		return state, 0, err
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return state, 0, misfitReply(name, "read the state", state, err)
	}
	return state, version, nil
}

// Delete removes an agent's state and its timers. The outcomes recorded of it
// stay, so a repeated call still gets its recorded reply; messages, effects
// and deferred replies under way go on, and find a new agent: a continuation
// must be ready to find a state that never asked. While the agent is held
// (Step.Hold), Delete waits as a message without the token does: until the hold
// ends, or ctx. The error is ErrUnknownAgent if the agent does not exist.
func (a *Agent[S]) Delete(ctx context.Context, id string, opts ...CallOption) error {
	return a.app.Delete(ctx, a.Name(id, opts...))
}

// State returns an agent's state as JSON, which belongs to the caller, and its
// version. It is Agent.Get for those who do not know the type.
func (app *App) State(ctx context.Context, name AgentName) (json.RawMessage, uint64, error) {
	if err := app.address(ctx, &name); err != nil {
		return nil, 0, err
	}
	a := app.engine.Query(ctx, name, func(state core.State, version uint64, exists bool) core.Answer {
		if !exists {
			return core.Answer{Fault: unknownAgent(name)}
		}
		b, err := state.Append(nil)
		if err != nil {
			return core.Answer{Fault: &message.Fault{Code: message.CodeStoreUnavailable, Detail: "the state cannot be encoded: " + err.Error()}}
		}
		return core.Answer{Outcome: &message.Outcome{Status: message.StatusDone, Body: b}, Version: version}
	})
	if a.Fault != nil {
		return nil, 0, readFault(ctx, name, "", a.Fault, a.Err)
	}
	return a.Outcome.Body, a.Version, nil
}

// Delete removes an agent. It is Agent.Delete for those who do not know the type.
func (app *App) Delete(ctx context.Context, name AgentName) error {
	if err := app.address(ctx, &name); err != nil {
		return err
	}
	if a := app.engine.Remove(ctx, name); a.Fault != nil {
		return callError(ctx, name, "", a.Fault, a.Err)
	}
	return nil
}

// address starts the App, completes the name and checks it.
func (app *App) address(ctx context.Context, name *AgentName) error {
	if err := app.use(ctx); err != nil {
		return err
	}
	if name.Tenant == "" {
		name.Tenant = message.DefaultTenant
	}
	if app.types[name.Type] == nil {
		return refuse(AgentName{}, "", message.CodeUnknownAgentType, "there is no agent type %q", name.Type)
	}
	if err := name.Validate(); err != nil {
		return refuse(AgentName{}, "", message.CodeInvalidRequest, "%v", err)
	}
	return nil
}

func unknownAgent(name AgentName) *message.Fault {
	return &message.Fault{Code: message.CodeUnknownAgent, Detail: "there is no agent " + name.String()}
}
