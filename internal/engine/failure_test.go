package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
	"github.com/semel-dev/semel/store/pebble"
)

func launch(t *testing.T, o store.Opener, cfg engine.Config) *engine.Engine {
	t.Helper()
	h := newHistory()
	e, err := engine.Open(t.Context(), o, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(program(h), h.outside()); err != nil {
		t.Fatal(err)
	}
	return e
}

func addition(t *testing.T, key string) *message.Message {
	t.Helper()
	m, err := op{agent: "a", action: "add", order: order{Tag: key, N: 1}}.message()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// within fails the test if something does not return: a caller that hangs.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s does not return", what)
	}
}

// FAULTS 10: below the floor of free space new work is refused before anything
// of it is accepted, what was executed before is still answered, reads too, and
// when there is room again, or after a restart, work goes on.
func TestFreeSpaceFloor(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	quiet := pebble.Options{Logger: slog.New(slog.DiscardHandler)}
	stop := func(e *engine.Engine) {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	e := launch(t, pebble.At(dir, quiet), engine.Config{FreeFloor: 1})
	first := e.Submit(t.Context(), addition(t, "before"), false)
	if first.Fault != nil {
		t.Fatal(first.Fault)
	}
	stop(e)

	e = launch(t, pebble.At(dir, quiet), engine.Config{FreeFloor: math.MaxUint64})
	for deadline := time.Now().Add(patience); e.Ready() == nil; time.Sleep(time.Millisecond) { // nobody tells that the room was looked at
		if time.Now().After(deadline) {
			t.Fatal("the engine is ready on a device without room")
		}
	}
	for _, accept := range []bool{false, true} {
		a := e.Submit(t.Context(), addition(t, "while"), accept)
		if a.Fault == nil || a.Fault.Code != message.CodeStorageFull || a.Fault.Code.Kind() != message.NotDone {
			t.Errorf("without room, a new call was answered %+v", a)
		}
	}
	e.SubmitAll(t.Context(), []*message.Message{addition(t, "while"), addition(t, "before")}, false, func(_ int, a core.Answer) {
		if a.Fault == nil && !a.Replayed {
			t.Errorf("without room, a batch had an answer %+v", a)
		}
	})
	if a := e.Submit(t.Context(), addition(t, "before"), false); a.Fault != nil || !a.Replayed || answerOf(a) != answerOf(first) {
		t.Errorf("without room, a repeated call was answered %+v, at first %+v", a, first)
	}
	if o, err := e.Outcome(t.Context(), op{agent: "a"}.name(), message.Anonymous, "while"); o != nil || err != nil {
		t.Errorf("the refused call left %+v, %v", o, err)
	}
	sum := func() (n int64) {
		a := e.Query(t.Context(), op{agent: "a"}.name(), func(s core.State, _ uint64, _ bool) core.Answer {
			n = s.(*book).Sum
			return core.Answer{}
		})
		if a.Fault != nil {
			t.Error(a.Fault)
		}
		return n
	}
	if n := sum(); n != 1 {
		t.Errorf("the sum is %d", n)
	}
	stop(e)

	e = launch(t, pebble.At(dir, quiet), engine.Config{FreeFloor: 1})
	if a := e.Submit(t.Context(), addition(t, "while"), false); a.Fault != nil || a.Replayed {
		t.Errorf("with room again, the call was answered %+v", a)
	}
	if n := sum(); n != 2 {
		t.Errorf("the sum is %d", n)
	}
	stop(e)
}

// FAULTS 9: when the device fails, Fatal is told, once; nothing is acknowledged
// any more; and every caller gets an answer, even one that gives up at that
// moment, if Fatal lets the process live.
func TestDeviceFailure(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.Shards(1))
	var fails atomic.Bool
	disk.Faults(func(message.Shard, *message.Unit) mem.Fault {
		if !fails.Load() {
			return mem.Fault{}
		}
		return mem.Fault{Err: store.ErrBroken, Applied: true}
	})
	fatal := make(chan error, 16)
	broken := make(chan struct{})
	e := launch(t, disk, engine.Config{Fatal: func(err error) { fatal <- err; <-broken }})
	if a := e.Submit(t.Context(), addition(t, "before"), false); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	fails.Store(true)
	answers := make(chan core.Answer, 3)
	ctx, giveUp := context.WithCancel(t.Context())
	go func() { answers <- e.Submit(ctx, addition(t, "gives up"), false) }()
	go func() { answers <- e.Submit(t.Context(), addition(t, "waits"), false) }()
	go e.SubmitAll(ctx, []*message.Message{addition(t, "batch")}, false, func(_ int, a core.Answer) { answers <- a })
	if err := <-fatal; !errors.Is(err, store.ErrBroken) {
		t.Errorf("Fatal was told %v", err)
	}
	giveUp()
	if a := e.Submit(t.Context(), addition(t, "after"), false); a.Fault == nil {
		t.Errorf("after the failure, a call was answered %+v", a)
	}
	if e.Ready() == nil {
		t.Error("the engine says that it is ready")
	}
	close(broken)
	within(t, "a call under way", func() {
		for range cap(answers) {
			if a := <-answers; a.Fault == nil {
				t.Errorf("a call under way was answered %+v", a)
			}
		}
	})
	within(t, "Close", func() { _ = e.Close(context.Background()) })
	if len(fatal) != 0 {
		t.Errorf("Fatal was told again: %v", <-fatal)
	}
}

