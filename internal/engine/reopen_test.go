package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
)

// outage is a disk whose last shard can be unreachable, and whose reads can
// fail.
type outage struct {
	*mem.Disk
	down, badRead atomic.Bool
	store         store.Store            // under the engine's
	onGet         func([]message.RowKey) // set before it is opened
	fault         atomic.Pointer[func(message.Shard, *message.Unit) mem.Fault]
}

func newOutage(opts ...mem.Option) *outage {
	o := &outage{Disk: mem.New(opts...)}
	o.Disk.Faults(func(n message.Shard, u *message.Unit) mem.Fault {
		if f := o.fault.Load(); f != nil {
			return (*f)(n, u)
		}
		return mem.Fault{}
	})
	return o
}

// Faults is the disk's, also while commits are under way.
func (o *outage) Faults(f func(message.Shard, *message.Unit) mem.Fault) { o.fault.Store(&f) }

type outageStore struct {
	store.Store
	disk *outage
}

type outageSession struct {
	store.Session
	disk *outage
}

var (
	errUnreachable = errors.New("the store cannot be reached")
	errLost        = errors.New("the answer was lost")
)

func (o *outage) OpenStore(ctx context.Context) (store.Store, error) {
	st, err := o.Disk.OpenStore(ctx)
	o.store = st
	return outageStore{st, o}, err
}

func (s outageStore) Open(ctx context.Context, n message.Shard, owner string) (store.Session, error) {
	if int(n) == s.Shards()-1 && s.disk.down.Load() {
		return nil, errUnreachable
	}
	se, err := s.Store.Open(ctx, n, owner)
	return outageSession{se, s.disk}, err
}

func (s outageSession) Get(ctx context.Context, keys []message.RowKey) ([][]byte, error) {
	if s.disk.badRead.Swap(false) {
		return nil, errors.New("a read failed")
	}
	values, err := s.Session.Get(ctx, keys)
	if s.disk.onGet != nil {
		s.disk.onGet(keys)
	}
	return values, err
}

func startOutage(t *testing.T, o *outage, cfg Config, b core.Behavior, out map[string]Outside) *Engine {
	t.Helper()
	e, err := Open(t.Context(), o, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(b, out); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = e.Close(ctx)
	})
	return e
}

// on is an agent that the shard runs.
func on(shard message.Shard, shards int) string {
	for i := 0; ; i++ {
		if id := fmt.Sprint(i); message.ShardOf(agent(id), shards) == shard {
			return id
		}
	}
}

// lastFails makes the next commit of the last shard fail.
func lastFails(o *outage, shards int, fault mem.Fault) *atomic.Bool {
	var armed atomic.Bool
	o.Faults(func(n message.Shard, _ *message.Unit) mem.Fault {
		if int(n) == shards-1 && armed.Swap(false) {
			return fault
		}
		return mem.Fault{}
	})
	return &armed
}

// FAULTS 26: another owner took the shard and passed the sequence of our unit.
// A unit that the store refused is not done; of one whose answer was lost
// nobody knows.
func TestAnotherOwnerPassesOurSequence(t *testing.T) {
	t.Parallel()
	disk := newOutage(mem.Shards(1))
	e := startOutage(t, disk, Config{}, behavior, nil)
	add := func(key string) core.Answer { return e.Submit(t.Context(), keyed(t, "a", "add", key, 1), false) }
	steal := func() {
		s, err := disk.store.Open(context.Background(), 0, "thief")
		if err != nil {
			t.Error(err)
			return
		}
		v := s.Version()
		for range 3 {
			v.Seq++
			if err := s.Commit(context.Background(), &message.Unit{Version: v}).Wait(); err != nil {
				t.Error(err)
			}
		}
	}
	if a := add("first"); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	steal()
	if a := add("fenced"); a.Fault == nil || a.Fault.Code.Kind() != message.NotDone {
		t.Errorf("the fenced call was answered %+v", a)
	}
	var armed atomic.Bool
	disk.Faults(func(message.Shard, *message.Unit) mem.Fault {
		if !armed.Swap(false) {
			return mem.Fault{}
		}
		steal()
		return mem.Fault{Err: errLost}
	})
	eventually(t, "the shard is up", func() bool { return e.Ready() == nil })
	armed.Store(true)
	if a := add("lost"); a.Fault == nil || a.Fault.Code != message.CodeCommitUnknown {
		t.Errorf("the call whose answer was lost was answered %+v", a)
	}
	for _, key := range []string{"fenced", "lost"} {
		if a := add(key); a.Fault != nil || a.Replayed {
			t.Errorf("the repeated call was answered %+v", a)
		}
	}
	if got := string(read(t.Context(), e, "a").Outcome.Body); got != "[3,3]" {
		t.Errorf("the agent is %s", got)
	}
}

