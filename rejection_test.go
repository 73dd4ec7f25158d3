package semel_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/mem"
)

// oddJSON is JSON that an encoder would write differently.
const oddJSON = " {\"b\": 1.00, \"a\":\"\\u0041\",\n\"<\":9007199254740993} "

// decliner has actions that say no in every way that data can come about.
func decliner(app *semel.App) map[string]*semel.Action[json.RawMessage, json.RawMessage] {
	agent := semel.NewAgent[counter](app, "decliner")
	all := make(map[string]*semel.Action[json.RawMessage, json.RawMessage])
	on := func(name string, handler func(*counter, *semel.Step, json.RawMessage) (json.RawMessage, error)) {
		all[name] = semel.On(agent, name, handler)
	}
	pass := semel.Then(agent, "pass", func(c *counter, _ *semel.Step, _ none, r semel.Result[json.RawMessage]) (json.RawMessage, error) {
		c.Log = append(c.Log, string(r.Data))
		return r.Value, r.Err()
	})
	decline := semel.NewEffect(app, "decline", func(_ context.Context, _ semel.EffectCall, data json.RawMessage) (json.RawMessage, error) {
		return nil, semel.Reject("declined", "no").With(data)
	})
	on("direct", func(_ *counter, _ *semel.Step, data json.RawMessage) (json.RawMessage, error) {
		return nil, semel.Reject("declined", "no").With(data)
	})
	on("kept", func(c *counter, _ *semel.Step, data json.RawMessage) (json.RawMessage, error) {
		c.Sum++
		return nil, semel.Reject("declined", "no").With(data).Keep()
	})
	on("literal", func(_ *counter, _ *semel.Step, data json.RawMessage) (json.RawMessage, error) {
		return nil, &semel.Rejection{Code: "declined", Detail: "no", Data: data}
	})
	on("effect", func(_ *counter, s *semel.Step, data json.RawMessage) (json.RawMessage, error) {
		decline.Ask(s, data, pass.With(none{}))
		return semel.Defer[json.RawMessage]()
	})
	on("agent", func(_ *counter, s *semel.Step, data json.RawMessage) (json.RawMessage, error) {
		semel.RefTo[json.RawMessage, json.RawMessage]("decliner", "direct").Ask(s, "other", data, pass.With(none{}))
		return semel.Defer[json.RawMessage]()
	})
	return all
}

// A rejection's data reaches whoever asks, on every way, and is the same bytes in
// every repetition, also after a restart.
func TestRejectionData(t *testing.T) {
	t.Parallel()
	for _, data := range []string{oddJSON, `null`, `"text"`, `{"status":402}`} {
		for _, way := range []string{"direct", "kept", "literal", "effect", "agent"} {
			disk := mem.New()
			for repetition := range 4 {
				if repetition%2 == 0 {
					disk.Crash(1 << 30) // keeps all
				}
				app := open(t, disk, semel.Config{})
				decline := decliner(app)
				_, err := decline[way].Call(t.Context(), "a", json.RawMessage(data), semel.Key("k"))
				r := wantRejection(t, err, "declined")
				if string(r.Data) != data || r.Detail != "no" {
					t.Errorf("%s: %s", way, r.Data)
				}
				o, err := app.Do(t.Context(), decline[way].Request("a", json.RawMessage(data), semel.Key("k")))
				if r := wantRejection(t, err, "declined"); string(r.Data) != data || string(o.Data) != data || !o.Replayed || o.Reply != nil {
					t.Errorf("%s: %+v", way, o)
				}
				o, err = app.Outcome(t.Context(), semel.AgentName{Type: "decliner", ID: "a"}, "k")
				if err != nil || o.Status != message.StatusRejected || string(o.Data) != data {
					t.Errorf("%s: %+v, %v", way, o, err)
				}
				closeApp(t, app)
			}
		}
	}
}

// Without data there is none, not an empty or a null one.
func TestRejectionWithoutData(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	decline := decliner(app)["literal"]
	o, err := app.Do(t.Context(), decline.Request("a", nil, semel.Key("k")))
	if r := wantRejection(t, err, "declined"); r.Data != nil || o.Data != nil {
		t.Errorf("%+v, %+v", r, o)
	}
}

func TestRejectionOfAQueryHasData(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	touch := semel.On(agent, "touch", func(*counter, *semel.Step, none) (none, error) { return none{}, nil })
	ask := semel.Query(agent, "ask", func(_ *counter, ok bool) (int, error) {
		if ok {
			return 0, semel.Reject("no", "no").With(map[string]int{"limit": 5})
		}
		return 0, semel.Reject("no", "no").With(math.NaN())
	})
	must(touch.Call(t.Context(), "a", none{}, semel.Key("k")))
	_, err := ask.Ask(t.Context(), "a", true)
	if r := wantRejection(t, err, "no"); string(r.Data) != `{"limit":5}` || r.Agent.ID != "a" || r.Action != "ask" {
		t.Errorf("%+v", r)
	}
	_, err = ask.Ask(t.Context(), "a", false)
	wantError(t, err, semel.ErrHandlerFailed)
}

// Data that is no JSON makes a step fail, which then decided nothing; an effect
// that said it may have had its effect.
func TestRejectionDataThatIsNoJSON(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	var checks []func()
	for name, no := range map[string]func() *semel.Rejection{
		"a number":      func() *semel.Rejection { return semel.Reject("no", "").With(math.NaN()) },
		"raw":           func() *semel.Rejection { return semel.Reject("no", "").With(json.RawMessage("{")) },
		"set as it is":  func() *semel.Rejection { return &semel.Rejection{Code: "no", Data: json.RawMessage("{")} },
		"and then kept": func() *semel.Rejection { return semel.Reject("no", "").With(make(chan int)).Keep() },
	} {
		refuse := semel.On(agent, name, func(c *counter, _ *semel.Step, _ none) (none, error) {
			c.Sum++
			return none{}, no()
		})
		told := semel.Then(agent, name+" told", func(*counter, *semel.Step, none, semel.Result[none]) (none, error) {
			t.Error("an effect in doubt was settled")
			return none{}, nil
		})
		effect := semel.NewEffect(app, name, func(context.Context, semel.EffectCall, none) (none, error) { return none{}, no() })
		run := semel.On(agent, name+" run", func(_ *counter, s *semel.Step, _ none) (none, error) {
			effect.Ask(s, none{}, told.With(none{}))
			return semel.Defer[none]()
		})
		checks = append(checks, func() { // when all is registered
			_, err := refuse.Call(t.Context(), "a", none{}, semel.Key(name))
			wantError(t, err, semel.ErrHandlerFailed)
			if !strings.Contains(err.Error(), `data of the rejection "no"`) {
				t.Error(err)
			}
			_, err = run.Call(t.Context(), "b", none{}, semel.Key(name))
			wantError(t, err, semel.ErrInDoubt)
			if _, _, err := agent.Get(t.Context(), "a"); !errors.Is(err, semel.ErrUnknownAgent) {
				t.Errorf("the step left a trace: %v", err)
			}
		})
	}
	for _, check := range checks {
		check()
	}
}

// The white space around a json.RawMessage is kept, as encode keeps it.
func TestRawBodiesAreKept(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	echo := semel.On(agent, "echo", func(_ *counter, _ *semel.Step, in json.RawMessage) (json.RawMessage, error) { return in, nil })
	call := echo.Request("a", nil, semel.Key("k"))
	call.Body = []byte(oddJSON) // as it comes from outside the process
	if o, err := app.Do(t.Context(), call); err != nil || string(o.Reply) != oddJSON {
		t.Errorf("%q, %v", o.Reply, err)
	}
}
