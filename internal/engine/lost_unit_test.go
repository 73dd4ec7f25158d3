package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
)

// A message was accepted and its effect called; then the unit with its last
// step is lost. Its caller must not hear that nothing was done.
func TestLostStepOfAnAcceptedMessage(t *testing.T) {
	t.Parallel()
	for _, fault := range []mem.Fault{{Err: store.ErrFull}, {Err: errLost}} {
		disk := newOutage(mem.Shards(1))
		var fails atomic.Bool
		fails.Store(true)
		disk.Faults(func(_ message.Shard, u *message.Unit) mem.Fault {
			for _, w := range u.Writes {
				if w.Table == message.TableEffect && w.Op == message.Delete && fails.Swap(false) {
					return fault
				}
			}
			return mem.Fault{}
		})
		e := startOutage(t, disk, Config{}, behavior, map[string]Outside{"outside": {Call: func(context.Context, core.EffectJob) core.EffectResult {
			return core.EffectResult{Status: message.StatusDone, Body: []byte("5")}
		}}})
		a := e.Submit(t.Context(), keyed(t, "a", "call", "k", 5), false)
		if fails.Load() || a.Fault == nil || a.Fault.Code.Kind() != message.Unknown {
			t.Errorf("%v: the caller heard %+v", fault.Err, a)
		}
	}
}

// slowRefusal is a store of which one commit is refused, when it is told to.
type slowRefusal struct {
	*outage
	next atomic.Pointer[chan error]
}

type slowStore struct {
	store.Store
	r *slowRefusal
}

type slowSession struct {
	store.Session
	r *slowRefusal
}

type slowPending chan error

func (p slowPending) Wait() error { return <-p }

func (r *slowRefusal) OpenStore(ctx context.Context) (store.Store, error) {
	st, err := r.outage.OpenStore(ctx)
	return slowStore{st, r}, err
}

func (s slowStore) Open(ctx context.Context, n message.Shard, owner string) (store.Session, error) {
	se, err := s.Store.Open(ctx, n, owner)
	return slowSession{se, s.r}, err
}

func (s slowSession) Commit(ctx context.Context, u *message.Unit) store.Pending {
	if c := s.r.next.Swap(nil); c != nil {
		return slowPending(*c)
	}
	return s.Session.Commit(ctx, u)
}

// The replay of what was done long ago waits for a unit that is refused. It
// must not be taken for a call that was not executed.
func TestReplayBehindARefusedUnit(t *testing.T) {
	t.Parallel()
	disk := &slowRefusal{outage: newOutage(mem.Shards(1))}
	e, err := Open(t.Context(), disk, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(behavior, nil); err != nil {
		t.Fatal(err)
	}
	defer e.Close(context.Background())
	if a := e.Submit(t.Context(), keyed(t, "a", "add", "k", 1), false); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	read(t.Context(), e, "a") // by then the machine knows that the unit is durable
	refusal := make(chan error)
	disk.next.Store(&refusal)
	other, again := make(chan core.Answer, 1), make(chan core.Answer, 1)
	go func() { other <- e.Submit(t.Context(), keyed(t, "b", "add", "x", 1), false) }()
	eventually(t, "the other's unit is in flight", func() bool { return disk.next.Load() == nil })
	go func() { again <- e.Submit(t.Context(), keyed(t, "a", "add", "k", 1), false) }()
	sh := e.shards[0]
	eventually(t, "the replay waits for it too", func() bool {
		sh.ackMu.Lock()
		defer sh.ackMu.Unlock()
		return len(again) > 0 || len(sh.inFlight) > 0 && len(sh.inFlight[0].held.answers) == 2
	})
	refusal <- store.ErrFull
	if a := <-other; a.Fault == nil || a.Fault.Code.Kind() != message.NotDone {
		t.Errorf("the call whose unit was refused was answered %+v", a)
	}
	if a := <-again; a.Fault != nil && a.Fault.Code.Kind() != message.Unknown {
		t.Errorf("the repetition of what was done was answered %v", a.Fault)
	}
}

// Commits fail while the engine closes, and the shard can be opened: closing
// gives up, and says so.
func TestCloseWhileCommitsFail(t *testing.T) {
	t.Parallel()
	disk := newOutage(mem.Shards(1))
	e, err := Open(t.Context(), disk, Config{})
	if err != nil {
		t.Fatal(err)
	}
	calling, release := make(chan struct{}), make(chan struct{})
	if err := e.Start(behavior, map[string]Outside{"outside": {Call: func(context.Context, core.EffectJob) core.EffectResult {
		close(calling)
		<-release
		return core.EffectResult{Status: message.StatusDone, Body: []byte("5")}
	}}}); err != nil {
		t.Fatal(err)
	}
	if a := e.Submit(t.Context(), keyed(t, "a", "call", "k", 5), true); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	<-calling
	closed := make(chan error, 1)
	go func() { closed <- e.Close(context.Background()) }()
	eventually(t, "the engine closes", e.closing)
	disk.Faults(func(message.Shard, *message.Unit) mem.Fault { return mem.Fault{Err: store.ErrFull} })
	close(release)
	if err := <-closed; !errors.Is(err, store.ErrFull) {
		t.Errorf("Close returned %v", err)
	}
}

// Calls that were given up while their loop is busy are not executed later, and
// count among the work in flight as long as they are queued.
func TestGivenUpCallsKeepTheirRoom(t *testing.T) {
	t.Parallel()
	const limit = 4
	e := startOutage(t, newOutage(mem.Shards(1)), Config{MaxInFlight: limit, GiveUpGrace: time.Millisecond}, behavior, nil)
	busy, goOn := make(chan struct{}), make(chan struct{})
	go e.Query(t.Context(), agent("a"), func(core.State, uint64, bool) core.Answer { close(busy); <-goOn; return core.Answer{} })
	<-busy
	for i := range 10 * limit {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		a := e.Submit(ctx, keyed(t, "b", "add", fmt.Sprint(i), 1), false)
		cancel()
		if a.Fault == nil || i >= 2*limit && a.Fault.Code != message.CodeOverloaded {
			t.Fatalf("call %d was answered %+v", i, a)
		}
	}
	close(goOn)
	eventually(t, "nothing is in flight", func() bool { return e.inFlight.Load() == 0 })
	if a := read(t.Context(), e, "b"); a.Fault != nil || a.Version != 0 {
		t.Errorf("calls that were given up were executed: %+v, version %d", a.Fault, a.Version)
	}
}
