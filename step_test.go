package semel_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/mem"
)

var (
	addRef  = semel.RefTo[int64, int64]("counter", "add")
	summed  = semel.ContinuationTo[string, int64]("summed")
	nothing = semel.RefTo[int64, int64]("counter", "no such action")
)

// add is the action that most tests send to.
func add(c *counter, s *semel.Step, n int64) (int64, error) {
	if n < 0 {
		return 0, semel.Reject("negative", "%d", n)
	}
	c.Sum += n
	return c.Sum, nil
}

func TestStepKnowsItsMessage(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	type facts struct {
		Agent     semel.AgentName
		Key       string
		Principal string
		Version   uint64
		Now       time.Time
		IDs       []semel.ID
	}
	look := semel.On(agent, "look", func(c *counter, s *semel.Step, _ none) (facts, error) {
		return facts{s.Agent(), s.Key(), s.Principal(), s.Version(), s.Now(), []semel.ID{s.NewID(), s.NewID()}}, nil
	})
	before := time.Now()
	f := must(look.Call(t.Context(), "a", none{}, semel.Key("k1"), semel.As("ann"), semel.Tenant("acme")))
	g := must(look.Call(t.Context(), "a", none{}, semel.Key("k2"), semel.As("ann"), semel.Tenant("acme")))
	if f.Agent != (semel.AgentName{Tenant: "acme", Type: "counter", ID: "a"}) || f.Key != "k1" || f.Principal != "ann" || f.Version != 0 || g.Version != 1 {
		t.Errorf("%+v, %+v", f, g)
	}
	if f.Now.Before(before.Add(-time.Second)) || g.Now.Before(f.Now) || f.Now.Location() != time.UTC {
		t.Errorf("times: %v, %v, %v", before, f.Now, g.Now)
	}
	ids := append(f.IDs, g.IDs...)
	for i, id := range ids {
		if id.IsZero() || slices.Index(ids, id) != i {
			t.Errorf("ids are not distinct: %v", ids)
		}
	}
}

func TestKeptStepPanics(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	var kept *semel.Step
	keep := semel.On(agent, "keep", func(c *counter, s *semel.Step, _ none) (none, error) { kept = s; return none{}, nil })
	must(keep.Call(t.Context(), "a", none{}, semel.Key("k")))
	defer func() {
		if recover() == nil {
			t.Error("a Step that was kept still works")
		}
	}()
	kept.Now()
}

func TestSendArrivesOnceIfTheStepStands(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	semel.On(agent, "add", add)
	spread := semel.On(agent, "spread", func(c *counter, s *semel.Step, fail bool) (none, error) {
		for i := range 10 {
			addRef.Send(s, fmt.Sprintf("b%d", i), 1)
			addRef.Send(s, fmt.Sprintf("b%d", i), 1, semel.Delay(time.Millisecond))
		}
		if fail {
			return none{}, semel.Reject("no", "")
		}
		return none{}, nil
	})
	_, err := spread.Call(t.Context(), "a", true, semel.Key("no"))
	wantRejection(t, err, "no")
	for range 3 {
		must(spread.Call(t.Context(), "a", false, semel.Key("yes")))
	}
	for i := range 10 {
		eventually(t, "the messages", func() bool {
			c, _, _ := agent.Get(t.Context(), fmt.Sprintf("b%d", i))
			return c.Sum >= 2
		})
	}
	var sum int64
	for e, err := range agent.All(t.Context()) {
		c, version, _ := agent.Get(t.Context(), e.Agent.ID)
		if sum += c.Sum; err != nil || version != e.Version {
			t.Errorf("%v has version %d, %v", e, version, err)
		}
	}
	if sum != 20 {
		t.Errorf("%d of 20 arrived", sum)
	}
}

