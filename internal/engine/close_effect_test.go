package engine

import (
	"context"
	"runtime"
	"testing"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/mem"
)

// Close waits for an effect that is under way, however long it takes: until its
// result is recorded no loop ends, because nobody else could record it.
func TestCloseWaitsForAnEffectUnderWay(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.Shards(2))
	calling, release := make(chan struct{}), make(chan struct{})
	out := map[string]Outside{"outside": {Call: func(ctx context.Context, _ core.EffectJob) core.EffectResult {
		close(calling)
		<-release
		if ctx.Err() != nil {
			t.Error("Close cancels an effect although it has time")
		}
		return core.EffectResult{Status: message.StatusDone, Body: []byte("5")}
	}}}
	e := reopened(t, disk, out)
	if a := e.Submit(t.Context(), keyed(t, "a", "call", "k", 5), true); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	<-calling
	closed := make(chan error, 1)
	go func() { closed <- e.Close(context.Background()) }()
	eventually(t, "no loop begins another effect", func() bool {
		for _, sh := range e.shards {
			if !sh.quiesced.Load() {
				return false
			}
		}
		return true
	})
	for range 200 { // turns of the loops, and as many chances for Close to go on
		for _, sh := range e.shards {
			turned := make(chan struct{})
			sh.queue.push(event{run: func(*core.Shard) { close(turned) }})
			select {
			case <-turned:
			case <-sh.atRest:
				t.Error("a loop ended while an effect was under way")
				close(release)
				<-closed
				return
			}
		}
		e.progress()
		runtime.Gosched()
	}
	close(release)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	e = reopened(t, disk, out)
	if a := e.Submit(t.Context(), keyed(t, "a", "call", "k", 5), true); a.Fault != nil || a.Outcome.Status != message.StatusDone {
		t.Errorf("after a graceful close: %+v %+v", a.Fault, a.Outcome)
	}
	if err := e.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
