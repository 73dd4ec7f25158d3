package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/mem"
)

// reopened starts an engine on a disk that was used before.
func reopened(t *testing.T, disk *mem.Disk, out map[string]Outside) *Engine {
	t.Helper()
	e, err := Open(t.Context(), disk, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(behavior, out); err != nil {
		t.Fatal(err)
	}
	return e
}

// eventually waits for what nobody tells.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
	}
}

// in runs something that must come to its end.
func in(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s does not return", what)
	}
}

// What an effect returns while the engine closes is recorded.
func TestCloseRecordsResults(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]mem.Option{{mem.Shards(1)}, {mem.Shards(2), mem.RemoteReads()}} {
		for range 20 {
			disk := mem.New(opts...)
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
			go func() {
				for !e.closing() {
					runtime.Gosched()
				}
				close(release)
			}()
			if err := e.Close(context.Background()); err != nil {
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
	}
}

// However soon Close follows a call, its effect is called once: before the end
// or after the next start.
func TestCloseAtOnceLosesNoEffect(t *testing.T) {
	t.Parallel()
	for range 50 {
		disk := mem.New(mem.Shards(1))
		var calls atomic.Int32
		out := map[string]Outside{"outside": {Call: func(context.Context, core.EffectJob) core.EffectResult {
			calls.Add(1)
			return core.EffectResult{Status: message.StatusDone, Body: []byte("5")}
		}}}
		e := reopened(t, disk, out)
		if a := e.Submit(t.Context(), keyed(t, "a", "call", "k", 5), true); a.Fault != nil {
			t.Fatal(a.Fault)
		}
		if err := e.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		e = reopened(t, disk, out)
		if a := e.Submit(t.Context(), keyed(t, "a", "call", "k", 5), false); a.Fault != nil || a.Outcome.Status != message.StatusDone {
			t.Errorf("after a close at once: %+v %+v", a.Fault, a.Outcome)
		}
		if err := e.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("the effect was called %d times", n)
		}
	}
}

