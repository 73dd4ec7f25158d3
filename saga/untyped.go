package saga

import (
	"encoding/json"

	"github.com/semel-dev/semel"
)

// Document is the state of a saga whose definition is not Go's but, say, a
// configuration's: New[Document]. What it is started with is the Input, and each
// step's reply is kept under the step's name. Its steps are made by OfEffect and
// OfAction, its compensations by UndoByEffect and UndoByAction.
type Document struct {
	Input   json.RawMessage            `json:"input"`
	Replies map[string]json.RawMessage `json:"replies,omitempty"`
}

// OfEffect is the Do of a step that calls an effect by its name. body makes the
// request, JSON, and must be pure; a nil body sends the Input.
func OfEffect(effect string, body func(*Document) (json.RawMessage, error)) Call[Document] {
	c := ofEffect(semel.EffectTo[json.RawMessage, json.RawMessage](effect), unfacted(orInput(body)), (func(*Document, json.RawMessage) error)(nil))
	c.document = true
	return Call[Document]{c}
}

// OfAction is the Do of a step that asks an agent for an action. id says which
// agent.
func OfAction(agentType, action string, id func(*Document) (string, error), body func(*Document) (json.RawMessage, error)) Call[Document] {
	c := ofAction(semel.RefTo[json.RawMessage, json.RawMessage](agentType, action), id, unfacted(orInput(body)), (func(*Document, json.RawMessage) error)(nil))
	c.document = true
	return Call[Document]{c}
}

// UndoByEffect compensates a step by an effect. Its reply is not kept.
func UndoByEffect(effect string, body func(*Document, Fact) (json.RawMessage, error)) *Undo[Document] {
	return UndoEffect(semel.EffectTo[json.RawMessage, json.RawMessage](effect), body, nil)
}

// UndoByAction compensates a step by an agent's action.
func UndoByAction(agentType, action string, id func(*Document) (string, error), body func(*Document, Fact) (json.RawMessage, error)) *Undo[Document] {
	return UndoAction(semel.RefTo[json.RawMessage, json.RawMessage](agentType, action), id, body, nil)
}

func orInput(body func(*Document) (json.RawMessage, error)) func(*Document) (json.RawMessage, error) {
	if body != nil {
		return body
	}
	return func(d *Document) (json.RawMessage, error) { return d.Input, nil }
}

// keepIn keeps a reply in a Document.
func keepIn(step string) func(state, reply json.RawMessage) (json.RawMessage, error) {
	return keeper(func(d *Document, reply json.RawMessage) error {
		if d.Replies == nil {
			d.Replies = make(map[string]json.RawMessage)
		}
		if len(reply) == 0 {
			reply = json.RawMessage("null")
		}
		d.Replies[step] = reply
		return nil
	})
}

// beginner makes the state of a new saga from what it is started with.
func beginner[S any]() func(json.RawMessage) (json.RawMessage, error) {
	var s S
	if _, ok := any(&s).(*Document); ok {
		return func(in json.RawMessage) (json.RawMessage, error) {
			if len(in) == 0 {
				in = json.RawMessage("null")
			}
			return encode(Document{Input: in})
		}
	}
	return func(in json.RawMessage) (json.RawMessage, error) {
		var s S
		if err := decode(in, &s); err != nil {
			return nil, err
		}
		return encode(s)
	}
}
