package semel_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/mem"
)

// waiter defers what it is asked, and says it when somebody else says so.
type waiter struct{ For semel.Waiting }

var (
	nudge = semel.RefTo[struct{}, int]("waiter", "nudge")
	said  = semel.ContinuationTo[bool, int]("said")
)

func (w *waiter) Wait(s *semel.Step, _ struct{}) (string, error) {
	w.For = s.Waiting()
	nudge.Ask(s, s.Agent().ID, struct{}{}, said.With(false))
	return semel.Defer[string]()
}

func (w *waiter) Nudge(*semel.Step, struct{}) (int, error) { return 1, nil }

// Tell is another message, by another caller, that brings the first its outcome.
func (w *waiter) Tell(s *semel.Step, no bool) (semel.Waiting, error) {
	bound := said.With(true).For(w.For)
	if no {
		bound = said.With(true).For("no hexadecimal")
	}
	nudge.Ask(s, s.Agent().ID, struct{}{}, bound)
	return s.Waiting(), nil
}

func (w *waiter) Said(s *semel.Step, last bool, _ semel.Result[int]) (string, error) {
	if s.Waiting() != w.For {
		return "", errors.New("a continuation's Waiting is not who waits")
	}
	if !last {
		return semel.Defer[string]()
	}
	return "told", nil
}

func openWaiter(t *testing.T, disk *mem.Disk) (*semel.App, *semel.Action[struct{}, string], *semel.Action[bool, semel.Waiting]) {
	t.Helper()
	app, err := semel.Open(t.Context(), disk, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := semel.NewAgent[waiter](app, "waiter")
	semel.On(a, "nudge", (*waiter).Nudge)
	semel.Then(a, "said", (*waiter).Said)
	return app, semel.On(a, "wait", (*waiter).Wait), semel.On(a, "tell", (*waiter).Tell)
}

// A call that was deferred is settled by what another message's step asked for,
// also in another life of the program.
func TestWaiting(t *testing.T) {
	t.Parallel()
	disk := mem.New()
	app, wait, _ := openWaiter(t, disk)
	if err := wait.Submit(t.Context(), "a", struct{}{}, semel.Key("k"), semel.As("ann")); err != nil {
		t.Fatal(err)
	}
	if err := app.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	app, wait, tell := openWaiter(t, disk)
	defer func() {
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if got, err := wait.Call(short, "a", struct{}{}, semel.Key("k"), semel.As("ann")); !errors.Is(err, semel.ErrInFlight) && !errors.Is(err, semel.ErrCanceled) {
		t.Errorf("before anybody told: %q, %v", got, err)
	}
	if _, err := tell.Call(t.Context(), "a", true, semel.Key("bad"), semel.As("bob")); !errors.Is(err, semel.ErrHandlerFailed) {
		t.Errorf("a Waiting that is none: %v", err)
	}
	own, err := tell.Call(t.Context(), "a", false, semel.Key("t"), semel.As("bob"))
	if err != nil || own == "" {
		t.Fatalf("%q, %v", own, err)
	}
	for range 2 {
		if got, err := wait.Call(t.Context(), "a", struct{}{}, semel.Key("k"), semel.As("ann")); err != nil || got != "told" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := tell.Call(t.Context(), "a", false, semel.Key("again"), semel.As("bob")); err != nil {
		t.Errorf("to tell who was told: %v", err)
	}
}
