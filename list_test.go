package semel_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/mem"
)

func TestListAgents(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	plus := semel.On(agent, "add", add)
	other := semel.On(semel.NewAgent[counter](app, "counter2"), "add", add)
	want := make(map[string]uint64)
	var requests []semel.Request
	for i := range 500 {
		id := fmt.Sprintf("id/%d", i%200)
		want[id]++
		requests = append(requests, plus.Request(id, 1, semel.Key(fmt.Sprint(i))))
	}
	requests = append(requests, other.Request("x", 1, semel.Key("x")), plus.Request("y", 1, semel.Key("x"), semel.Tenant("acme")))
	for _, a := range app.CallAll(t.Context(), requests) {
		if a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	got := make(map[string]uint64)
	for e, err := range agent.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := got[e.Agent.ID]; twice || e.Agent.Type != "counter" {
			t.Errorf("%v is listed twice, or does not belong", e)
		}
		got[e.Agent.ID] = e.Version
	}
	if !maps.Equal(got, want) {
		t.Errorf("%d agents are listed, want %d", len(got), len(want))
	}
	n := 0
	for e := range agent.All(t.Context(), semel.Tenant("acme")) {
		if n++; e.Agent != (semel.AgentName{Tenant: "acme", Type: "counter", ID: "y"}) {
			t.Error(e)
		}
	}
	for range agent.All(t.Context()) {
		n++
		break // stops the listing
	}
	if n != 2 {
		t.Errorf("%d agents", n)
	}
	for _, err := range app.Agents(t.Context(), "nothing") {
		wantError(t, err, semel.ErrUnknownAgentType)
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	plus := semel.On(agent, "add", add)
	began := time.Now().Add(-time.Second)
	must(plus.Call(t.Context(), "a", 1, semel.Key("k1")))
	must(plus.Call(t.Context(), "a", 2, semel.Key("k2"), semel.As("ann")))
	_, err := plus.Call(t.Context(), "a", -1, semel.Key("k3"))
	wantRejection(t, err, "negative")
	must(plus.Call(t.Context(), "b", 1, semel.Key("k4")))

	o, err := app.Outcome(t.Context(), agent.Name("a"), "k1")
	if err != nil || o.Status != message.StatusDone || string(o.Reply) != "1" || o.Action != "add" || o.Attempts != 1 ||
		o.FirstSeen.Before(began) || o.Settled.Before(o.FirstSeen) || o.Fingerprint == (message.Fingerprint{}) {
		t.Errorf("%+v, %v", o, err)
	}
	_, err = app.Outcome(t.Context(), agent.Name("a"), "k2")
	wantError(t, err, semel.ErrUnknownKey)
	if semel.KindOf(err) != semel.KindUnknown { // it may be on its way
		t.Errorf("kind %s", semel.KindOf(err))
	}
	if o, err := app.Outcome(t.Context(), agent.Name("a"), "k2", semel.As("ann")); err != nil || string(o.Reply) != "3" {
		t.Errorf("%+v, %v", o, err)
	}
	_, err = app.Outcome(t.Context(), semel.AgentName{Type: "nothing", ID: "a"}, "k1")
	wantError(t, err, semel.ErrUnknownAgentType)
	_, err = app.Outcome(t.Context(), agent.Name("a"), "")
	wantError(t, err, semel.ErrKeyInvalid)

	got := make(map[string]message.Status)
	for e, err := range app.Outcomes(t.Context(), agent.Name("a")) {
		if err != nil {
			t.Fatal(err)
		}
		got[e.Principal+" "+e.Key] = e.Outcome.Status
	}
	if want := map[string]message.Status{
		"anonymous k1": message.StatusDone, "ann k2": message.StatusDone, "anonymous k3": message.StatusRejected,
	}; !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestDeletionKeepsTheOutcomes(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	plus := semel.On(agent, "add", add)
	must(plus.Call(t.Context(), "a", 5, semel.Key("k")))
	if err := agent.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	_, _, err := agent.Get(t.Context(), "a")
	wantError(t, err, semel.ErrUnknownAgent)
	wantError(t, agent.Delete(t.Context(), "a"), semel.ErrUnknownAgent)
	if sum := must(plus.Call(t.Context(), "a", 5, semel.Key("k"))); sum != 5 {
		t.Errorf("the repeated call got %d", sum)
	}
	_, _, err = agent.Get(t.Context(), "a")
	wantError(t, err, semel.ErrUnknownAgent)
	if sum := must(plus.Call(t.Context(), "a", 1, semel.Key("new"))); sum != 1 {
		t.Errorf("the new agent got %d", sum)
	}
}

func TestQueries(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	plus := semel.On(agent, "add", add)
	cause := errors.New("cause")
	look := semel.Query(agent, "look", func(c *counter, n int64) (int64, error) {
		switch n {
		case 1:
			return 0, semel.Reject("no", "")
		case 2:
			return 0, cause
		case 3:
			panic("oops")
		}
		return c.Sum + n, nil
	})
	flat := semel.NewAgent[int64](app, "flat")
	inc := semel.On(flat, "inc", func(n *int64, _ *semel.Step, _ none) (int64, error) { *n++; return *n, nil })
	spoil := semel.Query(flat, "spoil", func(n *int64, _ none) (int64, error) { *n = 99; return *n, nil })

	_, err := look.Ask(t.Context(), "a", 0)
	wantError(t, err, semel.ErrUnknownAgent)
	must(plus.Call(t.Context(), "a", 5, semel.Key("k")))
	if sum, err := look.Ask(t.Context(), "a", 10); sum != 15 || err != nil {
		t.Errorf("%d, %v", sum, err)
	}
	_, err = look.Ask(t.Context(), "a", 1)
	wantRejection(t, err, "no")
	_, err = look.Ask(t.Context(), "a", 2)
	wantError(t, err, cause)
	_, err = look.Ask(t.Context(), "a", 3)
	wantError(t, err, semel.ErrHandlerFailed)
	_, err = app.Query(t.Context(), agent.Name("a"), "look", []byte(`"x"`))
	wantError(t, err, semel.ErrInvalidRequest)
	_, err = app.Query(t.Context(), agent.Name("a"), "add", nil)
	wantError(t, err, semel.ErrUnknownAction)

	must(inc.Call(t.Context(), "a", none{}, semel.Key("1")))
	must(spoil.Ask(t.Context(), "a", none{}))
	if n := must(inc.Call(t.Context(), "a", none{}, semel.Key("2"))); n != 2 {
		t.Errorf("a query changed the state: %d", n)
	}
}

func TestStateIsACopy(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	note := semel.On(agent, "note", func(c *counter, s *semel.Step, what string) (int, error) {
		c.Log = append(c.Log, what)
		return len(c.Log), nil
	})
	must(note.Call(t.Context(), "a", "one", semel.Key("1")))
	c, _, _ := agent.Get(t.Context(), "a")
	c.Log[0] = "spoiled"
	must(note.Call(t.Context(), "a", "two", semel.Key("2")))
	if c, version, err := agent.Get(t.Context(), "a"); err != nil || c.Log[0] != "one" || c.Log[1] != "two" || version != 2 {
		t.Errorf("%+v, %d, %v", c, version, err)
	}
}

func TestSchemaMigrationOfStoredStates(t *testing.T) {
	t.Parallel()
	disk := mem.New()
	type v1 struct{ Name string }
	type v2 struct{ First, Last string }
	rename := func(opts ...semel.AgentOption) (*semel.App, *semel.Agent[v2], *semel.Action[string, v2]) {
		app := open(t, disk, semel.Config{})
		agent := semel.NewAgent[v2](app, "person", opts...)
		return app, agent, semel.On(agent, "rename", func(p *v2, _ *semel.Step, last string) (v2, error) {
			p.Last = last
			return *p, nil
		})
	}
	migration := semel.SchemaVersion(2, semel.Migrate(1, func(old json.RawMessage) (json.RawMessage, error) {
		var p v1
		if err := json.Unmarshal(old, &p); err != nil {
			return nil, err
		}
		first, last, _ := strings.Cut(p.Name, " ")
		return json.Marshal(v2{first, last})
	}))

	app := open(t, disk, semel.Config{})
	people := semel.NewAgent[v1](app, "person")
	name := semel.On(people, "name", func(p *v1, _ *semel.Step, n string) (none, error) { p.Name = n; return none{}, nil })
	for _, id := range []string{"a", "b"} {
		must(name.Call(t.Context(), id, "Ada Byron", semel.Key("k")))
	}
	closeApp(t, app)

	app, agent, call := rename(migration)
	if p, _, err := agent.Get(t.Context(), "a"); err != nil || p != (v2{"Ada", "Byron"}) {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := call.Call(t.Context(), "a", "Lovelace", semel.Key("k2")); err != nil || p != (v2{"Ada", "Lovelace"}) {
		t.Errorf("%+v, %v", p, err)
	}
	closeApp(t, app)

	// The older program: it can still read b, which no step wrote again, but
	// must not touch a.
	_, agent, call = rename()
	_, err := call.Call(t.Context(), "a", "Byron", semel.Key("k3"))
	wantError(t, err, semel.ErrStoreUnavailable)
	if !strings.Contains(err.Error(), "run the newer program") {
		t.Error(err)
	}
	if _, _, err := agent.Get(t.Context(), "b"); err != nil {
		t.Error(err)
	}
}
