package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
)

// follower is a client of the feed in a goroutine of its own.
type followed struct {
	changes chan Change
	err     error // why it ended; valid when changes is closed
	leave   context.CancelFunc
}

func follow(t *testing.T, e *Engine, from Position) *followed {
	ctx, cancel := context.WithCancel(context.Background())
	f := &followed{changes: make(chan Change, 1<<14), leave: cancel}
	changes := e.Changes(ctx, message.DefaultTenant, "counter", from)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(f.changes)
		for c, err := range changes {
			if err != nil {
				f.err = err
				return
			}
			f.changes <- c
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

// next is the next change of an agent that comes.
func (f *followed) next(t *testing.T) Change {
	t.Helper()
	var c Change
	var ok bool
	in(t, "the next change", func() { c, ok = <-f.changes })
	if !ok {
		t.Fatalf("the feed ended: %v", f.err)
	}
	return c
}

func (f *followed) want(t *testing.T, id string, version uint64) Change {
	t.Helper()
	c := f.next(t)
	if c.Agent != agent(id) || c.Version != version || c.Deleted != (version == 0) || (c.State == nil) != c.Deleted || c.Reset || c.Position == "" {
		t.Fatalf("the feed has %+v, want version %d of %s", c, version, id)
	}
	return c
}

// first takes n changes and leaves.
func first(t *testing.T, changes iter.Seq2[Change, error], n int) (out []Change) {
	t.Helper()
	for c, err := range changes {
		if err != nil {
			t.Fatal(err)
		}
		if out = append(out, c); len(out) == n {
			break
		}
	}
	return out
}

func addAll(t *testing.T, e *Engine, key string, ids ...string) {
	t.Helper()
	var ms []*message.Message
	for _, id := range ids {
		ms = append(ms, keyed(t, id, "add", key, 1))
	}
	for _, a := range submitAll(t.Context(), e, ms) {
		if a.Fault != nil {
			t.Fatal(a.Fault)
		}
	}
}

// A change is told with the state, to those who follow its type and tenant; a
// deletion too; and the position of each leads to what comes behind it.
func TestFollow(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]mem.Option{nil, {mem.RemoteReads()}} {
		e := start(t, mem.New(opts...), Config{Feed: true}, nil)
		addAll(t, e, "before", "a")
		f := follow(t, e, "")
		addAll(t, e, "1", "a")
		one := f.want(t, "a", 2)
		if string(one.State) != `{"Sum":2,"Steps":2}` {
			t.Errorf("the state is %s", one.State)
		}
		m := keyed(t, "a", "add", "1", 1)
		m.To.Tenant = "acme"
		if a := e.Submit(t.Context(), m, false); a.Fault != nil {
			t.Fatal(a.Fault)
		}
		addAll(t, e, "1", "b")
		f.want(t, "b", 1)
		if a := e.Remove(t.Context(), agent("a")); a.Fault != nil {
			t.Fatal(a.Fault)
		}
		gone := f.want(t, "a", 0)
		addAll(t, e, "2", "a")
		f.want(t, "a", 1)

		// From the first position on, each agent comes with its newest state.
		for _, c := range first(t, e.Changes(t.Context(), message.DefaultTenant, "counter", one.Position), 2) {
			if c.Version != 1 || c.Agent != agent("a") && c.Agent != agent("b") {
				t.Errorf("behind the first change comes %+v", c)
			}
		}
		if c := first(t, e.Changes(t.Context(), message.DefaultTenant, "counter", gone.Position), 1)[0]; c.Agent != agent("a") || c.Version != 1 {
			t.Errorf("behind the deletion comes %+v", c)
		}
		f.leave()
		for range f.changes {
			t.Error("there was more")
		}
		if !errors.Is(f.err, context.Canceled) {
			t.Errorf("it ended with %v", f.err)
		}
	}
}

// Everything that is remembered, in units of many agents and in many units, on
// either side of what is read at once; then what comes.
func TestFollowFromStart(t *testing.T) {
	t.Parallel()
	const agents = 1000
	e := start(t, mem.New(), Config{Feed: true}, nil)
	var ids []string
	for i := range agents {
		ids = append(ids, fmt.Sprint(i))
	}
	addAll(t, e, "1", ids...)
	for i := range 3 * feedRows {
		addAll(t, e, "2", ids[i])
	}
	versions := make(map[string]uint64)
	told := first(t, e.Changes(t.Context(), message.DefaultTenant, "counter", FromStart), agents)
	for _, c := range told {
		versions[c.Agent.ID] = c.Version
	}
	// Whoever left in between, also within a unit, hears of all that came
	// behind, and of what happened meanwhile.
	for i := 0; i < agents; i += 100 {
		id := fmt.Sprint("then", i)
		addAll(t, e, "1", id)
		left := map[string]bool{id: true}
		for _, c := range told[i+1:] {
			left[c.Agent.ID] = true
		}
		f := follow(t, e, told[i].Position)
		for len(left) > 0 {
			if c := f.next(t); c.Reset {
				t.Fatalf("behind change %d comes %+v", i, c)
			} else {
				delete(left, c.Agent.ID)
			}
		}
		f.leave()
	}
	for i, id := range ids {
		want := uint64(1)
		if i < 3*feedRows {
			want = 2
		}
		if versions[id] != want {
			t.Errorf("agent %s was told with version %d, it has %d", id, versions[id], want)
		}
	}
}

// Nothing is told that is not durable: here the follower has read a state of a
// unit that a crash then takes away.
func TestFollowTellsNothingThatMayBeLost(t *testing.T) {
	t.Parallel()
	disk := newOutage(mem.ManualSync(), mem.Shards(1))
	looked := make(chan struct{}, 100)
	disk.onGet = func(keys []message.RowKey) {
		if keys[0].Table == message.TableState && string(keys[0].Key) == string(agent("a").AppendKey(nil)) {
			looked <- struct{}{}
		}
	}
	e := startOutage(t, disk, Config{Feed: true, Fatal: func(error) {}}, behavior, nil)
	answer := make(chan core.Answer, 1)
	submit := func(key string) { answer <- e.Submit(context.Background(), keyed(t, "a", "add", key, 1), false) }
	go submit("1")
	for synced := false; !synced; {
		disk.SyncAll()
		select {
		case <-answer:
			synced = true
		default:
		}
	}
	for len(looked) > 0 { // by the machine
		<-looked
	}
	go submit("2")
	barrier(t, e, 0)
	eventually(t, "the second unit is on its way", func() bool { return e.shards[0].submitted.Load() > e.shards[0].durable.Load() })
	f := follow(t, e, FromStart)
	in(t, "the follower looks", func() { <-looked })
	disk.Crash(0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // there is nothing to finish
	_ = e.Close(ctx)
	in(t, "the feed ends", func() {
		for c := range f.changes {
			t.Errorf("the feed told of %+v, which is lost", c)
		}
	})
}

// FAULTS 24, 26: sessions are lost again and again; who follows goes on, hears
// of every change, and never of an older one.
func TestFollowThroughLostSessions(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]mem.Option{nil, {mem.RemoteReads()}} {
		disk := mem.New(append(opts, mem.Shards(2))...)
		var mu sync.Mutex
		rng := rand.New(rand.NewPCG(3, 4))
		disk.Faults(func(message.Shard, *message.Unit) mem.Fault {
			mu.Lock()
			defer mu.Unlock()
			switch rng.IntN(20) {
			case 0:
				return mem.Fault{Err: errLost, Applied: true}
			case 1:
				return mem.Fault{Err: errLost}
			case 2:
				return mem.Fault{Err: store.ErrFenced}
			}
			return mem.Fault{}
		})
		e := start(t, disk, Config{Feed: true}, nil)
		followers := []*followed{follow(t, e, ""), follow(t, e, FromStart)}
		const callers, calls, agents = 6, 60, 5
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for k := range calls {
					retry(t, e, func() *message.Message { return keyed(t, fmt.Sprint(k%agents), "add", fmt.Sprintf("%d-%d", c, k), 1) })
				}
			})
		}
		wg.Wait()
		for _, f := range followers {
			at := make(map[string]uint64)
			for done := 0; done < agents; {
				c := f.next(t)
				if c.Reset || c.Version < at[c.Agent.ID] {
					t.Fatalf("after version %d comes %+v", at[c.Agent.ID], c)
				}
				if c.Version == callers*calls/agents && at[c.Agent.ID] != c.Version {
					done++
				}
				at[c.Agent.ID] = c.Version
			}
		}
	}
}

