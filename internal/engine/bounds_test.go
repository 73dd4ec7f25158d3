package engine

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/mem"
)

// FAULTS 55: a batch cannot pass the bound on what is in flight: as much as fits
// is taken, the rest is refused and not done.
func TestBatchBeyondTheBound(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.ManualSync(), mem.Shards(2))
	e := start(t, disk, Config{MaxInFlight: 10}, nil)
	keepSyncing(e, disk)
	if a := e.Submit(t.Context(), keyed(t, "a", "add", "11", 1), false); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	var batch []*message.Message
	for i := range 100 {
		batch = append(batch, keyed(t, "a", "add", fmt.Sprint(i), 1))
	}
	var done int
	for i, a := range submitAll(t.Context(), e, batch) {
		switch {
		case a.Fault == nil && i < 10 && !a.Replayed:
			done++
		case a.Fault == nil && i == 11 && a.Replayed: // there is as much room again for replays
		case a.Fault == nil || a.Fault.Code != message.CodeOverloaded:
			t.Errorf("message %d was answered %+v", i, a)
		}
	}
	if got := string(read(t.Context(), e, "a").Outcome.Body); done != 10 || got != "[11,11]" {
		t.Errorf("%d of the batch were executed, and the agent is %s", done, got)
	}
	if n := e.inFlight.Load(); n != 0 {
		t.Errorf("%d calls are counted, and none is under way", n)
	}
}

// Effects take nothing from the room for calls.
func TestEffectsLeaveRoomForCalls(t *testing.T) {
	t.Parallel()
	calling, release := make(chan struct{}, 8), make(chan struct{})
	e := start(t, mem.New(mem.Shards(1)), Config{MaxInFlight: 2}, map[string]Outside{"outside": {Call: func(context.Context, core.EffectJob) core.EffectResult {
		calling <- struct{}{}
		<-release
		return core.EffectResult{Status: message.StatusUnknown}
	}}})
	defer close(release)
	for i := range 8 {
		if a := e.Submit(t.Context(), keyed(t, fmt.Sprint(i), "call", "k", 1), true); a.Fault != nil {
			t.Fatalf("with %d effects under way: %v", i, a.Fault)
		}
		<-calling
	}
}

// A reply that no unit could hold is not half believed: it is in doubt.
func TestReplyTooLargeToRecord(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.Shards(1), mem.MaxUnitBytes(1<<20))
	e := start(t, disk, Config{MaxState: 64 << 10}, map[string]Outside{"outside": {Call: func(context.Context, core.EffectJob) core.EffectResult {
		return core.EffectResult{Status: message.StatusDone, Body: bytes.Repeat([]byte("x"), 1<<20)}
	}}})
	a := e.Submit(t.Context(), keyed(t, "a", "call", "k", 1), false)
	if a.Fault != nil || a.Outcome.Status != message.StatusInDoubt {
		t.Fatalf("answer %+v %+v", a.Fault, a.Outcome)
	}
	for v, err := range e.Effects(t.Context(), "") {
		if err != nil || !strings.Contains(v.Reason, "at most 131072 are allowed") {
			t.Errorf("the effect is in doubt for %q, %v", v.Reason, err)
		}
	}
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func behaving(run func(*core.Step, core.State) core.Result) core.Behavior {
	return core.Behavior{Types: map[string]*core.Type{"counter": {
		Load: behavior.Types["counter"].Load, Actions: map[string]*core.Action{"misbehave": {Run: run}},
	}}}
}

func startBehaving(t *testing.T, cfg Config, run func(*core.Step, core.State) core.Result) *Engine {
	t.Helper()
	e, err := Open(t.Context(), mem.New(mem.Shards(1)), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(behaving(run), nil); err != nil {
		t.Fatal(err)
	}
	return e
}

func panicsHere(*core.Step, core.State) core.Result { panic("on purpose") }

// FAULTS 53: the log says where a handler panicked, whoever waits for it.
func TestPanicIsLogged(t *testing.T) {
	t.Parallel()
	for _, accept := range []bool{false, true} {
		log := new(lockedBuffer)
		e := startBehaving(t, Config{Logger: slog.New(slog.NewTextHandler(log, nil)), MaxAttempts: 1}, panicsHere)
		e.Submit(t.Context(), keyed(t, "a", "misbehave", "k", 1), accept)
		if s := log.String(); strings.Count(s, "a handler panicked") != 1 || !strings.Contains(s, "panicsHere") || !strings.Contains(s, "misbehave") {
			t.Errorf("the log is %s", s)
		}
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// A handler that ends its goroutine would leave its shard without a loop. The
// process ends instead, and says why.
func TestHandlerEndsTheLoop(t *testing.T) {
	t.Parallel()
	const again = "SEMEL_TEST_GOEXIT"
	if os.Getenv(again) != "" {
		e := startBehaving(t, Config{}, func(*core.Step, core.State) core.Result { runtime.Goexit(); return core.Result{} })
		e.Submit(t.Context(), keyed(t, "a", "misbehave", "k", 1), false)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHandlerEndsTheLoop$", "-test.timeout=20s")
	cmd.Env = append(os.Environ(), again+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "the loop of shard 0 was ended from within") || !strings.Contains(string(out), "misbehave of counter/a") {
		t.Errorf("%v: %s", err, out)
	}
}

// Calls of a batch are used again, but not those that somebody gave up.
func TestBatchesAreIndependent(t *testing.T) {
	t.Parallel()
	disk := mem.New()
	e := start(t, disk, Config{}, nil)
	keepSyncing(e, disk)
	n := 0
	for round := range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		if round%3 == 1 {
			cancel()
		}
		var batch []*message.Message
		for range 1 + round%7 {
			n++
			batch = append(batch, keyed(t, fmt.Sprint("agent", n%5), "add", fmt.Sprint(n), 1))
		}
		for i, a := range submitAll(ctx, e, batch) {
			switch {
			case round%3 != 1 && (a.Fault != nil || a.Replayed):
				t.Errorf("round %d: message %d was answered %+v", round, i, a)
			case a.Fault == nil && a.Outcome == nil:
				t.Errorf("round %d: message %d was answered with nothing", round, i)
			}
		}
		cancel()
	}
	if got := e.inFlight.Load(); got != 0 {
		t.Errorf("%d calls are counted, and none is under way", got)
	}
}