// A shard hears of what others sent it while it was down, and of what they send
// later.
func TestHintsSurviveAnOutage(t *testing.T) {
	t.Parallel()
	disk := newOutage(mem.Shards(2))
	from, to := on(0, 2), on(1, 2)
	b := core.Behavior{Types: map[string]*core.Type{"counter": {
		Load: behavior.Types["counter"].Load,
		Actions: map[string]*core.Action{
			"add": {Run: add},
			"pass": {Run: func(s *core.Step, state core.State) core.Result {
				s.Send(core.Outgoing{To: agent(to), Action: "add", Body: s.Message().Body})
				return add(s, state)
			}},
		},
	}}}
	e := startOutage(t, disk, Config{}, b, nil)
	fails := lastFails(disk, 2, mem.Fault{Err: errLost})
	pass := func(key string) {
		if a := e.Submit(t.Context(), keyed(t, from, "pass", key, 1), false); a.Fault != nil {
			t.Fatal(a.Fault)
		}
	}
	seen := func(want string) {
		eventually(t, "the agent is "+want, func() bool {
			a := read(t.Context(), e, to)
			return a.Fault == nil && string(a.Outcome.Body) == want
		})
	}
	pass("before")
	seen("[1,1]")
	disk.down.Store(true)
	fails.Store(true)
	failed := make(chan core.Answer, 1)
	go func() { failed <- e.Submit(t.Context(), keyed(t, to, "add", "x", 10), false) }()
	eventually(t, "the shard is down", func() bool { return e.Ready() != nil })
	pass("while")
	eventually(t, "the hint came", func() bool { return e.shards[1].queue.empty() })
	disk.down.Store(false)
	if a := <-failed; a.Fault == nil {
		t.Errorf("the call that failed was answered %+v", a)
	}
	seen("[2,2]")
	for i := range 3 {
		pass(fmt.Sprint(i))
	}
	seen("[5,5]")
}

// A word that reached some shards is not said to have reached none.
func TestResumeRetentionDuringAnOutage(t *testing.T) {
	t.Parallel()
	disk := newOutage(mem.Shards(2))
	e := startOutage(t, disk, Config{}, behavior, nil)
	fails := lastFails(disk, 2, mem.Fault{Err: errLost})
	disk.down.Store(true)
	fails.Store(true)
	answered := make(chan core.Answer, 1)
	go func() { answered <- e.Submit(t.Context(), keyed(t, on(1, 2), "add", "x", 1), false) }()
	eventually(t, "the shard is down", func() bool { return e.Ready() != nil })
	var f *message.Fault
	if err := e.ResumeRetention(t.Context()); !errors.As(err, &f) || f.Code != message.CodeCommitUnknown {
		t.Errorf("with one shard of two down: %v", err)
	}
	disk.down.Store(false)
	eventually(t, "the shard is up", func() bool { return e.Ready() == nil })
	if err := e.ResumeRetention(t.Context()); err != nil {
		t.Error(err)
	}
	<-answered
}

// FAULTS 30: a guest's word does not count.
func TestGuestDoesNotResumeRetention(t *testing.T) {
	t.Parallel()
	e := start(t, mem.New(), Config{Guest: true}, nil)
	var f *message.Fault
	if err := e.ResumeRetention(t.Context()); !errors.As(err, &f) || f.Code != message.CodeInvalidRequest {
		t.Errorf("a guest resumed retention: %v", err)
	}
}

// What an effect says while its shard is down is believed when it is up.
func TestResultDuringAnOutage(t *testing.T) {
	t.Parallel()
	disk := newOutage(mem.Shards(1))
	calling, release := make(chan struct{}), make(chan struct{})
	e := startOutage(t, disk, Config{}, behavior, map[string]Outside{"outside": {Call: func(context.Context, core.EffectJob) core.EffectResult {
		close(calling)
		<-release
		return core.EffectResult{Status: message.StatusDone, Body: []byte("5")}
	}}})
	fails := lastFails(disk, 1, mem.Fault{Err: errLost})
	call := func() core.Answer { return e.Submit(t.Context(), keyed(t, "a", "call", "k", 5), true) }
	if a := call(); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	<-calling
	disk.down.Store(true)
	fails.Store(true)
	failed := make(chan core.Answer, 1)
	go func() { failed <- e.Submit(t.Context(), keyed(t, "a", "add", "x", 10), false) }()
	eventually(t, "the shard is down", func() bool { return e.Ready() != nil })
	close(release)
	<-e.calling.none()
	disk.down.Store(false)
	<-failed
	eventually(t, "the effect is done", func() bool {
		a := call()
		return a.Fault == nil && a.Outcome.Status == message.StatusDone
	})
}