// FAULTS 1, 2: a client keeps what it was told and the last position through
// crashes that lose what was not durable. Whatever was acknowledged, it hears.
func TestFollowThroughCrashes(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	disk := mem.New(mem.ManualSync(), mem.Shards(2), mem.UnitsInFlight(3))
	known, acked := make(map[string]uint64), make(map[string]int64)
	position := FromStart
	var mu sync.Mutex
	for life := range 12 {
		e, err := Open(t.Context(), disk, Config{Feed: true, Fatal: func(error) {}})
		if err != nil {
			t.Fatal(err)
		}
		go func() { // until the crash
			for e.ctx.Err() == nil {
				disk.SyncTo(disk.Durable() + 1)
				runtime.Gosched()
			}
		}()
		if err := e.Start(behavior, nil); err != nil {
			t.Fatal(err)
		}
		var follower, wg sync.WaitGroup
		follower.Go(func() {
			for c, err := range e.Changes(t.Context(), message.DefaultTenant, "counter", position) {
				if err != nil {
					return
				}
				if c.Reset || c.Version < known[c.Agent.ID] {
					t.Errorf("life %d: after version %d comes %+v", life, known[c.Agent.ID], c)
				}
				known[c.Agent.ID], position = c.Version, c.Position
			}
		})
		var calls atomic.Int64
		crashed := make(chan struct{})
		until, kept := int64(20+rng.IntN(200)), rng.IntN(3)
		for c := range 4 {
			wg.Go(func() {
				for k := 0; ; k++ {
					id := fmt.Sprint((c + k) % 7)
					a := e.Submit(t.Context(), keyed(t, id, "add", fmt.Sprintf("%d-%d-%d", life, c, k), 1), false)
					if a.Fault != nil {
						return
					}
					mu.Lock()
					acked[id] = max(acked[id], number(a.Outcome.Body))
					mu.Unlock()
					if calls.Add(1) == until {
						disk.Crash(kept)
						close(crashed)
					}
				}
			})
		}
		<-crashed
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // there is nothing to finish
		_ = e.Close(ctx)
		wg.Wait()
		follower.Wait()
	}
	disk.SyncAll()
	e := start(t, disk, Config{Feed: true}, nil)
	go func() {
		for e.ctx.Err() == nil {
			disk.SyncAll()
		}
	}()
	f := follow(t, e, position)
	for id, sum := range acked {
		for known[id] < uint64(sum) {
			c := f.next(t)
			known[c.Agent.ID] = c.Version
		}
	}
}

