package declare

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/saga"
)

// data is what a template sees.
func data(d *saga.Document, fact saga.Fact) (map[string]any, error) {
	input, err := value(d.Input)
	if err != nil {
		return nil, fmt.Errorf("the input: %w", err)
	}
	replies := make(map[string]any, len(d.Replies))
	for step, reply := range d.Replies {
		if replies[step], err = value(reply); err != nil {
			return nil, fmt.Errorf("the reply of step %q: %w", step, err)
		}
	}
	return map[string]any{"input": input, "replies": replies, "fact": string(fact)}, nil
}

// value decodes JSON; its numbers stay as they are written.
func value(b json.RawMessage) (v any, err error) {
	if len(b) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return v, d.Decode(&v)
}

var functions = template.FuncMap{
	"json": func(v any) (string, error) {
		b, err := json.Marshal(v)
		return string(b), err
	},
	"has": func(m map[string]any, name string) bool {
		_, ok := m[name]
		return ok
	},
	"text": text,
}

func newTemplate(text string) (*template.Template, error) {
	return template.New("").Funcs(functions).Option("missingkey=error").Parse(text)
}

// maxText bounds what a template makes, in bytes: a loop over a long list must not
// fill the memory of the shard's process.
const maxText = 1 << 20

func execute(t *template.Template, d *saga.Document, fact saga.Fact) ([]byte, error) {
	in, err := data(d, fact)
	if err != nil {
		return nil, err
	}
	var out bounded
	if err := t.Execute(&out, in); err != nil {
		return nil, fmt.Errorf("the template: %w", err)
	}
	return out.Bytes(), nil
}

type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxText {
		return 0, fmt.Errorf("it makes more than %d bytes", maxText)
	}
	return b.Buffer.Write(p)
}

// body makes a step's request; nil sends the input.
func body(text string) (func(*saga.Document, saga.Fact) (json.RawMessage, error), error) {
	if text == "" {
		return func(d *saga.Document, _ saga.Fact) (json.RawMessage, error) { return d.Input, nil }, nil
	}
	t, err := newTemplate(text)
	if err != nil {
		return nil, err
	}
	return func(d *saga.Document, fact saga.Fact) (json.RawMessage, error) {
		b, err := execute(t, d, fact)
		if err != nil {
			return nil, err
		}
		if err := message.CheckJSON(b); err != nil {
			return nil, fmt.Errorf("the template makes no JSON (%w); write values with json: {{json .input.name}}", err)
		}
		return b, nil
	}, nil
}

// id makes an agent's id.
func id(source string) (func(*saga.Document) (string, error), error) {
	t, err := newTemplate(source)
	if err != nil {
		return nil, err
	}
	textual(t)
	return func(d *saga.Document) (string, error) {
		b, err := execute(t, d, "")
		id := strings.TrimSpace(string(b))
		if err == nil && id == "" {
			err = errors.New("the template of the agent's id makes nothing")
		}
		return id, err
	}, nil
}
