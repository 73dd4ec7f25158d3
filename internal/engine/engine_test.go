package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
)

// counter is the state of the tests' agent: the sum of what was added, and how
// often.
type counter struct {
	Sum, Steps int64
	mark       [2]int64
}

func (c *counter) Mark()       { c.mark = [2]int64{c.Sum, c.Steps} }
func (c *counter) Undo() error { c.Sum, c.Steps = c.mark[0], c.mark[1]; return nil }
func (c *counter) Flat() bool  { return true }
func (c *counter) Append(dst []byte) ([]byte, error) {
	b, err := json.Marshal(c)
	return append(dst, b...), err
}

func number(b []byte) (n int64) { _ = json.Unmarshal(b, &n); return n }

var behavior = core.Behavior{
	Types: map[string]*core.Type{"counter": {
		Load: func(_ uint32, data []byte) (core.State, error) {
			c := new(counter)
			if data == nil {
				return c, nil
			}
			return c, json.Unmarshal(data, c)
		},
		Actions: map[string]*core.Action{
			"add":  {Run: add},
			"lose": {Run: add, Guarantee: message.AtMostOnce},
			"pass": {Run: func(s *core.Step, _ core.State) core.Result { // on to the agent of twice the number
				n := number([]byte(s.Message().To.ID))
				s.Send(core.Outgoing{To: agent(fmt.Sprint(2 * n)), Action: "add", Body: s.Message().Body})
				return core.Result{Verdict: core.Replied}
			}},
			"call": {Run: func(s *core.Step, state core.State) core.Result {
				s.Ask(core.Call{Effect: "outside", Body: s.Message().Body, Then: "called"})
				return core.Result{Verdict: core.Deferred}
			}},
			"called": {Run: func(s *core.Step, state core.State) core.Result {
				if a := s.Message().Answer; a.Status != message.StatusDone {
					return core.Result{Verdict: core.Refused, Code: a.Status.String(), Detail: a.Detail}
				}
				return add(s, state)
			}},
		},
	}},
	Effects: map[string]*core.Effect{"outside": {Policy: core.Ask, Timeout: time.Minute, MaxAttempts: 3}},
}

func add(s *core.Step, state core.State) core.Result {
	c := state.(*counter)
	c.Sum += number(s.Message().Body)
	c.Steps++
	return core.Result{Verdict: core.Replied, Body: fmt.Appendf(nil, "%d", c.Sum)}
}