// What retention dropped is a reset, for a position from before as for who is
// that slow. From there on nothing is missing.
func TestFollowBehindRetention(t *testing.T) {
	t.Parallel()
	e := start(t, mem.New(mem.Shards(2)), Config{Feed: true, Retention: 40 * time.Millisecond}, nil)
	old, err := e.FeedPosition()
	if err != nil {
		t.Fatal(err)
	}
	addAll(t, e, "1", "a", "b", "c")
	slow := e.Changes(t.Context(), message.DefaultTenant, "counter", old)
	resets := 0
	for c, err := range slow {
		if err != nil {
			t.Fatal(err)
		}
		if c.Reset {
			if resets++; resets == 1 {
				addAll(t, e, "3", "d")
				continue
			}
		}
		if c.Agent == agent("d") {
			break
		}
		if resets == 0 {
			addAll(t, e, "2"+c.Agent.ID, "a", "b", "c")
			eventually(t, "the changes are forgotten", func() bool { return forgot(t, e, c.Position) })
		}
	}
	if resets == 0 {
		t.Error("who was slow heard of no reset")
	}
	c := first(t, e.Changes(t.Context(), message.DefaultTenant, "counter", old), 1)[0]
	if !c.Reset || c.Position == old || c.Agent != (message.Agent{}) {
		t.Fatalf("an old position was answered %+v", c)
	}
	f := follow(t, e, c.Position)
	addAll(t, e, "4", "a")
	if got := f.next(t); got.Reset || got.Agent != agent("a") {
		t.Errorf("behind the reset comes %+v", got)
	}
}

