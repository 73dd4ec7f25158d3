package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// A node of a cluster runs the shards that it holds. For each place of shards that
// has leases of its own, one or several (cluster.go), a goroutine keeps the node's
// lease there, claims shards that are free while the node has less than its
// part, and has the loops give shards away while it has more. It decides who
// tries; the fence of the sessions decides who may.
//
//  1. A loop works only while its duty is dutyOwn or dutyGive, and the node's
//     lease, as the node measured it from before it asked, is not over.
//  2. Only the tenancy begins a duty, and only after the store said that the
//     node holds the shard. The loop ends it, or hears that it is over.
//
// So when another node holds the shard, every call of an effect that this one
// made began before its lease was over: settling times count on that.

// duty is what a loop is to do with its shard, or did.
type duty int32

const (
	dutyAway   duty = iota // nothing: it is another node's, or nobody's
	dutyOwn                // run it
	dutyGive               // bring it to rest, then leave it
	dutyRested             // the loop left it, with nothing under way
	dutyLeft               // the loop left it as it was: its session was lost, or the lease was over
)

// tenancy is a node's part in one place of shards. It is safe for concurrent use.
type tenancy struct {
	engine *Engine
	number int // among the places, the same for all nodes
	shards []*shard
	leaser store.Leaser
	node   store.Node
	lease  time.Duration

	kept    atomic.Pointer[time.Time] // when the lease was last renewed: before the store was asked
	leaving atomic.Bool               // every shard is to be given away
	soon    chan struct{}             // the roster is to be read at once

	mu      sync.Mutex
	roster  store.Roster
	gone    map[string][]*func() // by node, who wants to hear that its lease is over
	changed chan struct{}        // closed when the roster changes
	err     error                // why the lease could not be kept, the last time
}

// keepTurns is how often a lease is renewed in its time: a few renewals may
// fail before it is over.
const keepTurns = 5

// valid says whether the node's lease goes on.
// The monotonic clock stands still while the host is suspended, and the wall
// clock may be set back (FAULTS 32): what is later counts.
func (t *tenancy) valid() bool {
	if t == nil {
		return true
	}
	kept := t.kept.Load()
	if kept == nil {
		return false
	}
	now := time.Now()
	return max(now.Sub(*kept), now.Round(0).Sub(kept.Round(0))) < t.lease
}

func (t *tenancy) run() {
	defer t.engine.running.Done()
	ctx := t.engine.ctx
	every := t.lease / keepTurns
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-t.soon:
		case <-ctx.Done():
			return
		}
		turn, cancel := context.WithTimeout(ctx, t.lease/2)
		err := t.keep(turn)
		if err == nil {
			err = t.balance(turn)
		}
		cancel()
		if err != nil && ctx.Err() == nil {
			t.engine.cfg.Logger.Warn("the node's part in the cluster cannot be kept; it is tried again", "error", err)
		}
		timer.Reset(every)
		select { // those who hurry are many when the store is in trouble
		case <-time.After(hurryAtMost):
		case <-ctx.Done():
			return
		}
	}
}

// hurryAtMost is the least time between two looks at the roster.
const hurryAtMost = 20 * time.Millisecond

// hurry has the roster read at once.
func (t *tenancy) hurry() {
	select {
	case t.soon <- struct{}{}:
	default:
	}
}