func start(t *testing.T, disk store.Opener, cfg Config, outside map[string]Outside) *Engine {
	t.Helper()
	cfg.Fatal = func(err error) { t.Errorf("fatal: %v", err) }
	e, err := Open(t.Context(), disk, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(behavior, outside); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Close(ctx); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

func agent(id string) message.Agent {
	return message.Agent{Tenant: message.DefaultTenant, Type: "counter", ID: id}
}

func keyed(t testing.TB, id, action, key string, n int) *message.Message {
	m := &message.Message{To: agent(id), Action: action, Principal: message.Anonymous, Key: key, Body: fmt.Appendf(nil, "%d", n)}
	fp, err := message.FingerprintOf(m.To, m.Action, m.Body)
	if err != nil {
		t.Fatal(err)
	}
	m.Fingerprint = fp
	return m
}

func (c *counter) answer(version uint64) core.Answer {
	return core.Answer{Outcome: &message.Outcome{Body: fmt.Appendf(nil, "[%d,%d]", c.Sum, c.Steps)}, Version: version}
}

func read(ctx context.Context, e *Engine, id string) core.Answer {
	return e.Query(ctx, agent(id), func(s core.State, v uint64, _ bool) core.Answer { return s.(*counter).answer(v) })
}

// submitAll is Engine.SubmitAll with the answers in a slice.
func submitAll(ctx context.Context, e *Engine, ms []*message.Message) []core.Answer {
	answers := make([]core.Answer, len(ms))
	e.SubmitAll(ctx, ms, false, func(i int, a core.Answer) { answers[i] = a })
	return answers
}

// FAULTS 16: one execution, a hundred equal replies.
func TestConcurrentDuplicates(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]mem.Option{nil, {mem.RemoteReads()}} {
		e := start(t, mem.New(opts...), Config{}, nil)
		var wg sync.WaitGroup
		var executed atomic.Int32
		for range 100 {
			wg.Go(func() {
				a := e.Submit(t.Context(), keyed(t, "a", "add", "k", 7), false)
				if a.Fault != nil || string(a.Outcome.Body) != "7" {
					t.Errorf("answer %+v", a)
				}
				if !a.Replayed {
					executed.Add(1)
				}
			})
		}
		wg.Wait()
		if got := string(read(t.Context(), e, "a").Outcome.Body); got != "[7,1]" || executed.Load() != 1 {
			t.Errorf("state %s after 100 duplicates; %d answers say that they were executed", got, executed.Load())
		}
	}
}

// FAULTS 24: answers of commits are lost, or the session is fenced. Callers
// retry with the same key until they know; every key counts once, and no
// answer is ever taken back.
func TestLostCommitAnswers(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]mem.Option{nil, {mem.RemoteReads()}} {
		disk := mem.New(append(opts, mem.Shards(2))...)
		var mu sync.Mutex
		rng := rand.New(rand.NewPCG(1, 2))
		disk.Faults(func(message.Shard, *message.Unit) mem.Fault {
			mu.Lock()
			defer mu.Unlock()
			switch rng.IntN(30) {
			case 0:
				return mem.Fault{Err: errors.New("the answer was lost"), Applied: true}
			case 1:
				return mem.Fault{Err: errors.New("the request was lost")}
			case 2:
				return mem.Fault{Err: store.ErrFenced}
			}
			return mem.Fault{}
		})
		e := start(t, disk, Config{}, nil)
		const callers, keys = 8, 60
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for k := range keys {
					m := func() *message.Message { return keyed(t, fmt.Sprint(k%5), "add", fmt.Sprintf("%d-%d", c, k), 1) }
					first := retry(t, e, m)
					if again := retry(t, e, m); string(again.Outcome.Body) != string(first.Outcome.Body) || !again.Replayed {
						t.Errorf("first %s, then %s (replayed %v)", first.Outcome.Body, again.Outcome.Body, again.Replayed)
					}
				}
			})
		}
		wg.Wait()
		for id := range 5 {
			want := fmt.Sprintf("[%d,%d]", callers*keys/5, callers*keys/5)
			a := read(t.Context(), e, fmt.Sprint(id))
			for a.Fault != nil {
				a = read(t.Context(), e, fmt.Sprint(id))
			}
			if got := string(a.Outcome.Body); got != want {
				t.Errorf("agent %d: %s, want %s", id, got, want)
			}
		}
	}
}

// retry calls until the outcome is known.
func retry(t *testing.T, e *Engine, m func() *message.Message) core.Answer {
	for {
		a := e.Submit(t.Context(), m(), false)
		if a.Fault == nil {
			return a
		}
		switch a.Fault.Code {
		case message.CodeStoreUnavailable, message.CodeCommitUnknown, message.CodeInFlight:
		default:
			t.Errorf("fault %v", a.Fault)
			return core.Answer{Outcome: &message.Outcome{}}
		}
	}
}

// Nothing leaves before durability: no reply, no replay, no read of state that
// is not durable, no effect. AtMostOnce alone does not wait.
func TestNothingLeavesBeforeDurability(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.ManualSync(), mem.Shards(1), mem.UnitsInFlight(8))
	var called atomic.Bool
	e := start(t, disk, Config{}, map[string]Outside{"outside": {Call: func(context.Context, core.EffectJob) core.EffectResult {
		called.Store(true)
		return core.EffectResult{Status: message.StatusDone, Body: []byte("5")}
	}}})
	if a := e.Submit(t.Context(), keyed(t, "a", "lose", "0", 1), false); a.Fault != nil {
		t.Fatalf("at most once waits for durability: %v", a.Fault)
	}
	answers := make(chan core.Answer, 5)
	for i, m := range []*message.Message{keyed(t, "a", "add", "1", 1), keyed(t, "a", "add", "1", 1), keyed(t, "a", "add", "1", 2), keyed(t, "a", "call", "2", 5)} {
		go func() { answers <- e.Submit(t.Context(), m, false) }()
		// The event has been through the machine when a later one has.
		barrier(t, e, i)
	}
	go func() { answers <- read(t.Context(), e, "a") }()
	barrier(t, e, 9)
	if len(answers) > 0 || called.Load() {
		t.Fatalf("before durability: %d answers, effect called %v", len(answers), called.Load())
	}
	keepSyncing(e, disk)
	for range 5 {
		<-answers
	}
	if !called.Load() {
		t.Error("the effect was never called")
	}
}

