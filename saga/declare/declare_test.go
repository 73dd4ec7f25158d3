package declare

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel/saga"
)

func act(agent, body string) Call { return Call{Agent: agent, Action: "debit", Body: body} }

func one(c Call) Saga { return Saga{Steps: []Step{{Name: "a", Do: c}}} }

// What is wrong is said with the field that it is in.
func TestMistakes(t *testing.T) {
	t.Parallel()
	good := act("account/x", "")
	for _, c := range []struct {
		s           Saga
		field, want string
	}{
		{one(Call{}), "steps[0]", "it needs an effect, or an agent and an action, and not both"},
		{one(Call{Effect: "e", Agent: "account/x"}), "steps[0]", "not both"},
		{one(Call{Effect: "e", Action: "debit"}), "steps[0]", "not both"},
		{one(Call{Agent: "account/x"}), "steps[0]", "not both"},
		{one(act("account", "")), "steps[0].agent", "TYPE/ID"},
		{one(act("account/", "")), "steps[0].agent", "TYPE/ID"},
		{one(act("/x", "")), "steps[0].agent", "agent type"},
		{one(act("account/{{.input", "")), "steps[0].agent", "unclosed action"},
		{one(act("account/x", "{{json")), "steps[0].body", "unclosed action"},
		{one(act("account/x", "{{exec `rm`}}")), "steps[0].body", `function "exec" not defined`},
		{Saga{Steps: []Step{{Name: "a", Do: good, Undo: &Call{Effect: "e", Body: "{{end}}"}}}}, "steps[0].undo.body", "unexpected {{end}}"},
		{Saga{Steps: []Step{{Name: "a", Do: good, Parallel: true}}}, "steps[0].parallel", "no step before it"},
		{Saga{Steps: []Step{{Name: "a", Do: good}}, Former: []Saga{one(Call{})}}, "former[0].steps[0]", "it needs an effect"},
		{Saga{Steps: []Step{{Name: "a", Do: good}}, Former: []Saga{{Steps: []Step{{Name: "a", Do: good}}, Former: []Saga{{}}}}}, "former[0].former", "listed once"},
	} {
		_, err := c.s.Versions()
		var wrong *FieldError
		if !errors.As(err, &wrong) || wrong.Field != c.field || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v\nwant %s: %s", err, c.field, c.want)
		}
	}
	// All of them at once.
	s := Saga{Steps: []Step{{Name: "a"}, {Name: "b", Do: good}, {Name: "c", Do: act("account/x", "{{")}}}
	_, err := s.Versions()
	for _, field := range []string{"steps[0]:", "steps[2].body:"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v lacks %s", err, field)
		}
	}
}

// The parts are where saga.Define looks for them.
func TestVersions(t *testing.T) {
	t.Parallel()
	c := act("account/x", "")
	s := Saga{Version: 3, Timeout: time.Minute, Steps: []Step{
		{Name: "a", Do: c, Undo: &c, Always: true, Timeout: time.Second, Attempts: 4},
		{Name: "b", Do: c, Parallel: true}, {Name: "c", Do: c, Parallel: true}, {Name: "d", Do: c, Pivot: true},
	}, Former: []Saga{{Steps: []Step{{Name: "a", Do: c}}}}}
	all, err := s.Versions()
	if err != nil || len(all) != 2 || all[0].Number != 3 || all[1].Number != 1 || all[0].Timeout != time.Minute || len(all[0].Stages) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	first := all[0].Stages[0].(saga.Parallel[saga.Document])
	last := all[0].Stages[1].(saga.Parallel[saga.Document])
	if len(first) != 3 || len(last) != 1 || !last[0].Pivot || !first[0].UndoAlways || first[0].Undo == nil || first[1].Undo != nil ||
		first[0].Timeout != time.Second || first[0].Retry.Attempts != 4 || first[0].UndoRetry.Attempts != 4 {
		t.Errorf("%+v", all[0])
	}
	if err := saga.Check("trip", all...); err != nil {
		t.Error(err)
	}
}

// made is what a template makes of a state.
func made(t testing.TB, text, input string, replies map[string]string, fact saga.Fact) (string, error) {
	t.Helper()
	make, err := body(text)
	if err != nil {
		t.Fatal(err)
	}
	d := &saga.Document{Input: json.RawMessage(input), Replies: map[string]json.RawMessage{}}
	for step, reply := range replies {
		d.Replies[step] = json.RawMessage(reply)
	}
	b, err := make(d, fact)
	return string(b), err
}

