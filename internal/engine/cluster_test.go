package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

const testLease = 300 * time.Millisecond

// wire is a node's way to the store, which can be cut.
type wire struct {
	store.Opener
	cut    atomic.Bool
	silent atomic.Bool  // the node answers nobody, and does not end connections
	barred atomic.Int32 // a shard that cannot be opened, from 1
}

var errCut = errors.New("the wire is cut")

func (w *wire) err() error {
	if w.cut.Load() {
		return errCut
	}
	return nil
}

func (w *wire) OpenStore(ctx context.Context) (store.Store, error) {
	st, err := w.Opener.OpenStore(ctx)
	if err != nil {
		return nil, err
	}
	return &wired{Store: st, Leaser: st.(store.Leaser), wire: w}, nil
}

type wired struct {
	store.Store
	store.Leaser
	wire *wire
}

func (s *wired) Open(ctx context.Context, n message.Shard, owner string) (store.Session, error) {
	if err := s.wire.err(); err != nil {
		return nil, err
	}
	if int32(n)+1 == s.wire.barred.Load() {
		return nil, errCut
	}
	x, err := s.Store.Open(ctx, n, owner)
	return &wiredSession{x, s.wire}, err
}

func (s *wired) Keep(ctx context.Context, n store.Node) (store.Roster, error) {
	if err := s.wire.err(); err != nil {
		return store.Roster{}, err
	}
	return s.Leaser.Keep(ctx, n)
}

func (s *wired) Claim(ctx context.Context, node string, n message.Shard) (store.Claim, bool, error) {
	if err := s.wire.err(); err != nil {
		return store.Claim{}, false, err
	}
	return s.Leaser.Claim(ctx, node, n)
}

type wiredSession struct {
	store.Session
	wire *wire
}

// Commit is lost on its way, or its answer is.
func (s *wiredSession) Commit(ctx context.Context, u *message.Unit) store.Pending {
	if s.wire.cut.Load() {
		return lostAnswer{errCut}
	}
	p := s.Session.Commit(ctx, u)
	if s.wire.cut.Load() {
		return lostAnswer{errCut}
	}
	return p
}

func (s *wiredSession) Get(ctx context.Context, keys []message.RowKey) ([][]byte, error) {
	if err := s.wire.err(); err != nil {
		return nil, err
	}
	return s.Session.Get(ctx, keys)
}

type lostAnswer struct{ err error }

func (l lostAnswer) Wait() error { return l.err }

// testCluster is nodes on one disk.
type testCluster struct {
	t       *testing.T
	disk    *mem.Disk
	outside map[string]Outside
	joined  atomic.Int32
	carried atomic.Int32 // questions about messages
	mu      sync.Mutex
	nodes   []*testNode
}

// testPeers is one node's way to the others. A node that is cut off from the
// store is cut off from them too, and an answer that comes then is lost.
type testPeers struct {
	*testCluster
	wire *wire
}

func (c *testPeers) Ask(ctx context.Context, to store.Node, q []byte) ([]byte, error) {
	if bytes.Contains(q, []byte(`"Op":"many"`)) || bytes.Contains(q, []byte(`"Op":"submit"`)) {
		c.carried.Add(1)
	}
	for _, n := range c.all() {
		if n.address != to.Address {
			continue
		}
		if n.wire.silent.Load() {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if c.wire.cut.Load() || n.wire.cut.Load() {
			return nil, ErrNotAsked
		}
		a := n.Answer(ctx, q)
		if c.wire.cut.Load() || n.wire.cut.Load() {
			return nil, errCut
		}
		return a, nil
	}
	return nil, ErrNotAsked
}

type testNode struct {
	*Engine
	wire    *wire
	address string
}

func newTestCluster(t *testing.T, nodes int, outside map[string]Outside) *testCluster {
	c := &testCluster{t: t, disk: mem.New(mem.Shards(8), mem.RemoteReads(), mem.Shared(testLease, time.Now)), outside: outside}
	for range nodes {
		c.join()
	}
	return c
}

func (c *testCluster) join() *testNode {
	w := &wire{Opener: c.disk}
	address := fmt.Sprint(c.joined.Add(1))
	n := &testNode{start(c.t, w, Config{GiveUpGrace: 5 * time.Second, Address: address, Peers: &testPeers{c, w}}, c.outside), w, address}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = append(c.nodes, n)
	return n
}

func (c *testCluster) all() []*testNode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*testNode(nil), c.nodes...)
}

// until waits for what the rosters will show.
func (c *testCluster) until(what string, ok func() bool) {
	c.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("it never came to this: %s", what)
		}
	}
}

