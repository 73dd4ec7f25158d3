package saga

import (
	"context"
	"encoding/json"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// Definition is a registered definition whose sagas have the state S. It is safe
// for concurrent use. What it does with the id of a saga, its Registry does.
type Definition[S any] struct{ d *definition }

// Registry is where the definition is registered.
func (d *Definition[S]) Registry() *Registry { return d.d.registry }

// Name is the definition's name.
func (d *Definition[S]) Name() string { return d.d.name }

// Request makes the call that starts a saga; see Registry.Request. Of an input
// that is no JSON the call says so.
func (d *Definition[S]) Request(key string, input S, opts ...semel.CallOption) (r semel.Request, id string) {
	b, err := d.encode(input)
	if err != nil {
		b = json.RawMessage("!") // the call is refused, as any body that is not JSON
	}
	return d.d.request(key, b, opts)
}

// Start starts a saga; see Registry.Start.
func (d *Definition[S]) Start(ctx context.Context, key string, input S, opts ...semel.CallOption) (id string, err error) {
	b, err := d.encode(input)
	if err != nil {
		return "", err
	}
	id, _, err = d.d.registry.Start(ctx, d.d.name, key, b, opts...)
	return id, err
}

// Run starts a saga and waits for its end; see Registry.Run. Completed, it
// returns the final state.
func (d *Definition[S]) Run(ctx context.Context, key string, input S, opts ...semel.CallOption) (S, error) {
	var state S
	b, err := d.encode(input)
	if err != nil {
		return state, err
	}
	_, o, err := d.d.registry.Run(ctx, d.d.name, key, b, opts...)
	if err != nil {
		return state, err
	}
	if err := decode(o.Reply, &state); err != nil {
		return state, &semel.UnknownError{Action: "run", Code: message.CodeReplyMisfit, Detail: "the saga is completed, and its state does not fit: " + err.Error(), Cause: err}
	}
	return state, nil
}

// ID is the id of the saga that is started with the key. Of the options, As and
// Tenant matter.
func (d *Definition[S]) ID(key string, opts ...semel.CallOption) string {
	_, id := d.d.request(key, nil, opts)
	return id
}

// Ask starts a saga from a step of another agent, on the step's behalf, and has
// its end brought to a continuation: Done with the final state, or Rejected.
func (d *Definition[S]) Ask(s *semel.Step, key string, input S, then semel.Bound[S]) (id string) {
	agent := agentID(s.Agent().Tenant, s.Principal(), key)
	b, err := d.encode(input)
	if err != nil {
		b = json.RawMessage("!") // the step fails, as with any body that is not JSON
	}
	semel.RefTo[json.RawMessage, S](d.d.typ, "start").Ask(s, agent, b, then)
	return idOf(d.d.name, agent)
}

// encode makes the JSON that a saga begins with: of a Document, its Input.
func (d *Definition[S]) encode(input S) (json.RawMessage, error) {
	var v any = input
	if doc, ok := v.(Document); ok {
		v = doc.Input
	}
	b, err := encode(v)
	if err != nil {
		return nil, &semel.NotDoneError{Action: "start", Code: message.CodeInvalidRequest, Detail: "the input cannot be encoded: " + err.Error(), Cause: err}
	}
	return b, nil
}