func TestBodies(t *testing.T) {
	t.Parallel()
	replies := map[string]string{"hotel": `{"id":"H1","n":12345678901234567890.10}`, "none": "null"}
	for _, c := range []struct{ text, input, want string }{
		{"", `{"a": 1}`, `{"a": 1}`},
		{"{{json .input}}", "null", "null"},
		{"{{json .input.n}}", `{"n":12345678901234567890}`, "12345678901234567890"},
		{"{{json .input.n}}", `{"n":1.10e2}`, "1.10e2"},
		{"{{json .replies.hotel.n}}", "{}", "12345678901234567890.10"},
		{`{"x": {{json .input}}}`, `{"b":[true,null]}`, `{"x": {"b":[true,null]}}`},
		{`{{if has .replies "hotel"}}{{json .replies.hotel.id}}{{else}}null{{end}}`, "{}", `"H1"`},
		{`{{if has .replies "flight"}}{{json .replies.flight.id}}{{else}}null{{end}}`, "{}", "null"},
		{`{{if has .replies "none"}}1{{else}}2{{end}}`, "{}", "1"},
		{`{"fact": {{json .fact}}}`, "{}", `{"fact": "happened"}`},
		{`[{{range $i, $x := .input}}{{if $i}},{{end}}{{json $x}}{{end}}]`, "[1,2]", "[1,2]"},
	} {
		if got, err := made(t, c.text, c.input, replies, saga.Happened); err != nil || got != c.want {
			t.Errorf("%s of %s: %s, %v; want %s", c.text, c.input, got, err, c.want)
		}
	}
	for _, c := range []struct{ text, input, want string }{
		{"{{json .input.missing}}", `{"a":1}`, `no entry for key "missing"`},
		{"{{json .replies.flight.id}}", "{}", `no entry for key "flight"`},
		{"{{json .input.a.b}}", `{"a":1}`, "can't evaluate field b"},
		{"{{json .other}}", "{}", `no entry for key "other"`},
		{`{"name": {{.input.name}}}`, `{"name":"ada"}`, "write values with json: {{json .input.name}}"},
		{`{"name": "{{.input.name}}"}`, `{"name":"a\"b"}`, "makes no JSON"},
		{`{"a":1,"a":2}`, "{}", "makes no JSON"},
		{"{{range .input}}{{range $.input}}{{range $.input}}{{range $.input}}x{{end}}{{end}}{{end}}{{end}}", "[" + strings.Repeat("1,", 99) + "1]", "it makes more than 1048576 bytes"},
	} {
		if got, err := made(t, c.text, c.input, replies, ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %s: %s, %v; want %s", c.text, c.input, got, err, c.want)
		}
	}
}

// An agent's id is text; a slash belongs to it. An empty one names nobody.
func TestIDs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, input, want string }{
		{"ada", "{}", "ada"}, {"{{.input.a}}", `{"a":"x"}`, "x"}, {"{{.input.a}}/{{.input.n}}", `{"a":"x y","n":1.50}`, "x y/1.50"},
		{"{{.input.a}}", `{"a":"../b"}`, "../b"}, {" {{.input.a}}\n", `{"a":"x"}`, "x"},
	} {
		make, err := id(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := make(&saga.Document{Input: json.RawMessage(c.input)}); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.text, got, err, c.want)
		}
	}
	for _, input := range []string{"{}", "null", `{"a":""}`, `{"a":"  "}`, `{"a":null}`, `{"a":{"b":1}}`, `{"a":[1]}`, `{"a":true}`} {
		make, err := id("{{.input.a}}")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := make(&saga.Document{Input: json.RawMessage(input)}); err == nil {
			t.Errorf("%s: %q", input, got)
		}
	}
}

// Whatever a saga is started with is a value where json writes it, and nothing
// else: it cannot add members or end the text that it stands in.
func FuzzTemplateData(f *testing.F) {
	for _, seed := range []string{`x`, `"`, `","admin":true,"a":"`, "\\", "\u2028</script>", "{{json .input}}", "\xff", "1e400", "\x00"} {
		f.Add(seed, int64(len(seed)))
	}
	f.Fuzz(func(t *testing.T, text string, n int64) {
		input, err := json.Marshal(map[string]any{"name": text, "n": n})
		if err != nil {
			t.Skip()
		}
		got, err := made(t, `{"name": {{json .input.name}}, "n": {{json .input.n}}, "all": {{json .input}}}`, string(input), nil, "")
		if err != nil {
			t.Fatalf("%s: %v", input, err)
		}
		var back map[string]any
		d := json.NewDecoder(strings.NewReader(got))
		d.UseNumber()
		if err := d.Decode(&back); err != nil || len(back) != 3 || back["name"] != strings.ToValidUTF8(text, "\ufffd") && back["name"] != string([]rune(text)) || back["n"] != json.Number(json.Number(strings.TrimSpace(string(mustJSON(n))))) {
			t.Errorf("%q became %s, %v", text, got, err)
		}
	})
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
