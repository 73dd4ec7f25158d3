package semel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
)

func wantPanic(t *testing.T, want string, do func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), want) {
			t.Errorf("the panic is %v, want one with %q", v, want)
		}
	}()
	do()
}

func TestRegistrationMistakesPanic(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	semel.On(agent, "add", add)
	call := func(context.Context, semel.EffectCall, int) (int, error) { return 0, nil }
	find := func(context.Context, semel.EffectCall, string) (int, error) { return 0, nil }
	semel.NewEffect(app, "call", call)
	migrate := func(b json.RawMessage) (json.RawMessage, error) { return b, nil }
	for want, do := range map[string]func(){
		`"counter" is registered twice`:                           func() { semel.NewAgent[counter](app, "counter") },
		"agent type is empty":                                     func() { semel.NewAgent[counter](app, "") },
		"must not contain '/' or ':'":                             func() { semel.NewAgent[counter](app, "a/b") },
		"is not exported":                                         func() { semel.NewAgent[struct{ x int }](app, "hidden") },
		"x.Err is of the interface type error":                    func() { type x struct{ Err error }; semel.NewAgent[x](app, "iface") },
		"whose value would be of another type":                    func() { semel.NewAgent[map[string]any](app, "any") },
		"has map keys of type float64":                            func() { semel.NewAgent[map[float64]int](app, "key") },
		`effect "x" has no function to call`:                      func() { semel.NewEffect[int, int](app, "x", nil) },
		"no function to probe":                                    func() { semel.NewEffect(app, "x", call, semel.Probe[int, int](nil)) },
		`action "x" of agent type "counter" has no handler`:       func() { semel.On[counter, int, int](agent, "x", nil) },
		`continuation "x" of agent type "counter" has no handler`: func() { semel.Then[counter, int, int, int](agent, "x", nil) },
		`query "x" of agent type "counter" has no handler`:        func() { semel.Query[counter, int, int](agent, "x", nil) },
		"the migration from schema version 1 is nil":              func() { semel.NewAgent[counter](app, "m", semel.SchemaVersion(2, semel.Migrate(1, nil))) },
		`have the same name "Sum" in JSON`: func() {
			type x struct {
				counter
				Sum string
			}
			semel.NewAgent[x](app, "names")
		},
		`has an action named "add" already`:      func() { semel.On(agent, "add", add) },
		`give a query another name`:              func() { semel.Query(agent, "add", func(*counter, none) (none, error) { return none{}, nil }) },
		"action name is empty":                   func() { semel.On(agent, "", add) },
		`must not contain '/'`:                   func() { semel.On(agent, "a/b", add) },
		`"call" is registered twice`:             func() { semel.NewEffect(app, "call", call) },
		"effect name is empty":                   func() { semel.NewEffect(app, "", call) },
		"two policies: keyed and at_most_once":   func() { semel.NewEffect(app, "x", call, semel.Keyed, semel.AtMostOnce) },
		"must have the call's types":             func() { semel.NewEffect(app, "x", call, semel.Probe(find)) },
		"the timeout is -1ns":                    func() { semel.NewEffect(app, "x", call, semel.Timeout(-1)) },
		"0 attempts":                             func() { semel.NewEffect(app, "x", call, semel.Attempts(0)) },
		"has no migration from version 1":        func() { semel.NewAgent[counter](app, "m", semel.SchemaVersion(2)) },
		"cannot have a migration from version 2": func() { semel.NewAgent[counter](app, "m", semel.SchemaVersion(2, semel.Migrate(2, migrate))) },
		"has two migrations from version 1": func() {
			semel.NewAgent[counter](app, "m", semel.SchemaVersion(2, semel.Migrate(1, migrate), semel.Migrate(1, migrate)))
		},
		"schema version 0: versions begin at 1": func() { semel.NewAgent[counter](app, "m", semel.SchemaVersion(0)) },
	} {
		wantPanic(t, want, do)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantPanic(t, "register everything before App.Start", func() { semel.NewAgent[counter](app, "late") })
	wantPanic(t, "after the App was started", func() { semel.On(agent, "late", add) })
	wantPanic(t, `effect "late" is registered after the App`, func() { semel.NewEffect(app, "late", call) })
}

func TestConfigIsValidated(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]semel.Config{
		"Retention is -1ns":              {Retention: -1},
		"MaxBody is -1":                  {MaxBody: -1},
		"BackoffBase (1m0s) is above":    {BackoffBase: time.Minute, BackoffMax: time.Second},
		"CacheBytes is -5; it must be p": {CacheBytes: -5},
	} {
		if _, err := semel.Open(t.Context(), mem.New(), &cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestLifecycle(t *testing.T) {
	t.Parallel()
	disk := mem.New()
	app := open(t, disk, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	act := semel.On(agent, "add", add)
	if err := app.Ready(); err == nil {
		t.Error("ready before it was started")
	}
	// FAULTS 15.
	if _, err := semel.Open(t.Context(), disk, nil); !errors.Is(err, store.ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := act.Call(cancelled, "a", 1, semel.Key("k"))
	wantError(t, err, semel.ErrCanceled)
	for range 2 {
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Ready(); err != nil {
		t.Error(err)
	}
	must(act.Call(t.Context(), "a", 1, semel.Key("k")))
	closeApp(t, app)
	if err := app.Ready(); err == nil {
		t.Error("ready after it was closed")
	}
	_, err = act.Call(t.Context(), "a", 1, semel.Key("k"))
	wantError(t, err, semel.ErrClosed)

	unused := open(t, disk, semel.Config{})
	act = semel.On(semel.NewAgent[counter](unused, "counter"), "add", add)
	closeApp(t, unused)
	_, err = act.Call(t.Context(), "a", 1, semel.Key("k"))
	wantError(t, err, semel.ErrClosed)
}

func TestErrorsOfEveryKind(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	for _, c := range []struct {
		err  error
		kind semel.Kind
	}{
		{nil, 0},
		{cause, semel.KindUnknown},
		{context.Canceled, semel.KindUnknown},
		{semel.NotDone(cause), semel.KindNotDone},
		{semel.NotDone(semel.Reject("no", "")), semel.KindNotDone},
		{fmt.Errorf("wrapped: %w", semel.Reject("no", "")), semel.KindRejected},
		{semel.OutcomeUnknown("who knows"), semel.KindUnknown},
		{&semel.UnknownError{Cause: semel.NotDone(cause)}, semel.KindUnknown},
	} {
		if got := semel.KindOf(c.err); got != c.kind {
			t.Errorf("KindOf(%v) = %v", c.err, got)
		}
	}
	if err := semel.NotDone(cause); !errors.Is(err, cause) || errors.Is(err, semel.ErrConflict) {
		t.Error(err)
	}
	if r := semel.Reject("", "%d%%", 100); r.Code != "rejected" || r.Detail != "100%" {
		t.Errorf("%+v", r)
	}
}

// A row that cannot be read stops the start, and the reason stays to be asked.
func TestReadySaysWhyTheStartFailed(t *testing.T) {
	t.Parallel()
	disk := mem.New()
	spoil(t, disk)
	app, err := semel.Open(t.Context(), disk, nil)
	if err != nil {
		t.Fatal(err)
	}
	semel.NewAgent[counter](app, "counter")
	start := app.Start(t.Context())
	if start == nil || !strings.Contains(start.Error(), "shard 1") {
		t.Fatalf("the start: %v", start)
	}
	if err := app.Ready(); !errors.Is(err, start) {
		t.Errorf("ready: %v", err)
	}
	closeApp(t, app)
}

// spoil writes a row that no version of the format has.
func spoil(t *testing.T, o store.Opener) {
	t.Helper()
	st := must(o.OpenStore(t.Context()))
	s := must(st.Open(t.Context(), 1, "test"))
	u := &message.Unit{
		Version: message.Version{Epoch: s.Version().Epoch, Seq: s.Version().Seq + 1},
		Writes: []message.Write{{
			RowKey: message.RowKey{Table: message.TableMeta, Key: []byte("clock")},
			Op:     message.Put, Value: []byte("garbage"),
		}},
	}
	if err := errors.Join(s.Commit(t.Context(), u).Wait(), s.Close(), st.Close()); err != nil {
		t.Fatal(err)
	}
}

// Every way to ask the App tells the kind and the code of its failure.
func TestFailuresOfEveryQuestionHaveTheirType(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	act := semel.On(agent, "add", add)
	must(act.Call(t.Context(), "a", 1, semel.Key("k")))
	questions := func(ctx context.Context) map[string]error {
		errs := make(map[string]error)
		_, errs["call"] = act.Call(ctx, "a", 1, semel.Key("new"))
		_, _, errs["state"] = agent.Get(ctx, "a")
		_, errs["outcome"] = app.Outcome(ctx, agent.Name("a"), "k")
		errs["delete"] = agent.Delete(ctx, "b")
		_, errs["resolve"] = app.Resolve(ctx, semel.ID{1}, semel.ResolveNotDone().About(semel.PendingEffect{Seen: "1-1"}), "me")
		errs["retry"] = app.RetryDead(ctx, semel.ID{1})
		errs["backup"] = app.Backup(ctx, "/nowhere")
		errs["retention"] = app.ResumeRetention(ctx)
		for _, err := range app.Outcomes(ctx, agent.Name("a")) {
			errs["outcomes"] = err
		}
		for _, err := range agent.All(ctx) {
			errs["agents"] = err
		}
		for _, err := range app.DeadLetters(ctx) {
			errs["dead letters"] = err
		}
		for _, err := range app.Effects(ctx) {
			errs["effects"] = err
		}
		return errs
	}
	check := func(errs map[string]error, targets ...error) {
		t.Helper()
		for what, err := range errs {
			var notDone *semel.NotDoneError
			if !errors.As(err, &notDone) || semel.KindOf(err) != semel.KindNotDone {
				t.Errorf("%s: %v is %T", what, err, err)
			}
			for _, target := range targets {
				if !errors.Is(err, target) {
					t.Errorf("%s: %v, want %v", what, err, target)
				}
			}
		}
	}
	// A context that ended may come too late to matter.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		errs := questions(ended)
		for what, err := range errs {
			if err == nil || errors.Is(err, semel.ErrUnknownDead) || errors.Is(err, semel.ErrUnknownDoubt) || errors.Is(err, semel.ErrUnknownAgent) {
				delete(errs, what)
			}
		}
		delete(errs, "call") // it may be under way
		delete(errs, "backup")
		check(errs, semel.ErrCanceled, context.Canceled)
	}
	closeApp(t, app)
	errs := questions(t.Context())
	delete(errs, "backup") // this store cannot
	check(errs, semel.ErrClosed)
}