// runs are the shards that the node's loops run.
func (n *testNode) runs() (shards int) {
	for _, sh := range n.shards {
		if sh.reign.Load()%2 == 1 && sh.mine() {
			shards++
		}
	}
	return shards
}

// call asks nodes until one knows.
func (c *testCluster) call(ctx context.Context, m func() *message.Message) core.Answer {
	for i := rand.IntN(100); ; i++ {
		nodes := c.all()
		a := nodes[i%len(nodes)].Submit(ctx, m(), false)
		if a.Fault == nil || ctx.Err() != nil {
			return a
		}
		switch a.Fault.Code {
		case message.CodeStoreUnavailable, message.CodeCommitUnknown, message.CodeInFlight, message.CodeClosed:
		default:
			return a
		}
	}
}

// Nodes that come and go share the shards in equal parts, and each shard has one
// node.
func TestNodesShareTheShards(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 1, nil)
	c.until("one node has all", func() bool { return c.nodes[0].runs() == 8 })
	b := c.join()
	c.until("two have four each", func() bool { return c.nodes[0].runs() == 4 && b.runs() == 4 })
	d := c.join()
	c.until("three have three, three and two", func() bool {
		x, y, z := c.nodes[0].runs(), b.runs(), d.runs()
		return x+y+z == 8 && min(x, y, z) == 2
	})
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.until("the others have four each", func() bool { return c.nodes[0].runs() == 4 && d.runs() == 4 })
	for i, sh := range c.nodes[0].shards {
		if sh.mine() == d.shards[i].mine() {
			t.Errorf("shard %d is that of both nodes, or of none", i)
		}
	}
}

// FAULTS 13, 27: a node that cannot reach the store loses its shards when its
// lease is over, and not much later others have them; when it is back it has
// its part again.
func TestANodeThatIsCutOff(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 2, nil)
	a, b := c.nodes[0], c.nodes[1]
	c.until("both have four", func() bool { return a.runs() == 4 && b.runs() == 4 })
	a.wire.cut.Store(true)
	c.until("the other has all", func() bool { return b.runs() == 8 })
	if n := a.runs(); n != 0 {
		t.Errorf("the node that is cut off runs %d shards still", n)
	}
	if err := a.Ready(); err == nil {
		t.Error("the node that is cut off calls itself ready")
	}
	a.wire.cut.Store(false)
	c.until("both have four again", func() bool { return a.runs() == 4 && b.runs() == 4 })
	if err := a.Ready(); err != nil {
		t.Error(err)
	}
}