func TestDeferredReply(t *testing.T) {
	t.Parallel()
	disk := mem.New()
	register := func(app *semel.App) (*semel.Agent[counter], *semel.Action[int64, string]) {
		agent := semel.NewAgent[counter](app, "counter")
		semel.On(agent, "add", add)
		semel.Then(agent, "summed", func(c *counter, s *semel.Step, what string, r semel.Result[int64]) (string, error) {
			c.Log = append(c.Log, what)
			if err := r.Err(); err != nil {
				return "", err
			}
			if r.Value < 10 {
				addRef.Ask(s, "b", 5, summed.With(what+"!"))
				return semel.Defer[string]()
			}
			return fmt.Sprintf("%s %d", what, r.Value), nil
		})
		ask := semel.On(agent, "ask", func(c *counter, s *semel.Step, n int64) (string, error) {
			c.Log = append(c.Log, "asked")
			addRef.Ask(s, "b", n, summed.With("sum"))
			return semel.Defer[string]()
		})
		return agent, ask
	}
	app := open(t, disk, semel.Config{})
	_, ask := register(app)
	for range 2 {
		if reply, err := ask.Call(t.Context(), "a", 3, semel.Key("k")); reply != "sum!! 13" || err != nil {
			t.Fatalf("%q, %v", reply, err)
		}
	}
	_, err := ask.Call(t.Context(), "a", -1, semel.Key("no"))
	if r := wantRejection(t, err, "negative"); r.Detail != "-1" {
		t.Errorf("%+v", r)
	}
	closeApp(t, app)

	app = open(t, disk, semel.Config{})
	agent, ask := register(app)
	if reply, err := ask.Call(t.Context(), "a", 3, semel.Key("k")); reply != "sum!! 13" || err != nil {
		t.Errorf("after a restart: %q, %v", reply, err)
	}
	_, err = ask.Call(t.Context(), "a", -1, semel.Key("no"))
	wantRejection(t, err, "negative")
	// What the continuation wrote stands, although it rejected.
	want := []string{"asked", "sum", "sum!", "sum!!", "asked", "sum"}
	if c, _, err := agent.Get(t.Context(), "a"); err != nil || !slices.Equal(c.Log, want) {
		t.Errorf("the log is %v, %v", c.Log, err)
	}
}

func TestDeferredReplyOfAnAgentsMessage(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	semel.On(agent, "add", add)
	// Each agent asks the next; the last one's answer comes back through all.
	chain := semel.RefTo[int, string]("counter", "chain")
	back := semel.ContinuationTo[int, string]("back")
	semel.Then(agent, "back", func(c *counter, s *semel.Step, n int, r semel.Result[string]) (string, error) {
		return fmt.Sprintf("%d%s", n, r.Value), r.Err()
	})
	call := semel.On(agent, "chain", func(c *counter, s *semel.Step, n int) (string, error) {
		if n == 0 {
			return "end by " + s.Principal(), nil
		}
		chain.Ask(s, fmt.Sprint(n), n-1, back.With(n))
		return semel.Defer[string]()
	})
	if reply, err := call.Call(t.Context(), "start", 7, semel.Key("k"), semel.As("ann")); reply != "7654321end by ann" || err != nil {
		t.Errorf("%q, %v", reply, err)
	}
}

func TestTimers(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	semel.On(agent, "add", add)
	set := semel.On(agent, "set", func(c *counter, s *semel.Step, _ none) (none, error) {
		addRef.After(s, "cancelled", 2*time.Millisecond, 1000)
		addRef.After(s, "replaced", time.Millisecond, 100)
		addRef.After(s, "replaced", 3*time.Millisecond, 10)
		addRef.After(s, "simple", time.Millisecond, 1)
		s.CancelTimer("cancelled")
		s.CancelTimer("never set")
		return none{}, nil
	})
	must(set.Call(t.Context(), "a", none{}, semel.Key("k")))
	eventually(t, "the timers", func() bool {
		c, _, _ := agent.Get(t.Context(), "a")
		return c.Sum == 11
	})
}

