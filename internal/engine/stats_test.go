package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/mem"
)

// What waits for the loop, what is in flight, and what is refused, while one
// handler keeps the loop.
func TestStatsOfABusyLoop(t *testing.T) {
	t.Parallel()
	running, release := make(chan struct{}), make(chan struct{})
	e := startBehaving(t, Config{MaxInFlight: 2}, func(s *core.Step, _ core.State) core.Result {
		if string(s.Message().Body) == "1" {
			close(running)
			<-release
		}
		return core.Result{Verdict: core.Replied}
	})
	defer func() {
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	var wg sync.WaitGroup
	codes := make([]message.Code, 5)
	call := func(i int) {
		wg.Go(func() {
			if a := e.Submit(t.Context(), keyed(t, "a", "misbehave", fmt.Sprint(i), i+1), false); a.Fault != nil {
				codes[i] = a.Fault.Code
			}
		})
	}
	call(0)
	<-running
	for i := 1; i < 4; i++ { // one more has room, two would be answered if they were recorded
		call(i)
		eventually(t, "the call is in the queue", func() bool { return e.Stats().QueueLength == i })
	}
	if s := e.Stats(); s.CallsInFlight != 4 || s.Overloaded != 0 {
		t.Errorf("%d calls are in flight, %d were refused", s.CallsInFlight, s.Overloaded)
	}
	call(4)
	eventually(t, "the fifth call is refused", func() bool { return e.Stats().Overloaded == 1 })
	close(release)
	wg.Wait()
	if want := []message.Code{"", "", message.CodeOverloaded, message.CodeOverloaded, message.CodeOverloaded}; !slices.Equal(codes, want) {
		t.Errorf("the answers are %q", codes)
	}
	s := e.Stats()
	if s.CallsInFlight != 0 || s.QueueLength != 0 || s.Steps != 2 || s.Overloaded != 3 || s.StorageFull != 0 {
		t.Errorf("at rest: %+v", s)
	}
	e.full.Store(true)
	if a := e.Submit(t.Context(), keyed(t, "a", "misbehave", "full", 9), false); a.Fault == nil || a.Fault.Code != message.CodeStorageFull {
		t.Errorf("%+v", a)
	}
	if s := e.Stats(); s.StorageFull != 1 || s.Overloaded != 3 {
		t.Errorf("%+v", s)
	}
}

// A shard that is down is seen, and when it runs again nothing that was counted
// before is lost.
func TestStatsOfAShardThatIsDown(t *testing.T) {
	t.Parallel()
	disk := newOutage(mem.Shards(2))
	alarms := make(chan core.Alarm, 16)
	e := startOutage(t, disk, Config{OnAlarm: func(a core.Alarm) { alarms <- a }}, behavior, nil)
	id := on(1, 2)
	add := func(key string) core.Answer { return e.Submit(t.Context(), keyed(t, id, "add", key, 1), false) }
	if a := add("before"); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	before := e.Stats()
	if before.Shards != 2 || before.ShardsDown != 0 || before.Steps != 1 || before.Alarms[core.AlarmShardDown] != 0 {
		t.Fatalf("%+v", before)
	}
	disk.Faults(func(n message.Shard, _ *message.Unit) mem.Fault {
		if n == 1 {
			return mem.Fault{Err: errUnreachable}
		}
		return mem.Fault{}
	})
	disk.down.Store(true)
	answer := make(chan core.Answer, 1)
	go func() { answer <- add("lost") }() // what became of it is known when the shard is open again
	in(t, "the alarm", func() { <-alarms })
	if s := e.Stats(); s.ShardsDown != 1 || s.Shards != 2 || s.Alarms[core.AlarmShardDown] != 1 || s.Steps != 2 {
		t.Errorf("while it is down: %+v", s)
	}
	disk.Faults(func(message.Shard, *message.Unit) mem.Fault { return mem.Fault{} })
	disk.down.Store(false)
	in(t, "the answer", func() {
		if a := <-answer; a.Fault == nil {
			t.Errorf("a lost commit was acknowledged: %+v", a)
		}
	})
	eventually(t, "the shard is up", func() bool { return e.Stats().ShardsDown == 0 })
	if a := add("lost"); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	// The step that was lost ran again, and counts twice.
	if s := e.Stats(); s.Steps != 3 || s.UnitSizes.Count < 3 || s.CommitTimes.Count != s.UnitSizes.Count-1 {
		t.Errorf("when it is up again: %+v", s)
	}
}

// A message counts as on its way from the step that sends it until the one that
// consumes it.
func TestStatsOfMessagesOnTheirWay(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.Shards(2), mem.ManualSync(), mem.RemoteReads()) // other shards see what is durable
	e, err := Open(t.Context(), disk, Config{})
	if err != nil {
		t.Fatal(err)
	}
	b := core.Behavior{Types: map[string]*core.Type{"counter": {Load: behavior.Types["counter"].Load, Actions: map[string]*core.Action{
		"add": {Run: add},
		"send": {Guarantee: message.AtMostOnce, Run: func(s *core.Step, _ core.State) core.Result {
			s.Send(core.Outgoing{To: agent(on(1, 2)), Action: "add", Body: []byte("1")})
			s.Send(core.Outgoing{To: agent(on(0, 2)), Action: "add", Body: []byte("1")})
			return core.Result{Verdict: core.Replied}
		}},
	}}}}
	if err := e.Start(b, nil); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if a := e.Submit(t.Context(), keyed(t, on(0, 2), "send", fmt.Sprint(i), 1), false); a.Fault != nil {
			t.Fatal(a.Fault)
		}
		if s := e.Stats(); s.OutboxLag != 2*(i+1) || s.Sent != uint64(2*(i+1)) || s.Taken != 0 {
			t.Errorf("after %d steps %d messages are on their way: %d were sent, %d taken", i+1, s.OutboxLag, s.Sent, s.Taken)
		}
	}
	keepSyncing(e, disk)
	eventually(t, "all have arrived", func() bool { return e.Stats().OutboxLag == 0 })
	if s := e.Stats(); s.Sent != 6 || s.Taken != 6 || s.Steps != 9 {
		t.Errorf("%d sent, %d taken, %d steps", s.Sent, s.Taken, s.Steps)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	// What the rows say is the same.
	e = reopened(t, disk, nil)
	if s := e.Stats(); s.Sent != 6 || s.Taken != 6 || s.OutboxLag != 0 || s.Steps != 0 {
		t.Errorf("after a restart: %d sent, %d taken, %d steps", s.Sent, s.Taken, s.Steps)
	}
	keepSyncing(e, disk)
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Whoever was answered finds himself counted, however the loops are under way;
// and no counter ever goes back.
func TestStatsFollowTheAnswers(t *testing.T) {
	t.Parallel()
	e := start(t, mem.New(mem.Shards(2)), Config{}, nil)
	stop, watched := make(chan struct{}), make(chan error, 1)
	go func() {
		var last Stats
		for {
			s := e.Stats()
			if s.Steps < last.Steps || s.Replays < last.Replays || s.UnitSizes.Count < last.UnitSizes.Count || s.CommitTimes.Count < last.CommitTimes.Count {
				watched <- fmt.Errorf("%+v came after %+v", s, last)
				return
			}
			last = s
			select {
			case <-stop:
				watched <- nil
				return
			default:
			}
		}
	}()
	const callers, calls = 4, 100
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range calls {
				m := keyed(t, fmt.Sprint(c), "add", fmt.Sprint(i), 1)
				for range 2 {
					if a := e.Submit(t.Context(), m, false); a.Fault != nil {
						t.Error(a.Fault)
					}
				}
				if s := e.Stats(); s.Steps < uint64(i+1) || s.Replays < uint64(i+1) || s.CommitTimes.Count == 0 {
					t.Errorf("after %d calls and as many repetitions: %d and %d", i+1, s.Steps, s.Replays)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	if err := <-watched; err != nil {
		t.Error(err)
	}
	if s := e.Stats(); s.Steps != callers*calls || s.Replays != callers*calls {
		t.Errorf("%d steps and %d replays", s.Steps, s.Replays)
	}
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h histogram
	for _, d := range []time.Duration{0, 100 * time.Microsecond, 101 * time.Microsecond, time.Second, time.Minute} {
		h.observe(int64(d), commitTimes, 1e-9)
	}
	got := newHistogram(commitTimes)
	h.addTo(&got, 1e-9)
	h.addTo(&got, 1e-9) // as of two shards
	want := []uint64{4, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 8, 8, 8, 8}
	if !slices.Equal(got.Counts, want) || got.Count != 10 || int64(got.Sum*1e6+.5) != 2*61_000_201 || h.max.Load() != int64(time.Minute) {
		t.Errorf("%+v", got)
	}
	for _, bounds := range [][]float64{unitSizes, commitTimes} {
		if len(bounds) >= len(h.counts) || !slices.IsSorted(bounds) {
			t.Errorf("%v", bounds)
		}
	}
}

// sized is a store that tells its size, or fails to.
type sized struct {
	outageStore
	err error
}

func (s sized) Size() (int64, error)  { return 123, s.err }
func (s sized) Free() (uint64, error) { return 1 << 63, s.err }

func TestStoreSize(t *testing.T) {
	t.Parallel()
	e, err := Open(t.Context(), mem.New(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if s := e.Stats(); s.StoreBytes != -1 || s.StoreSpace != -1 || s.Shards != 0 {
		t.Errorf("before anything is known: %+v", s)
	}
	under := e.store
	e.store = sized{}
	e.checkSpace()
	e.measureStore()
	if s := e.Stats(); s.StoreBytes != 123 || s.StoreSpace != 1<<63-1 {
		t.Errorf("%+v", s)
	}
	e.store = sized{err: errors.New("no")}
	e.checkSpace()
	e.measureStore()
	if s := e.Stats(); s.StoreBytes != -1 || s.StoreSpace != -1 {
		t.Errorf("when it cannot tell any more: %+v", s)
	}
	e.store = under
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
