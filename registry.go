package semel

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// agentType is what is registered of one agent type.
type agentType struct {
	name     string
	behavior *core.Type
	names    map[string]nameKind // of actions, continuations and queries: no two share one
	queries  map[string]untypedQuery
	actions  map[string]ActionInfo
}

// nameKind says what a name of an agent type stands for.
type nameKind string

const (
	nameAction       nameKind = "an action"
	nameContinuation nameKind = "a continuation"
	nameQuery        nameKind = "a query"
)

// register runs add while the registry may still change. What it refuses is a
// mistake in the program, so it panics, as http.ServeMux does.
func (app *App) register(what string, add func()) {
	app.mu.Lock()
	defer app.mu.Unlock()
	if app.started.Load() {
		panic(fmt.Sprintf("semel: %s is registered after the App was started; register everything before App.Start and before the first use", what))
	}
	add()
}

// claim takes a name of an agent type.
func (t *agentType) claim(name string, kind nameKind) {
	if err := message.CheckName(string(kind)+" name", name); err != nil {
		panic(fmt.Sprintf("semel: agent type %q: %v", t.name, err))
	}
	if strings.Contains(name, "/") {
		panic(fmt.Sprintf("semel: agent type %q: %s is named %q; a name must not contain '/'", t.name, kind, name))
	}
	if was, taken := t.names[name]; taken {
		panic(fmt.Sprintf("semel: agent type %q has %s named %q already; give %s another name", t.name, was, name, kind))
	}
	t.names[name] = kind
}

// lookup finds an action that may be called from outside.
func (app *App) lookup(agentType, action string) (*core.Action, *message.Fault) {
	t := app.types[agentType]
	if t == nil {
		return nil, &message.Fault{Code: message.CodeUnknownAgentType, Detail: fmt.Sprintf("there is no agent type %q", agentType)}
	}
	if t.names[action] != nameAction {
		return nil, &message.Fault{Code: message.CodeUnknownAction, Detail: fmt.Sprintf("agents of type %q have no action %q", agentType, action)}
	}
	return t.behavior.Actions[action], nil
}

// ActionInfo describes a registered action.
type ActionInfo struct {
	Type, Action string
	Guarantee    Guarantee
	In, Out      reflect.Type // of the body and of the reply; struct{} for none
}

// NeedsKey says whether a call of the action must have a key, or a place in a
// sequence.
func (i ActionInfo) NeedsKey() bool { return i.Guarantee != message.AtLeastOnce }

// Action describes an action. The error is ErrUnknownAgentType or
// ErrUnknownAction. It starts the App.
func (app *App) Action(agentType, action string) (ActionInfo, error) {
	if err := app.use(context.Background()); err != nil {
		return ActionInfo{}, err
	}
	if _, fault := app.lookup(agentType, action); fault != nil {
		return ActionInfo{}, faultError(AgentName{}, "", fault, nil)
	}
	return app.types[agentType].actions[action], nil
}

// Actions describes all registered actions, by type and name.
func (app *App) Actions() []ActionInfo {
	app.mu.Lock()
	defer app.mu.Unlock()
	var all []ActionInfo
	for _, t := range app.types {
		all = slices.AppendSeq(all, maps.Values(t.actions))
	}
	slices.SortFunc(all, func(a, b ActionInfo) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Action, b.Action))
	})
	return all
}

// Types is the names of the registered agent types, in order.
func (app *App) Types() []string {
	app.mu.Lock()
	defer app.mu.Unlock()
	return slices.Sorted(maps.Keys(app.types))
}