func TestHold(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	plus := semel.On(agent, "add", add)
	hold := semel.On(agent, "hold", func(c *counter, s *semel.Step, _ none) (none, error) {
		s.Hold("mine", time.Hour)
		return none{}, nil
	})
	release := semel.On(agent, "release", func(c *counter, s *semel.Step, _ none) (int64, error) {
		s.Release()
		return c.Sum, nil
	})
	must(hold.Call(t.Context(), "a", none{}, semel.Key("hold")))
	if err := plus.Submit(t.Context(), "a", 5, semel.Key("five")); err != nil {
		t.Fatal(err)
	}
	if o, err := app.Outcome(t.Context(), agent.Name("a"), "five"); err != nil || o.Status != message.StatusInFlight {
		t.Errorf("%+v, %v", o, err)
	}
	if sum := must(plus.Call(t.Context(), "a", 1, semel.Key("one"), semel.Token("mine"))); sum != 1 {
		t.Errorf("with the token, the sum is %d", sum)
	}
	if sum := must(release.Call(t.Context(), "a", none{}, semel.Key("release"), semel.Token("mine"))); sum != 1 {
		t.Errorf("the hold let something through: the sum is %d", sum)
	}
	if sum := must(plus.Call(t.Context(), "a", 5, semel.Key("five"))); sum != 6 {
		t.Errorf("the message that waited got %d", sum)
	}
}