// Nor does what comes while the unit that it tells of is in flight: a
// duplicate, a conflict, a read.
func TestNothingLeavesWithItsUnitInFlight(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.ManualSync(), mem.Shards(1))
	var submitted atomic.Int32
	disk.Faults(func(message.Shard, *message.Unit) mem.Fault {
		submitted.Add(1)
		return mem.Fault{}
	})
	e := start(t, disk, Config{}, nil)
	answers := make(chan core.Answer, 8)
	ask := func(n int) { answers <- e.Submit(t.Context(), keyed(t, "a", "add", "1", n), false) }
	go func() { answers <- e.Submit(t.Context(), keyed(t, "a", "add", "0", 1), false) }()
	for len(answers) == 0 { // the session's first unit is in nobody's way from here
		disk.SyncAll()
		runtime.Gosched()
	}
	<-answers
	before := submitted.Load()
	go ask(1)
	for submitted.Load() == before {
		runtime.Gosched()
	}
	for i := range 3 {
		go ask(1)
		go ask(2)
		barrier(t, e, i)
	}
	go func() { answers <- read(t.Context(), e, "a") }()
	barrier(t, e, 3)
	if len(answers) > 0 {
		t.Fatalf("answered %+v, and its unit is in flight", <-answers)
	}
	keepSyncing(e, disk)
	for range cap(answers) {
		<-answers
	}
}

// barrier returns when the loop has handled everything before it.
func barrier(t *testing.T, e *Engine, n int) {
	if a := e.Submit(t.Context(), keyed(t, "b", "lose", fmt.Sprint("barrier", n), 1), false); a.Fault != nil {
		t.Fatal(a.Fault)
	}
}

// A caller that gives up is told what is known: not executed, or unknown. The
// retry with the same key finds out.
func TestGivingUp(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.ManualSync(), mem.Shards(1))
	e := start(t, disk, Config{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan core.Answer)
	go func() { answer <- e.Submit(ctx, keyed(t, "a", "add", "k", 1), false) }()
	barrier(t, e, 0)
	cancel()
	if a := <-answer; a.Fault == nil || a.Fault.Code.Kind() != message.Unknown && a.Fault.Code != message.CodeCanceled {
		t.Fatalf("answer %+v", a)
	}
	keepSyncing(e, disk)
	if a := e.Submit(t.Context(), keyed(t, "a", "add", "k", 1), false); a.Fault != nil || string(a.Outcome.Body) != "1" {
		t.Fatalf("answer %+v", a)
	}
}

// keepSyncing makes what is committed durable from now on.
func keepSyncing(e *Engine, disk *mem.Disk) {
	go func() {
		for e.ctx.Err() == nil {
			disk.SyncAll()
			runtime.Gosched()
		}
	}()
}

// FAULTS 55: a full queue refuses before it accepts, and still replays.
func TestOverload(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.ManualSync(), mem.Shards(1), mem.UnitsInFlight(4))
	e := start(t, disk, Config{MaxInFlight: 4}, nil)
	known := make(chan struct{})
	go func() {
		for {
			select {
			case <-known:
				return
			default:
				disk.SyncAll()
				runtime.Gosched()
			}
		}
	}()
	if a := e.Submit(t.Context(), keyed(t, "a", "add", "known", 1), false); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	close(known) // nothing becomes durable until a call was refused
	var wg sync.WaitGroup
	var refused atomic.Int32
	for i := range 64 {
		wg.Go(func() {
			a := e.Submit(t.Context(), keyed(t, "a", "add", fmt.Sprint(i), 1), false)
			if a.Fault != nil {
				if a.Fault.Code != message.CodeOverloaded {
					t.Errorf("fault %v", a.Fault)
				}
				if refused.Add(1) == 1 {
					keepSyncing(e, disk)
				}
			}
		})
	}
	wg.Wait()
	got := string(read(t.Context(), e, "a").Outcome.Body)
	if want := fmt.Sprintf("[%d,%d]", 65-refused.Load(), 65-refused.Load()); got != want || refused.Load() == 0 {
		t.Errorf("state %s, want %s with %d refused", got, want, refused.Load())
	}
}