// FAULTS 24: the answer to the commit with an effect's start is lost, although
// it happened. The call was certainly not made: it is made now, once, and
// nobody is asked.
func TestStartWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]mem.Option{{mem.Shards(1)}, {mem.Shards(1), mem.RemoteReads()}} {
		disk := newOutage(opts...)
		var fails atomic.Bool
		disk.Faults(func(_ message.Shard, u *message.Unit) mem.Fault {
			asks := false
			for _, w := range u.Writes {
				if w.Table == message.TableOpen {
					asks = true
				}
				if w.Table == message.TableEffect && !asks && fails.Swap(false) {
					return mem.Fault{Err: errLost, Applied: true}
				}
			}
			return mem.Fault{}
		})
		var calls atomic.Int32
		alarm := func(a core.Alarm) { t.Errorf("alarm: %+v", a) }
		e := startOutage(t, disk, Config{OnAlarm: alarm}, behavior, map[string]Outside{"outside": {Call: func(_ context.Context, j core.EffectJob) core.EffectResult {
			if n := calls.Add(1); n != 1 || j.Attempt != 1 {
				t.Errorf("call %d is attempt %d", n, j.Attempt)
			}
			return core.EffectResult{Status: message.StatusDone, Body: []byte("5")}
		}}})
		call := func() core.Answer { return e.Submit(t.Context(), keyed(t, "a", "call", "k", 5), true) }
		fails.Store(true)
		if a := call(); a.Fault != nil {
			t.Fatal(a.Fault)
		}
		eventually(t, "the effect is done", func() bool {
			a := call()
			return a.Fault == nil && a.Outcome.Status == message.StatusDone
		})
		if fails.Load() {
			t.Error("no answer was lost")
		}
	}
}

// A caller's context counts while its shard is down, and while the loop waits
// for its store.
func TestGivingUpWhileNobodyAnswers(t *testing.T) {
	t.Parallel()
	disk := newOutage(mem.Shards(1))
	e := startOutage(t, disk, Config{GiveUpGrace: time.Millisecond}, behavior, nil)
	gaveUp := func(what, key string, came func() bool) {
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan core.Answer, 2)
		go func() { answer <- e.Submit(ctx, keyed(t, "a", "add", key, 1), false) }()
		go func() { answer <- submitAll(ctx, e, []*message.Message{keyed(t, "a", "add", key, 1)})[0] }()
		eventually(t, what, came)
		cancel()
		in(t, "a call that gave up", func() {
			for range 2 {
				if a := <-answer; a.Fault == nil || a.Fault.Code.Kind() == message.Rejected {
					t.Errorf("%s: answered %+v", what, a)
				}
			}
		})
	}
	blocked, release := make(chan struct{}), make(chan struct{})
	disk.Faults(func(message.Shard, *message.Unit) mem.Fault {
		disk.Faults(func(message.Shard, *message.Unit) mem.Fault { return mem.Fault{} })
		close(blocked)
		<-release
		return mem.Fault{Err: errLost}
	})
	gaveUp("the store blocks", "1", func() bool {
		select {
		case <-blocked:
			return e.inFlight.Load() == 2
		default:
			return false
		}
	})
	disk.down.Store(true)
	close(release)
	eventually(t, "the shard is down", func() bool { return e.Ready() != nil })
	disk.Faults(func(message.Shard, *message.Unit) mem.Fault { return mem.Fault{} })
	disk.down.Store(false)
	eventually(t, "the shard is up", func() bool { return e.Ready() == nil })

	disk.down.Store(true)
	disk.Faults(func(message.Shard, *message.Unit) mem.Fault { return mem.Fault{Err: errLost} })
	gaveUp("the shard is down", "2", func() bool { return e.Ready() != nil })
}

