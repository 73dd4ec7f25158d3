package engine

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/mem"
)

// Nothing that an engine started runs after Close. It is no TestMain, because
// other tests of this package let processes die in the middle of things, and
// what a dead process leaves is not ended. For the same reason it is not
// parallel: it runs before those.
func TestNothingRunsAfterClose(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	called := make(chan struct{})
	outside := map[string]Outside{"outside": {Call: func(context.Context, core.EffectJob) core.EffectResult {
		close(called)
		return core.EffectResult{Status: message.StatusDone, Body: []byte("1")}
	}}}
	e, err := Open(t.Context(), mem.New(), Config{Feed: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(behavior, outside); err != nil {
		t.Fatal(err)
	}
	follow, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range e.Changes(follow, message.DefaultTenant, "counter", FromStart) {
			stop()
		}
	}()
	for _, id := range []string{"a", "b", "c", "d"} {
		if a := e.Submit(t.Context(), keyed(t, id, "add", "k", 1), false); a.Outcome == nil {
			t.Fatalf("%+v", a)
		}
	}
	if a := e.Submit(t.Context(), keyed(t, "a", "call", "effect", 1), false); a.Outcome == nil {
		t.Fatalf("%+v", a)
	}
	<-called
	<-ended
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Error(err)
	}
}
