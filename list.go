package semel

import (
	"context"
	"iter"

	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
)

// AgentEntry is an agent in a listing.
type AgentEntry struct {
	Agent   AgentName
	Version uint64 // the number of steps that changed it
	Place   Place
}

// All lists the agents of the type that exist, those of one tenant, in no
// particular order. Agents that come or go meanwhile may be in it or not. It
// ends with an error, if there is one.
func (a *Agent[S]) All(ctx context.Context, opts ...ListOption) iter.Seq2[AgentEntry, error] {
	return a.app.Agents(ctx, a.typ.name, opts...)
}

// Agents lists the agents of a type. It is Agent.All for those who do not know
// the type of its states.
func (app *App) Agents(ctx context.Context, agentType string, opts ...ListOption) iter.Seq2[AgentEntry, error] {
	return func(yield func(AgentEntry, error) bool) {
		o := listOptionsOf(opts)
		if o.tenant == "" {
			o.tenant = message.DefaultTenant
		}
		if err := app.use(ctx); err != nil {
			yield(AgentEntry{}, err)
			return
		}
		if app.types[agentType] == nil {
			yield(AgentEntry{}, refuse(AgentName{}, "", message.CodeUnknownAgentType, "there is no agent type %q", agentType))
			return
		}
		for e, err := range app.engine.Agents(ctx, o.tenant, agentType, engine.Place(o.after)) {
			if err != nil {
				yield(AgentEntry{}, readError(ctx, AgentName{}, "list agents of type "+agentType, err))
				return
			}
			if !yield(AgentEntry{Agent: e.Agent, Version: e.Version, Place: Place(e.Place)}, nil) {
				return
			}
		}
	}
}