// A caller that gives up while the engine is stopped, without the time to
// finish, gets an answer too.
func TestGivingUpWhileStopping(t *testing.T) {
	t.Parallel()
	for range 50 {
		disk := mem.New(mem.Shards(1), mem.ManualSync())
		e := launch(t, disk, engine.Config{})
		ctx, giveUp := context.WithCancel(context.Background())
		answer := make(chan core.Answer, 1)
		go func() { answer <- e.Submit(ctx, addition(t, "k"), false) }()
		closed := make(chan struct{})
		now, cancel := context.WithCancel(context.Background())
		cancel()
		go func() { defer close(closed); _ = e.Close(now) }()
		giveUp()
		disk.SyncAll()
		within(t, "the call", func() { <-answer })
		disk.SyncAll()
		within(t, "Close", func() {
			for {
				select {
				case <-closed:
					return
				default:
					disk.SyncAll()
				}
			}
		})
	}
}

// FAULTS 3a: the shard is opened again by the same process while a call is
// under way. Nobody was proved dead by that, so neither a probe's "not done"
// nor a person's counts before the call's deadline is over.
func TestReopenDuringACall(t *testing.T) {
	t.Parallel()
	for name, effect := range map[string]*core.Effect{
		"probe": {Policy: core.Probe, Timeout: 300 * time.Millisecond, MaxAttempts: 5},
		"ask":   {Policy: core.Ask, Timeout: 300 * time.Millisecond, MaxAttempts: 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := mem.New(mem.Shards(1))
			var fails atomic.Bool
			disk.Faults(func(message.Shard, *message.Unit) mem.Fault {
				if fails.Swap(false) {
					return mem.Fault{Err: errors.New("the answer was lost"), Applied: true}
				}
				return mem.Fault{}
			})
			calling := make(chan context.Context, 1)
			var calls atomic.Int64
			call := func(ctx context.Context, _ core.EffectJob) core.EffectResult {
				if calls.Add(1) == 1 {
					calling <- ctx
					<-ctx.Done() // on its way until then
					return core.EffectResult{Status: message.StatusUnknown}
				}
				if first := <-calling; first.Err() == nil {
					t.Error("it is called again while the first call may still arrive")
				}
				return core.EffectResult{Status: message.StatusDone, Body: []byte(`"paid"`)}
			}
			probe := func(context.Context, core.EffectJob) core.EffectResult {
				return core.EffectResult{Status: message.StatusNotDone}
			}
			b := program(newHistory())
			b.Effects = map[string]*core.Effect{"pay": effect}
			e, err := engine.Open(t.Context(), disk, engine.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = e.Close(context.Background()) }()
			if err := e.Start(b, map[string]engine.Outside{"pay": {Call: call, Probe: probe}}); err != nil {
				t.Fatal(err)
			}
			pay := func(accept bool) core.Answer {
				m, err := op{agent: "a", action: "pay", order: order{Tag: "pay", N: 1, Effect: "pay"}}.message()
				if err != nil {
					t.Fatal(err)
				}
				return e.Submit(t.Context(), m, accept)
			}
			if a := pay(true); a.Fault != nil {
				t.Fatal(a.Fault)
			}
			calling <- <-calling // the first call is under way
			fails.Store(true)
			e.Submit(t.Context(), addition(t, "x"), false) // the shard is opened again
			within(t, "the payment", func() {
				for {
					switch a := pay(false); {
					case a.Fault != nil: // the shard is down
					case a.Outcome.Status == message.StatusDone:
						return
					case a.Outcome.Status == message.StatusInDoubt:
						if doubt, found, err := e.Effect(t.Context(), a.Outcome.Doubt); err == nil && found {
							e.Resolve(t.Context(), doubt.ID, core.Resolution{Status: message.StatusNotDone, By: "judge", Seen: doubt.Seen})
						}
					}
				}
			})
			if n := calls.Load(); n != 2 {
				t.Errorf("%d calls", n)
			}
		})
	}
}