// A mistake in what a step asks for makes the step fail, instead of a message
// that nobody can receive.
func TestMistakesMakeTheStepFail(t *testing.T) {
	t.Parallel()
	known := semel.ContinuationTo[none, int64]("known")
	for name, c := range map[string]struct {
		do   func(s *semel.Step)
		want string
	}{
		"action":       {func(s *semel.Step) { nothing.Send(s, "b", 1) }, "no action"},
		"type":         {func(s *semel.Step) { semel.RefTo[none, none]("nobody", "x").Send(s, "b", none{}) }, "no agent type"},
		"id":           {func(s *semel.Step) { addRef.Send(s, "", 1) }, "agent id"},
		"body":         {func(s *semel.Step) { semel.RefTo[float64, none]("counter", "add").Send(s, "b", math.NaN()) }, "NaN"},
		"continuation": {func(s *semel.Step) { addRef.Ask(s, "b", 1, summed.With("x")) }, `no continuation "summed"`},
		"context": {func(s *semel.Step) {
			addRef.Ask(s, "b", 1, semel.ContinuationTo[float64, int64]("known").With(math.Inf(1)))
		}, "context"},
		"effect":     {func(s *semel.Step) { semel.EffectTo[none, int64]("no").Ask(s, none{}, known.With(none{})) }, `no effect "no"`},
		"timer":      {func(s *semel.Step) { semel.RefTo[none, none]("other", "act").After(s, "t", 1, none{}) }, "for itself"},
		"timer name": {func(s *semel.Step) { addRef.After(s, "", 1, 1) }, "timer name"},
		"cancel":     {func(s *semel.Step) { s.CancelTimer("\x00") }, "timer name"},
		"hold":       {func(s *semel.Step) { s.Hold("", 1) }, "token"},
		"hold time":  {func(s *semel.Step) { s.Hold("x", 0) }, "positive"},
		"token":      {func(s *semel.Step) { addRef.Send(s, "b", 1, semel.Token("\x01")) }, "token"},
	} {
		app := open(t, nil, semel.Config{})
		agent := semel.NewAgent[counter](app, "counter")
		other := semel.NewAgent[counter](app, "other")
		semel.On(other, "act", func(*counter, *semel.Step, none) (none, error) { return none{}, nil })
		semel.On(agent, "add", add)
		semel.Then(agent, "known", func(c *counter, s *semel.Step, _ none, r semel.Result[int64]) (none, error) { return none{}, nil })
		act := semel.On(agent, "act", func(_ *counter, s *semel.Step, _ none) (none, error) {
			addRef.Send(s, "c", 1)
			c.do(s)
			return none{}, nil
		})
		_, err := act.Call(t.Context(), "a", none{}, semel.Key("k"))
		if !errors.Is(err, semel.ErrHandlerFailed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := agent.Get(t.Context(), "c"); !errors.Is(err, semel.ErrUnknownAgent) {
			t.Errorf("%s: something was sent all the same: %v", name, err)
		}
	}
}

func TestDeferringNothingFails(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	act := semel.On(agent, "act", func(c *counter, s *semel.Step, _ none) (none, error) { return semel.Defer[none]() })
	_, err := act.Call(t.Context(), "a", none{}, semel.Key("k"))
	wantError(t, err, semel.ErrHandlerFailed)
}

func TestOutcomeUnknownIsFinal(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	var runs atomic.Int64
	act := semel.On(agent, "act", func(c *counter, s *semel.Step, _ none) (none, error) {
		c.Sum++
		return none{}, semel.OutcomeUnknown("run %d", runs.Add(1))
	})
	for range 2 {
		_, err := act.Call(t.Context(), "a", none{}, semel.Key("k"))
		wantError(t, err, semel.ErrOutcomeUnknown)
		if semel.KindOf(err) != semel.KindUnknown || !strings.Contains(err.Error(), "run 1") {
			t.Error(err)
		}
	}
	if c, _, err := agent.Get(t.Context(), "a"); err != nil || c.Sum != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

// FAULTS 53, for an accepted message: retried with backoff, then a dead letter.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	dead := make(chan semel.Alarm, 16)
	app := open(t, nil, semel.Config{MaxAttempts: 3, OnAlarm: func(a semel.Alarm) { dead <- a }})
	agent := semel.NewAgent[counter](app, "counter")
	plus := semel.On(agent, "add", add)
	var healthy atomic.Bool
	act := semel.On(agent, "act", func(c *counter, s *semel.Step, n int64) (int64, error) {
		if !healthy.Load() {
			panic("ill")
		}
		c.Sum += n
		return c.Sum, nil
	})
	letters := func() (all []semel.DeadLetter) {
		for d, err := range app.DeadLetters(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, d)
		}
		return all
	}
	for _, key := range []string{"one", "two"} {
		if err := act.Submit(t.Context(), "a", 1, semel.Key(key)); err != nil {
			t.Fatal(err)
		}
		if a := <-dead; a.Kind != semel.AlarmDead || a.Agent != agent.Name("a") {
			t.Errorf("%+v", a)
		}
	}
	// The agent goes on.
	if sum := must(plus.Call(t.Context(), "a", 10, semel.Key("k"))); sum != 10 {
		t.Errorf("the sum is %d", sum)
	}
	all := letters()
	if len(all) != 2 || all[0].Attempts != 3 || !strings.Contains(all[0].Reason, "ill") || all[0].Action != "act" || string(all[0].Body) != "1" {
		t.Fatalf("%+v", all)
	}
	_, err := act.Call(t.Context(), "a", 1, semel.Key("one"))
	wantError(t, err, semel.ErrDead)
	var unknown *semel.UnknownError
	if !errors.As(err, &unknown) || unknown.Ref.IsZero() {
		t.Fatalf("%v", err)
	}
	two := all[0].ID
	if two == unknown.Ref {
		two = all[1].ID
	}
	healthy.Store(true)
	if err := app.RetryDead(t.Context(), unknown.Ref); err != nil {
		t.Error(err)
	}
	if sum, err := act.Call(t.Context(), "a", 1, semel.Key("one")); sum != 11 || err != nil {
		t.Errorf("after the retry: %d, %v", sum, err)
	}
	if err := app.DiscardDead(t.Context(), two); err != nil {
		t.Error(err)
	}
	_, err = act.Call(t.Context(), "a", 1, semel.Key("two"))
	wantRejection(t, err, "discarded")
	wantError(t, app.RetryDead(t.Context(), two), semel.ErrUnknownDead)
	wantError(t, app.DiscardDead(t.Context(), two), semel.ErrUnknownDead)
	if left := letters(); len(left) != 0 {
		t.Errorf("%+v", left)
	}
}

// What does not fit the action can never fit it: it is dead at once.
func TestSubmittedMisfit(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	semel.On(agent, "add", add)
	send := semel.On(agent, "send", func(c *counter, s *semel.Step, _ none) (none, error) {
		semel.RefTo[string, none]("counter", "add").Send(s, "b", "no number")
		return none{}, nil
	})
	must(send.Call(t.Context(), "a", none{}, semel.Key("k")))
	eventually(t, "the dead letter", func() bool {
		for d, err := range app.DeadLetters(t.Context()) {
			return err == nil && d.Attempts == 1 && d.Agent.ID == "b"
		}
		return false
	})
	_, err := app.Submit(t.Context(), semel.Request{Type: "counter", ID: "a", Action: "add", Key: "l", Body: []byte(`"x"`)})
	wantError(t, err, semel.ErrInvalidRequest)
}
