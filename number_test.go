package semel_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/mem"
)

// A number has one meaning, however it is spelled: what is one request for the
// fingerprint is taken in every spelling, or in none.
func TestSpellingsOfAnInteger(t *testing.T) {
	t.Parallel()
	app, err := semel.Open(t.Context(), mem.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close(t.Context())
	type in struct {
		N    int64
		List []int8
	}
	semel.On(semel.NewAgent[int](app, "test"), "take", func(_ *int, _ *semel.Step, v in) (in, error) { return v, nil })
	for _, c := range []struct{ body, reply string }{
		{`{"N":100.0,"List":[1e2,1.50e1]}`, `{"N":100,"List":[100,15]}`},
		{`{"N":1e18,"List":[]}`, `{"N":1000000000000000000,"List":[]}`},
		{`{"N":9223372036854775807.0}`, `{"N":9223372036854775807,"List":null}`},
		{`{"N":1.5}`, ""}, {`{"N":9223372036854775808.0}`, ""}, {`{"N":1,"List":[1e3]}`, ""}, {`{"N":1e400}`, ""}, {`{"N":"1.0"}`, ""},
		{`{"N":` + strings.Repeat("9", 100_000) + `}`, ""},
	} {
		o, err := app.Do(t.Context(), semel.Request{Type: "test", ID: "a", Action: "take", Key: c.body[:min(len(c.body), 200)], Body: json.RawMessage(c.body)})
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("%.100s: the error has %d bytes", c.body, len(err.Error()))
		}
		if (c.reply == "") != errors.Is(err, semel.ErrInvalidRequest) || string(o.Reply) != c.reply {
			t.Errorf("%s: %s, %v", c.body, o.Reply, err)
		}
	}
}