// keep renews the lease and takes shards off this node that it has no longer.
func (t *tenancy) keep(ctx context.Context) error {
	sent := time.Now()
	n := t.node
	n.Leaving = t.leaving.Load()
	r, err := t.leaser.Keep(ctx, n)
	if err == nil && len(r.Holders) != t.engine.store.Shards() {
		err = fmt.Errorf("the roster is of %d shards, the store has %d", len(r.Holders), t.engine.store.Shards())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err = err; err != nil {
		return err
	}
	t.kept.Store(&sent)
	if !slices.Equal(r.Holders, t.roster.Holders) || !slices.Equal(r.Nodes, t.roster.Nodes) {
		close(t.changed)
		t.changed = make(chan struct{})
	}
	t.roster = r
	for id, all := range t.gone {
		if !slices.ContainsFunc(r.Nodes, func(n store.Node) bool { return n.ID == id }) {
			for _, tell := range all {
				(*tell)()
			}
			delete(t.gone, id)
		}
	}
	for _, sh := range t.shards {
		if r.Holders[sh.id] != t.node.ID {
			sh.dismiss()
		}
	}
	return nil
}

// balance settles what became of the shards that the node holds, claims what is
// free, and gives away what is too much.
func (t *tenancy) balance(ctx context.Context) error {
	var mine []*shard
	holders := t.now().Holders
	for _, sh := range t.shards {
		if holders[sh.id] != t.node.ID {
			continue
		}
		switch duty(sh.duty.Load()) {
		case dutyRested:
			if err := t.leaser.Release(ctx, t.node.ID, sh.id, true); err != nil {
				return err
			}
			sh.dismiss()
			continue
		case dutyAway, dutyLeft: // the answer to a claim was lost, or the session was, and nobody took it
			if err := t.claim(ctx, sh); err != nil {
				return err
			}
		}
		mine = append(mine, sh)
	}
	part := t.part()
	for len(mine) > part {
		mine[len(mine)-1].giveAway()
		mine = mine[:len(mine)-1]
	}
	for _, sh := range t.free() {
		if len(mine) >= part || t.leaving.Load() {
			break
		}
		if err := t.claim(ctx, sh); err != nil {
			return err
		}
		mine = append(mine, sh) // or another node has it by now: the next turn sees
	}
	return nil
}

func (t *tenancy) claim(ctx context.Context, sh *shard) error {
	c, ok, err := t.leaser.Claim(ctx, t.node.ID, sh.id)
	if err == nil && ok {
		sh.take(c.Clean)
	}
	return err
}

// now is the roster as the store gave it last.
func (t *tenancy) now() store.Roster {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.roster
}

// holder is the node that holds a shard, as far as this one knows, if it is
// another one that lives and can be reached.
func (t *tenancy) holder(shard message.Shard) (store.Node, bool) {
	r := t.now()
	for _, n := range r.Nodes { // none before the first roster
		if n.ID == r.Holders[shard] {
			return n, n.ID != t.node.ID && n.Address != ""
		}
	}
	return store.Node{}, false
}

// whenGone calls tell, which must not wait, when a node's lease is found to be over,
// unless forget is called before.
func (t *tenancy) whenGone(node string, tell func()) (forget func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone == nil {
		t.gone = make(map[string][]*func())
	}
	t.gone[node] = append(t.gone[node], &tell)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if all := slices.DeleteFunc(t.gone[node], func(f *func()) bool { return f == &tell }); len(all) > 0 {
			t.gone[node] = all
		} else {
			delete(t.gone, node)
		}
	}
}

// watch is closed when the roster changes.
func (t *tenancy) watch() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// part is how many shards are this node's. All nodes come to the same division,
// so that none gives what another would not take.
func (t *tenancy) part() int {
	r := t.now()
	place, nodes := -1, 0
	for _, n := range r.Nodes {
		if n.Leaving {
			continue
		}
		if n.ID == t.node.ID {
			place = nodes
		}
		nodes++
	}
	if place < 0 || t.leaving.Load() {
		return 0
	}
	part := len(t.shards) / nodes
	if (place+t.number)%nodes < len(t.shards)%nodes { // others have one more elsewhere
		part++
	}
	return part
}

// free are the shards whose holder is nobody, or no node that lives. Nodes begin
// at different ones, so that they seldom want the same.
func (t *tenancy) free() (free []*shard) {
	r := t.now()
	first := int(t.node.ID[0])
	for i := range t.shards {
		sh := t.shards[(first+i)%len(t.shards)]
		if lives := slices.ContainsFunc(r.Nodes, func(n store.Node) bool { return n.ID == r.Holders[sh.id] }); !lives {
			free = append(free, sh)
		}
	}
	return free
}

// ready says why the node has no part in the cluster.
func (t *tenancy) ready() error {
	if t.leaving.Load() {
		return errors.New("it leaves; other nodes have its shards")
	}
	if t.valid() {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(errors.New("the node's lease is over and is not renewed"), t.err)
}

// resign has the shards given away, for good.
func (t *tenancy) resign() {
	t.leaving.Store(true)
	t.hurry()
}

// alone says whether no other node stays.
func (t *tenancy) alone() bool {
	return !slices.ContainsFunc(t.now().Nodes, func(n store.Node) bool { return n.ID != t.node.ID && !n.Leaving })
}

// leave ends the lease, when the loops are at rest: the shards are free at once.
func (t *tenancy) leave() error {
	if t.kept.Load() == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), t.lease)
	defer cancel()
	var errs []error
	for _, sh := range t.shards {
		if duty(sh.duty.Load()) == dutyRested {
			errs = append(errs, t.leaser.Release(ctx, t.node.ID, sh.id, true))
		}
	}
	return errors.Join(append(errs, t.leaser.Leave(ctx, t.node.ID))...)
}