// A position does not know its generation: what lies in later ones is found,
// and nothing of earlier ones comes again.
func TestFollowAcrossGenerations(t *testing.T) {
	t.Parallel()
	e := start(t, mem.New(mem.Shards(1)), Config{Feed: true, Retention: 4 * time.Second}, nil)
	var positions []Position
	seen, n := make(map[message.Generation]bool), 0
	for ; len(seen) < 3; n++ {
		p, err := e.FeedPosition()
		if err != nil {
			t.Fatal(err)
		}
		positions = append(positions, p)
		addAll(t, e, "1", fmt.Sprint(n))
		if g := generationOf(t, e); !seen[g] {
			seen[g] = true
			continue
		}
		before := generationOf(t, e)
		eventually(t, "a generation begins", func() bool {
			addAll(t, e, fmt.Sprint("turn", time.Now().UnixNano()), "turn")
			return generationOf(t, e) != before
		})
	}
	addAll(t, e, "1", "last")
	for i, p := range positions {
		ids := make(map[string]bool)
		for c, err := range e.Changes(t.Context(), message.DefaultTenant, "counter", p) {
			if err != nil || c.Reset {
				t.Fatalf("%+v, %v", c, err)
			}
			if ids[c.Agent.ID] = true; c.Agent.ID == "last" {
				break
			}
		}
		for j := range n {
			if ids[fmt.Sprint(j)] != (j >= i) {
				t.Errorf("from before change %d on, change %d is told: %v", i, j, j < i)
			}
		}
	}
}

