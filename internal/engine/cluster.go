package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// cluster is a node among others: its tenancies, one for each place of shards that
// has leases of its own (store.Divided). They know nothing of each other. A place
// that cannot be reached has no node that runs its shards; the others go on.
type cluster struct {
	engine *Engine
	self   store.Node
	parts  []*tenancy
	hints  chan remoteHint
}

// newCluster is nil for a store that one process has for itself.
func newCluster(e *Engine) (*cluster, error) {
	if e.profile.Exclusive {
		return nil, nil
	}
	var places []store.Division
	switch st := e.store.(type) {
	case store.Divided:
		places = st.Divisions()
	case store.Leaser:
		places = []store.Division{{Leaser: st}}
		for i := range e.store.Shards() {
			places[0].Shards = append(places[0].Shards, message.Shard(i))
		}
	default:
		return nil, fmt.Errorf("the store %s is neither one process's alone nor does it know leases", e.profile.Name)
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // it does not fail
	c := &cluster{engine: e, hints: make(chan remoteHint, hintsWaiting)}
	c.self = store.Node{ID: hex.EncodeToString(id[:]), Name: e.cfg.Owner, Address: e.cfg.Address}
	for i, p := range places {
		t := &tenancy{
			engine: e, number: i, leaser: p.Leaser, lease: e.profile.Lease, node: c.self,
			soon: make(chan struct{}, 1), changed: make(chan struct{}),
		}
		c.parts = append(c.parts, t)
	}
	return c, c.join(places)
}

// join makes the shards, each with the tenancy of its place.
func (c *cluster) join(places []store.Division) error {
	e := c.engine
	of := make([]*tenancy, e.store.Shards())
	for i, p := range places {
		for _, id := range p.Shards {
			if int(id) >= len(of) || of[id] != nil {
				return fmt.Errorf("the store %s has shard %d in no place, or in two", e.profile.Name, id)
			}
			of[id] = c.parts[i]
		}
	}
	for i, t := range of {
		if t == nil {
			return fmt.Errorf("the store %s has shard %d nowhere", e.profile.Name, i)
		}
		sh := newShard(e, message.Shard(i))
		sh.tenancy = t
		sh.clean.Store(true)
		t.shards = append(t.shards, sh)
		e.shards = append(e.shards, sh)
	}
	return nil
}

// start takes the node's part and begins to keep its leases. One place must be
// there; the others are joined when they are.
func (c *cluster) start(ctx context.Context) error {
	errs := make([]error, len(c.parts))
	var all sync.WaitGroup
	for i, t := range c.parts {
		all.Go(func() {
			ctx := ctx
			if len(c.parts) > 1 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, t.lease)
				defer cancel()
			}
			errs[i] = t.keep(ctx)
		})
	}
	all.Wait()
	if !slices.Contains(errs, nil) {
		return fmt.Errorf("join the cluster: %w", errors.Join(errs...))
	}
	c.engine.running.Add(len(c.parts) + 1)
	for _, t := range c.parts {
		go t.run()
	}
	go c.sendHints()
	return nil
}

// divided says whether shards may be out of reach while others are not.
func (c *cluster) divided() bool { return c != nil && len(c.parts) > 1 }

// ready says why the node has no part in the cluster. Of several places, one that
// is in order is enough: callers who want the others are told so.
func (c *cluster) ready() error {
	if c == nil {
		return nil
	}
	var errs []error
	for _, t := range c.parts {
		err := t.ready()
		if err == nil && c.divided() {
			err = troubleOf(t.shards)
		}
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// troubleOf is why one of the shards is down.
func troubleOf(shards []*shard) error {
	for _, sh := range shards {
		// What a failover has set back is no better off at another node.
		if err := sh.trouble(); err != nil && !(sh.tenancy != nil && errors.Is(err, store.ErrLost)) {
			return fmt.Errorf("shard %d: %w", sh.id, err)
		}
	}
	return nil
}

// resign has all shards given away, for good.
func (c *cluster) resign() {
	if c == nil {
		return
	}
	for _, t := range c.parts {
		t.resign()
	}
}

// Leave has other nodes take this one's shards, while it goes on answering: what
// is about them is asked there. It returns when nothing runs here any more; Close
// comes next. Where nobody else lives the shards stay until then.
func (e *Engine) Leave(ctx context.Context) error {
	if e.cluster == nil {
		return nil
	}
	tick := time.NewTicker(leaveTick)
	defer tick.Stop()
	for _, t := range e.cluster.parts {
		t.refresh(ctx) // others may leave at the same moment
		if t.alone() {
			continue
		}
		t.resign()
		for slices.ContainsFunc(t.shards, (*shard).mine) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("effects of shards that other nodes are to have still run: %w", ctx.Err())
			case <-e.ctx.Done():
				return nil
			}
		}
	}
	return nil
}

// refresh returns when the roster was read after the call, or after a lease.
func (t *tenancy) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, t.lease)
	defer cancel()
	asked := time.Now()
	for tick := time.NewTicker(leaveTick); ; {
		if kept := t.kept.Load(); kept != nil && kept.After(asked) {
			tick.Stop()
			return
		}
		t.hurry()
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return
		}
	}
}

const leaveTick = 5 * time.Millisecond

// leave ends the leases, when the loops are at rest.
func (c *cluster) leave() error {
	if c == nil {
		return nil
	}
	errs := make([]error, len(c.parts))
	var all sync.WaitGroup
	for i, t := range c.parts {
		all.Go(func() { errs[i] = t.leave() })
	}
	all.Wait()
	return errors.Join(errs...)
}

// roster is who lives anywhere, and who holds what. Of several places, one that is
// away counts nobody in.
func (c *cluster) roster() store.Roster {
	if !c.divided() {
		return c.parts[0].now()
	}
	r := store.Roster{Holders: make([]string, len(c.engine.shards))}
	for _, t := range c.parts {
		if !t.valid() {
			continue
		}
		its := t.now()
		for _, n := range its.Nodes {
			if !slices.ContainsFunc(r.Nodes, func(o store.Node) bool { return o.ID == n.ID }) {
				r.Nodes = append(r.Nodes, n)
			}
			for _, sh := range t.shards {
				if its.Holders[sh.id] == n.ID {
					r.Holders[sh.id] = n.ID
				}
			}
		}
	}
	slices.SortFunc(r.Nodes, func(a, b store.Node) int { return strings.Compare(a.ID, b.ID) })
	return r
}

// Roster is who lives and who holds what, as this node heard last, and which of
// them it is. Of a store that one process has for itself that process is all.
func (e *Engine) Roster() (r store.Roster, self string, err error) {
	if f := e.notRunning(); f != nil {
		return r, "", f
	}
	if c := e.cluster; c != nil {
		return c.roster(), c.self.ID, nil
	}
	self = e.cfg.Owner
	r.Nodes = []store.Node{{ID: self, Name: self}}
	for range e.shards {
		r.Holders = append(r.Holders, self)
	}
	return r, self, nil
}