// While the engine closes no effect is begun. Who waits for one is told that
// the message goes on, and it does after the next start.
func TestCloseBeginsNoEffect(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.Shards(1))
	var calls atomic.Int32
	calling, release := make(chan struct{}, 2), make(chan struct{})
	out := map[string]Outside{"outside": {Call: func(context.Context, core.EffectJob) core.EffectResult {
		calls.Add(1)
		calling <- struct{}{}
		<-release
		return core.EffectResult{Status: message.StatusDone, Body: []byte("5")}
	}}}
	e, err := Open(t.Context(), disk, Config{EffectsRunning: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(behavior, out); err != nil {
		t.Fatal(err)
	}
	first, second := make(chan core.Answer, 1), make(chan core.Answer, 1)
	go func() { first <- e.Submit(t.Context(), keyed(t, "a", "call", "1", 5), false) }()
	<-calling
	if a := e.Submit(t.Context(), keyed(t, "b", "call", "2", 5), true); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	go func() { second <- e.Submit(t.Context(), keyed(t, "b", "call", "2", 5), false) }()
	eventually(t, "the second call waits", func() bool { return e.inFlight.Load() == 2 })
	closed := make(chan error, 1)
	go func() { closed <- e.Close(context.Background()) }()
	eventually(t, "the engine closes", e.closing)
	close(release)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if a := <-first; a.Fault != nil || a.Outcome.Status != message.StatusDone {
		t.Errorf("the effect under way: %+v %+v", a.Fault, a.Outcome)
	}
	if a := <-second; a.Fault == nil || a.Fault.Code != message.CodeInFlight {
		t.Errorf("the effect that was not begun: %+v %+v", a.Fault, a.Outcome)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d effects were called", n)
	}
	e = reopened(t, disk, out)
	if a := e.Submit(t.Context(), keyed(t, "b", "call", "2", 5), false); a.Fault != nil || a.Outcome.Status != message.StatusDone {
		t.Errorf("after the next start: %+v %+v", a.Fault, a.Outcome)
	}
	if err := e.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// Agents that keep sending to each other do not keep the engine from closing.
func TestCloseDuringEndlessMessages(t *testing.T) {
	t.Parallel()
	b := behavior
	b.Types = map[string]*core.Type{"counter": {Load: behavior.Types["counter"].Load, Actions: map[string]*core.Action{
		"ping": {Run: func(s *core.Step, state core.State) core.Result {
			s.Send(core.Outgoing{To: s.Message().To, Action: "ping", Body: []byte("1")})
			return add(s, state)
		}},
	}}}
	for _, opts := range [][]mem.Option{nil, {mem.RemoteReads()}} {
		disk := mem.New(opts...)
		e, err := Open(t.Context(), disk, Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Start(b, nil); err != nil {
			t.Fatal(err)
		}
		for i := range 16 {
			if a := e.Submit(t.Context(), keyed(t, fmt.Sprint(i), "ping", "k", 1), false); a.Fault != nil {
				t.Fatal(a.Fault)
			}
		}
		in(t, "Close", func() {
			if err := e.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

// An effect that does not heed its context does not hold Close beyond its own:
// the error names it, a second Close returns the same, the store is closed, and
// what the effect says later goes nowhere.
func TestCloseNamesWhatStillRuns(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.Shards(1))
	calling, release := make(chan struct{}), make(chan struct{})
	out := map[string]Outside{"outside": {Call: func(context.Context, core.EffectJob) core.EffectResult {
		close(calling)
		<-release
		return core.EffectResult{Status: message.StatusDone, Body: []byte("5")}
	}}}
	e := reopened(t, disk, out)
	if a := e.Submit(t.Context(), keyed(t, "a", "call", "k", 5), true); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	<-calling
	ctx, cancel := context.WithCancel(context.Background())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- e.Close(ctx) }()
	eventually(t, "the engine closes", e.closing)
	go func() { second <- e.Close(context.Background()) }()
	cancel()
	in(t, "Close", func() {
		one, two := <-first, <-second
		if one == nil || !errors.Is(one, context.Canceled) || !strings.Contains(one.Error(), `"outside"`) {
			t.Errorf("Close: %v", one)
		}
		if one != two { //nolint:errorlint // the very same
			t.Errorf("the second Close: %v", two)
		}
	})
	st, err := disk.OpenStore(t.Context())
	if err != nil {
		t.Fatalf("the store was not closed: %v", err)
	}
	close(release)
	<-e.calling.none()
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// After a Start that failed, at whichever shard, the engine is not ready and
// can be closed.
func TestCloseAfterFailedStart(t *testing.T) {
	t.Parallel()
	for bad := range message.Shard(3) {
		disk := mem.New(mem.Shards(3))
		st, err := disk.OpenStore(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s, err := st.Open(t.Context(), bad, "a newer version")
		if err != nil {
			t.Fatal(err)
		}
		v := s.Version()
		v.Seq++
		row := message.Write{RowKey: message.RowKey{Table: message.TableMeta, Key: []byte("of a newer version")}, Value: []byte("x")}
		if err := s.Commit(t.Context(), &message.Unit{Version: v, Writes: []message.Write{row}}).Wait(); err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		e, err := Open(t.Context(), disk, Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Start(behavior, nil); err == nil {
			t.Error("Start understands a row of a newer version")
		}
		if e.Ready() == nil {
			t.Error("the engine says that it is ready")
		}
		if a := e.Submit(t.Context(), keyed(t, "a", "add", "k", 1), false); a.Fault == nil || a.Fault.Code != message.CodeClosed {
			t.Errorf("a call was answered %+v", a)
		}
		in(t, "Close", func() {
			if err := e.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Whoever comes while the engine starts is refused, and meets no half of it.
func TestSubmitDuringStart(t *testing.T) {
	t.Parallel()
	for range 20 {
		e, err := Open(t.Context(), mem.New(mem.Shards(8)), Config{})
		if err != nil {
			t.Fatal(err)
		}
		began, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			close(began)
			for {
				a := e.Submit(t.Context(), keyed(t, "a", "add", "k", 1), false)
				if a.Fault == nil {
					return
				}
				if a.Fault.Code != message.CodeClosed {
					t.Errorf("while the engine starts: %v", a.Fault)
				}
				_ = e.Ready()
			}
		}()
		<-began
		if err := e.Start(behavior, nil); err != nil {
			t.Fatal(err)
		}
		<-done
		if err := e.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}