// A shard is given away without a call that fails, and its effects are finished
// first: the next node has nothing in doubt.
func TestGivingAway(t *testing.T) {
	t.Parallel()
	release, called := make(chan struct{}), make(chan struct{}, 1)
	var calls atomic.Int32
	c := newTestCluster(t, 1, map[string]Outside{"outside": {Call: func(context.Context, core.EffectJob) core.EffectResult {
		calls.Add(1)
		called <- struct{}{}
		<-release
		return core.EffectResult{Status: message.StatusDone, Body: []byte("5")}
	}}})
	a := c.nodes[0]
	c.until("one node has all", func() bool { return a.runs() == 8 })
	answer := make(chan core.Answer, 1)
	m := func() *message.Message { return keyed(t, "x", "call", "k", 5) }
	go func() { answer <- c.call(t.Context(), m) }()
	<-called
	sh := a.shardOf(agent("x"))
	sh.giveAway()
	for range 3 { // it stays as long as the call lasts
		if a := a.Submit(t.Context(), keyed(t, "x", "add", "other", 1), false); a.Fault != nil {
			t.Fatalf("while an effect runs: %v", a.Fault)
		}
	}
	b := c.join()
	close(release)
	c.until("both have four", func() bool { return a.runs() == 4 && b.runs() == 4 })
	if got := <-answer; got.Fault != nil || got.Outcome.Status != message.StatusDone {
		t.Errorf("answer %+v", got)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// FAULTS 26: a node stands still while it is asked. Who waits for it is answered
// by the one that takes its shards, however patient he is.
func TestANodeStandsStill(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 2, nil)
	a, b := c.nodes[0], c.nodes[1]
	c.until("both have four", func() bool { return a.runs() == 4 && b.runs() == 4 })
	b.wire.cut.Store(true)
	b.wire.silent.Store(true)
	var batch []*message.Message
	for i := range 40 {
		batch = append(batch, keyed(t, fmt.Sprint(i), "add", "k", i))
	}
	a.SubmitAll(context.Background(), batch, false, func(i int, ans core.Answer) {
		if ans.Fault != nil {
			t.Errorf("call %d: %v", i, ans.Fault)
		}
	})
	for i := range 40 {
		if ans := a.Submit(context.Background(), keyed(t, fmt.Sprint(i), "add", "l", i), false); ans.Fault != nil {
			t.Errorf("call %d: %v", i, ans.Fault)
		}
	}
}

// A shard that no node can open hides nothing of the others: they are listed, and
// then it is said that one is missing.
func TestAShardThatNobodyHas(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := newTestCluster(t, 1, nil)
	a := c.nodes[0]
	c.until("one node has all", func() bool { return a.runs() == 8 })
	elsewhere := 0
	for i := range 20 {
		if ans := a.Submit(ctx, keyed(t, fmt.Sprint(i), "add", "k", i), false); ans.Fault != nil {
			t.Fatal(ans.Fault)
		}
		if a.shardOf(agent(fmt.Sprint(i))).id != 0 {
			elsewhere++
		}
	}
	a.wire.barred.Store(1)
	a.shards[0].queue.push(event{run: func(*core.Shard) { a.shards[0].readFailed(errCut) }})
	c.until("one shard is away", func() bool { return a.runs() == 7 || a.shards[0].down() != nil })
	agents, ended := 0, false
	for _, err := range a.Agents(ctx, message.DefaultTenant, "counter", "") {
		if ended = err != nil; !ended {
			agents++
		}
	}
	if agents != elsewhere || !ended {
		t.Errorf("%d agents of %d are listed, with an error: %v", agents, elsewhere, ended)
	}
	if ans := a.RetryDead(ctx, message.ID{1}); ans.Fault == nil || ans.Fault.Code != message.CodeStoreUnavailable {
		t.Errorf("a dead letter that may be there: %+v", ans)
	}
	if _, _, err := a.Effect(ctx, message.ID{1}); err == nil {
		t.Error("an effect that may be there is said to be unknown")
	}
	a.wire.barred.Store(0)
	c.until("all are there again", func() bool { return a.runs() == 8 })
}

// A node that leaves has its shards taken while it goes on answering, and the one
// that is left alone keeps them.
func TestLeaving(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := newTestCluster(t, 2, nil)
	a, b := c.nodes[0], c.nodes[1]
	c.until("both have four", func() bool { return a.runs() == 4 && b.runs() == 4 })
	if err := a.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	if n := a.runs(); n != 0 {
		t.Errorf("a node that left runs %d shards", n)
	}
	for i := range 20 {
		if ans := a.Submit(ctx, keyed(t, fmt.Sprint(i), "add", "k", 1), false); ans.Fault != nil {
			t.Errorf("a node that left answers %v", ans.Fault)
		}
	}
	if err := a.Ready(); err == nil {
		t.Error("a node that left calls itself ready")
	}
	if err := a.Close(ctx); err != nil {
		t.Fatal(err)
	}
	c.until("the other has all", func() bool { return b.runs() == 8 })
	if err := b.Leave(ctx); err != nil || b.runs() != 8 {
		t.Errorf("a node that nobody can replace runs %d shards of 8: %v", b.runs(), err)
	}
}

// FAULTS 1-4, 13, 26-29: whatever becomes of the nodes, each key counts once.
func TestEachKeyOnceInACluster(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3, nil)
	ctx, stop := context.WithCancel(t.Context())
	var trouble, load sync.WaitGroup
	trouble.Go(func() {
		for round := 0; ctx.Err() == nil; round++ {
			nodes := c.all()
			n := nodes[rand.IntN(len(nodes))]
			switch round % 3 {
			case 0, 1: // for longer than a lease, and for less
				n.wire.cut.Store(true)
				pause(ctx, testLease*time.Duration(1+round%3*2)/2)
				n.wire.cut.Store(false)
			case 2:
				if err := n.Close(ctx); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				c.mu.Lock()
				for i := range c.nodes {
					if c.nodes[i] == n {
						c.nodes = append(c.nodes[:i:i], c.nodes[i+1:]...)
						break
					}
				}
				c.mu.Unlock()
				c.join()
			}
		}
	})
	const callers, keys, agents = 8, 20, 10
	for i := range callers {
		load.Go(func() {
			for k := range keys {
				m := func() *message.Message { return keyed(t, fmt.Sprint(k%agents), "add", fmt.Sprintf("%d-%d", i, k), 1) }
				first := c.call(t.Context(), m)
				again := c.call(t.Context(), m)
				if first.Fault != nil || again.Fault != nil || string(first.Outcome.Body) != string(again.Outcome.Body) || !again.Replayed {
					t.Errorf("first %+v, then %+v", first, again)
				}
				pause(t.Context(), time.Duration(rand.IntN(10))*time.Millisecond)
			}
		})
	}
	load.Wait()
	stop()
	trouble.Wait()
	for id := range agents {
		want := fmt.Sprintf("[%d,%d]", callers*keys/agents, callers*keys/agents)
		c.until("an agent has "+want, func() bool {
			for _, n := range c.all() {
				if a := read(t.Context(), n.Engine, fmt.Sprint(id)); a.Fault == nil {
					if got := string(a.Outcome.Body); got != want {
						t.Fatalf("agent %d: %s, want %s", id, got, want)
					}
					return true
				}
			}
			return false
		})
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Any node answers for any agent, whatever is asked, and messages between agents
// of two nodes' shards arrive.
func TestAnyNodeMayBeAsked(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := newTestCluster(t, 2, nil)
	a, b := c.nodes[0], c.nodes[1]
	c.until("both have four", func() bool { return a.runs() == 4 && b.runs() == 4 })
	c.until("one knows what the other has", func() bool {
		return !slices.ContainsFunc(a.shards, func(sh *shard) bool {
			_, known := sh.tenancy.holder(sh.id)
			return !sh.mine() && !known
		})
	})
	var batch []*message.Message
	for i := range 20 {
		batch = append(batch, keyed(t, fmt.Sprint(i), "add", "k", i))
	}
	told := 0
	a.SubmitAll(ctx, batch, false, func(i int, ans core.Answer) {
		if told++; ans.Fault != nil || string(ans.Outcome.Body) != fmt.Sprint(i) {
			t.Errorf("call %d: %+v", i, ans)
		}
	})
	if n := c.carried.Load(); n != 1 {
		t.Errorf("a batch for one other node took %d questions", n)
	}
	if told != len(batch) {
		t.Errorf("%d answers to %d calls", told, len(batch))
	}
	for i := range 20 {
		id := fmt.Sprint(i)
		for _, n := range c.nodes {
			if got := read(ctx, n.Engine, id); got.Fault != nil || string(got.Outcome.Body) != fmt.Sprintf("[%d,1]", i) {
				t.Errorf("agent %s: %+v", id, got)
			}
			if ans := n.Submit(ctx, keyed(t, id, "add", "k", i), false); ans.Fault != nil || !ans.Replayed {
				t.Errorf("agent %s again: %+v", id, ans)
			}
			if o, err := n.Outcome(ctx, agent(id), message.Anonymous, "k"); err != nil || o == nil || string(o.Body) != id {
				t.Errorf("outcome of agent %s: %+v, %v", id, o, err)
			}
			keys := 0
			for e, err := range n.Outcomes(ctx, agent(id), "") {
				if err != nil || e.Key != "k" {
					t.Errorf("outcomes of agent %s: %+v, %v", id, e, err)
				}
				keys++
			}
			if keys != 1 {
				t.Errorf("agent %s has %d outcomes", id, keys)
			}
		}
	}
	for _, n := range c.nodes {
		agents := 0
		for _, err := range n.Agents(ctx, message.DefaultTenant, "counter", "") {
			if err != nil {
				t.Fatal(err)
			}
			agents++
		}
		if agents != 20 {
			t.Errorf("a node lists %d agents of 20", agents)
		}
	}
	for i := 100; i < 120; i++ {
		if ans := a.Submit(ctx, keyed(t, fmt.Sprint(i), "pass", "p", 7), false); ans.Fault != nil {
			t.Error(ans.Fault)
		}
	}
	for i := 100; i < 120; i++ {
		c.until("what was sent arrives", func() bool {
			got := read(ctx, b.Engine, fmt.Sprint(2*i))
			return got.Fault == nil && string(got.Outcome.Body) == "[7,1]"
		})
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	for i := range batch { // wherever the shard is: nothing of how the nodes talk is told
		ans := []core.Answer{a.Submit(over, keyed(t, fmt.Sprint(i), "add", "late", 1), false)}
		a.SubmitAll(over, []*message.Message{keyed(t, fmt.Sprint(i), "add", "late too", 1)}, false, func(_ int, got core.Answer) { ans = append(ans, got) })
		for _, ans := range ans {
			if f := ans.Fault; f != nil && f.Code != message.CodeCanceled {
				t.Errorf("agent %d: a caller that gave up is told %s", i, f.Code)
			}
		}
	}
	if ans := a.Remove(ctx, agent("3")); ans.Fault != nil {
		t.Error(ans.Fault)
	}
	for _, n := range c.nodes {
		if got := read(ctx, n.Engine, "3"); got.Fault == nil && string(got.Outcome.Body) != "[0,0]" {
			t.Errorf("an agent that was removed: %+v", got)
		}
	}
	if ans := b.RetryDead(ctx, message.ID{1}); ans.Fault == nil || ans.Fault.Code != message.CodeUnknownDead {
		t.Errorf("a dead letter that is none: %+v", ans)
	}
}