// A read that fails while a call is given up opens the shard again: whoever
// waits for what was read is answered.
func TestReadFailureDuringCancel(t *testing.T) {
	t.Parallel()
	disk := newOutage(mem.Shards(1))
	e := startOutage(t, disk, Config{}, behavior, map[string]Outside{"outside": {Call: func(ctx context.Context, _ core.EffectJob) core.EffectResult {
		<-ctx.Done()
		return core.EffectResult{Status: message.StatusUnknown}
	}}})
	queued := func(n int) func() bool {
		return func() bool {
			q := &e.shards[0].queue
			q.mu.Lock()
			defer q.mu.Unlock()
			return len(q.events) == n
		}
	}
	if a := e.Submit(t.Context(), keyed(t, "a", "call", "k", 5), true); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	// The loop is busy, while a new agent is called and a caller gives up.
	busy, goOn := make(chan struct{}), make(chan struct{})
	go e.Query(t.Context(), agent("a"), func(core.State, uint64, bool) core.Answer { close(busy); <-goOn; return core.Answer{} })
	<-busy
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp, waits := make(chan core.Answer, 1), make(chan core.Answer, 1)
	go func() { gaveUp <- e.Submit(ctx, keyed(t, "a", "call", "k", 5), false) }()
	eventually(t, "the first call is queued", queued(1))
	go func() { waits <- e.Submit(t.Context(), keyed(t, "fresh", "add", "x", 1), false) }()
	eventually(t, "the second call is queued", queued(2))
	cancel()
	eventually(t, "the first gives up", queued(3))
	disk.badRead.Store(true)
	close(goOn)
	in(t, "the call whose agent could not be read", func() {
		if a := <-waits; a.Fault == nil || a.Fault.Code.Kind() != message.NotDone {
			t.Errorf("it was answered %+v", a)
		}
		<-gaveUp
	})
}

// A shard that comes no further is opened less and less often, and somebody is
// told.
func TestShardThatComesNoFurther(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{store.ErrTooLarge, errUnreachable} {
		disk := newOutage(mem.Shards(2))
		alarms := make(chan core.Alarm, 16)
		e := startOutage(t, disk, Config{OnAlarm: func(a core.Alarm) { alarms <- a }}, behavior, nil)
		var opened atomic.Int32
		disk.Faults(func(n message.Shard, _ *message.Unit) mem.Fault {
			if n == 1 {
				opened.Add(1)
				return mem.Fault{Err: cause}
			}
			return mem.Fault{}
		})
		disk.down.Store(errors.Is(cause, errUnreachable))
		stop := make(chan struct{})
		go func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					e.Submit(context.Background(), keyed(t, on(1, 2), "add", fmt.Sprint(i), 1), false)
				}
			}
		}()
		in(t, "the alarm", func() {
			a := <-alarms
			if a.Kind != core.AlarmShardDown || !strings.Contains(a.Detail, "shard 1") || !strings.Contains(a.Detail, cause.Error()) {
				t.Errorf("alarm %+v", a)
			}
		})
		close(stop)
		if n := opened.Load(); n > alarmAfter {
			t.Errorf("%d units were refused before the alarm", n)
		}
		if a := e.Submit(t.Context(), keyed(t, on(0, 2), "add", "k", 1), false); a.Fault != nil {
			t.Errorf("the other shard: %v", a.Fault)
		}
	}
}

// The waits between attempts grow, and begin anew when the shard came further,
// unless a unit was too large: it will be again.
func TestAttempts(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.Shards(1))
	e, err := Open(t.Context(), disk, Config{})
	if err != nil {
		t.Fatal(err)
	}
	sh := newShard(e, 0)
	var waits []time.Duration
	now := message.Time(time.Hour)
	fail := func(cause error, done message.Seq) {
		sh.failed(cause, done, now)
		waits = append(waits, sh.wait())
		sh.began(done, now)
	}
	fail(errLost, 1)
	fail(errLost, 1)
	fail(errLost, 1)
	fail(errLost, 2)
	fail(store.ErrTooLarge, 3)
	fail(store.ErrTooLarge, 4)
	now += 2 * calmAfter
	fail(store.ErrTooLarge, 4)
	want := []time.Duration{0, firstWait, 2 * firstWait, 0, firstWait, 2 * firstWait, 0}
	if fmt.Sprint(waits) != fmt.Sprint(want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	for range 100 {
		fail(errLost, 4)
	}
	if w := sh.wait(); w != longestWait {
		t.Errorf("after 100 failures it waits %v", w)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