// generationOf is where the last change of a shard lies.
func generationOf(t *testing.T, e *Engine) message.Generation {
	t.Helper()
	rows, err := e.shards[0].session().Scan(t.Context(), store.Range{Table: message.TableChange}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	c, err := core.ReadChanges(rows[len(rows)-1])
	if err != nil {
		t.Fatal(err)
	}
	return c.Gen
}

// forgot says whether a position is too old by now.
func forgot(t *testing.T, e *Engine, p Position) bool {
	_, places, err := p.parse()
	if err != nil {
		t.Fatal(err)
	}
	for i, sh := range e.shards {
		f := &follower{engine: e, ctx: t.Context()}
		r, _ := sh.reads()
		if floor, err := f.floor(r); err == nil && floor > places[i].seq {
			return true
		}
	}
	return false
}

// A position of another store, of a restored backup, or of what no store came
// to yet, says nothing here.
func TestFollowFromElsewhere(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.Shards(2))
	e := start(t, disk, Config{Feed: true}, nil)
	addAll(t, e, "1", "a", "b", on(0, 2))
	here, _ := e.FeedPosition()
	restored := start(t, disk.Backup(), Config{Feed: true}, nil)
	resharded := start(t, mem.New(mem.Shards(3)), Config{Feed: true}, nil)
	ahead, _ := positionOf(e.store.Incarnation(), []place{{seq: 0}, {seq: 1 << 40}}, nil) // its first shard is not
	for name, c := range map[string]struct {
		e *Engine
		p Position
	}{"restored": {restored, here}, "resharded": {resharded, here}, "ahead": {e, ahead}} {
		got := first(t, c.e.Changes(t.Context(), message.DefaultTenant, "counter", c.p), 1)[0]
		// Where it goes on is here, and now; but now moves on with the first units.
		inc, places, err := got.Position.parse()
		if !got.Reset || err != nil || inc != c.e.store.Incarnation() || len(places) != len(c.e.shards) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if got := first(t, restored.Changes(t.Context(), message.DefaultTenant, "counter", FromStart), 3); len(got) != 3 {
		t.Errorf("the backup remembers %+v", got)
	}
}

// What cannot be followed says why.
func TestFollowRefuses(t *testing.T) {
	t.Parallel()
	off, on := start(t, mem.New(), Config{}, nil), start(t, mem.New(), Config{Feed: true}, nil)
	closed := start(t, mem.New(), Config{Feed: true}, nil)
	if err := closed.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	disk := mem.New()
	if err := start(t, disk, Config{}, nil).Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	guest := start(t, disk, Config{Feed: true, Guest: true}, nil)
	for name, c := range map[string]struct {
		e    *Engine
		typ  string
		from Position
		code message.Code
	}{
		"a guest where there is none": {guest, "counter", FromStart, message.CodeInvalidRequest},

		"without a feed":   {off, "counter", "", message.CodeInvalidRequest},
		"an unknown type":  {on, "nothing", "", message.CodeUnknownAgentType},
		"no position":      {on, "counter", "nonsense", message.CodeInvalidRequest},
		"a closed engine":  {closed, "counter", "", message.CodeClosed},
		"a closed engine'": {closed, "counter", FromStart, message.CodeClosed},
	} {
		n := 0
		for got, err := range c.e.Changes(t.Context(), message.DefaultTenant, c.typ, c.from) {
			var f *message.Fault
			if n++; !errors.As(err, &f) || f.Code != c.code || n > 1 {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		if n != 1 {
			t.Errorf("%s: the feed ends after %d", name, n)
		}
	}
	if _, err := off.FeedPosition(); err == nil {
		t.Error("there is a position without a feed")
	}
}

// Close ends who follows, also where nothing happens.
func TestFollowEndsWithTheEngine(t *testing.T) {
	t.Parallel()
	calling, release := make(chan struct{}), make(chan struct{})
	e := start(t, mem.New(), Config{Feed: true}, map[string]Outside{"outside": {Call: func(context.Context, core.EffectJob) core.EffectResult {
		close(calling)
		<-release
		return core.EffectResult{Status: message.StatusDone, Body: []byte("5")}
	}}})
	go e.Submit(context.Background(), keyed(t, "a", "call", "1", 5), false)
	<-calling
	f := follow(t, e, "")
	eventually(t, "it follows", func() bool { return e.feed.followers.Load() == 1 })
	closed := make(chan error, 1)
	go func() { closed <- e.Close(context.Background()) }()
	in(t, "the feed ends, though an effect goes on", func() {
		for c := range f.changes {
			t.Errorf("%+v", c)
		}
	})
	close(release)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	var fault *message.Fault
	if !errors.As(f.err, &fault) || fault.Code != message.CodeClosed {
		t.Errorf("it ended with %v", f.err)
	}
	if n := e.feed.followers.Load(); n != 0 {
		t.Errorf("%d followers are left", n)
	}
}

// A state that this program cannot decode ends the feed, with the agent and a
// position behind it.
func TestFollowBadState(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.Shards(1))
	e := start(t, disk, Config{Feed: true}, nil)
	addAll(t, e, "1", "a")
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	picky := core.Behavior{Types: map[string]*core.Type{"counter": {
		Actions: behavior.Types["counter"].Actions,
		Load: func(schema uint32, data []byte) (core.State, error) {
			if string(data) == `{"Sum":1,"Steps":1}` {
				return nil, errors.New("what is this?")
			}
			return behavior.Types["counter"].Load(schema, data)
		},
	}}}
	e, err := Open(t.Context(), disk, Config{Feed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close(context.Background()) })
	if err := e.Start(picky, nil); err != nil {
		t.Fatal(err)
	}
	var bad Change
	for c, err := range e.Changes(t.Context(), message.DefaultTenant, "counter", FromStart) {
		if bad = c; err == nil {
			t.Fatalf("it is told as %+v", c)
		}
	}
	if bad.Agent != agent("a") {
		t.Fatalf("the error is of %+v", bad)
	}
	m := keyed(t, "b", "add", "1", 7)
	if a := e.Submit(t.Context(), m, false); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	if c := first(t, e.Changes(t.Context(), message.DefaultTenant, "counter", bad.Position), 1)[0]; c.Agent != agent("b") {
		t.Errorf("behind it comes %+v", c)
	}
}

func TestPosition(t *testing.T) {
	t.Parallel()
	inc := message.Incarnation{1, 2, 3}
	for _, want := range [][]place{{{seq: 0}}, {{seq: 1}, {seq: 1<<64 - 1}, {seq: 127}, {seq: 128}}} {
		p, _ := positionOf(inc, want, nil)
		gotInc, got, err := p.parse()
		if err != nil || gotInc != inc || !slices.Equal(got, want) {
			t.Errorf("%s is read as %v, %v, %v", p, gotInc, got, err)
		}
		for _, bad := range []Position{p + "A", p[:len(p)-1], p + "=", p + "\n", "A" + p, p[1:]} {
			if _, places, err := bad.parse(); err == nil {
				t.Errorf("%q is read as %v", bad, places)
			}
		}
	}
}

func FuzzPosition(f *testing.F) {
	p, _ := positionOf(message.Incarnation{7}, []place{{seq: 3}, {seq: 1 << 50}}, nil)
	f.Add(string(p))
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, s string) {
		inc, places, err := Position(s).parse()
		if err != nil {
			return
		}
		if again, _ := positionOf(inc, places, nil); string(again) != s {
			t.Errorf("%q is another spelling of %q", s, again)
		}
	})
}
