package declare

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/saga"
)

// call is a Call whose templates are parsed.
type call struct {
	*Call
	typ  string
	id   func(*saga.Document) (string, error)
	body func(*saga.Document, saga.Fact) (json.RawMessage, error)
}

func (c *Call) parse(at string) (*call, error) {
	wrong := func(field string, err error) (*call, error) { return nil, &FieldError{at + field, err} }
	p := &call{Call: c}
	var err error
	if p.body, err = body(c.Body); err != nil {
		return wrong(".body", err)
	}
	switch {
	case c.Effect != "" && c.Agent == "" && c.Action == "":
		return p, nil
	case c.Effect != "" || c.Agent == "" || c.Action == "":
		return wrong("", errors.New("it needs an effect, or an agent and an action, and not both"))
	}
	typ, name, ok := strings.Cut(c.Agent, "/")
	if !ok || name == "" {
		return wrong(".agent", errors.New("write it as TYPE/ID, where the ID may be a template"))
	}
	if err := message.CheckName("agent type", typ); err != nil {
		return wrong(".agent", err)
	}
	p.typ = typ
	if p.id, err = id(name); err != nil {
		return wrong(".agent", err)
	}
	return p, nil
}

func (c *call) do() saga.Call[saga.Document] {
	make := func(d *saga.Document) (json.RawMessage, error) { return c.body(d, "") }
	if c.Effect != "" {
		return saga.OfEffect(c.Effect, make)
	}
	return saga.OfAction(c.typ, c.Action, c.id, make)
}

func (c *call) undo() *saga.Undo[saga.Document] {
	if c.Effect != "" {
		return saga.UndoByEffect(c.Effect, c.body)
	}
	return saga.UndoByAction(c.typ, c.Action, c.id, c.body)
}
