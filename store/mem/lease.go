package mem

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// leases are who lives and who holds what, on a disk that is shared. They
// survive a crash of the disk: what they are for is only to spare work.
type leases struct {
	nodes  map[string]tenant
	shards []holding
}

type tenant struct {
	node  store.Node
	until time.Time
}

type holding struct {
	holder string // ID of a node; "" for nobody
	clean  bool   // the last holder gave it up with nothing under way
}

func newLeases(shards int) leases {
	l := leases{nodes: make(map[string]tenant), shards: make([]holding, shards)}
	for i := range l.shards {
		l.shards[i].clean = true
	}
	return l
}

// Keep renews a node's lease.
func (s *Store) Keep(ctx context.Context, n store.Node) (r store.Roster, err error) {
	err = s.leased(ctx, "keep", 0, func(l *leases, now time.Time) {
		l.nodes[n.ID] = tenant{n, now.Add(s.disk.opt.lease)}
		for _, t := range l.nodes {
			if t.until.After(now) {
				r.Nodes = append(r.Nodes, t.node)
			}
		}
		slices.SortFunc(r.Nodes, func(a, b store.Node) int { return strings.Compare(a.ID, b.ID) })
		for _, h := range l.shards {
			r.Holders = append(r.Holders, h.holder)
		}
	})
	return r, err
}

// Claim makes the node the holder of a shard that is free.
func (s *Store) Claim(ctx context.Context, node string, shard message.Shard) (c store.Claim, ok bool, err error) {
	err = s.leased(ctx, "claim", shard, func(l *leases, now time.Time) {
		h := &l.shards[shard]
		if h.holder != "" && h.holder != node && l.nodes[h.holder].until.After(now) {
			return
		}
		if h.holder != "" && h.holder != node {
			h.clean = false
		}
		h.holder = node
		c, ok = store.Claim{Clean: h.clean}, true
	})
	return c, ok, err
}

// Release gives a shard up.
func (s *Store) Release(ctx context.Context, node string, shard message.Shard, clean bool) error {
	return s.leased(ctx, "release", shard, func(l *leases, _ time.Time) {
		if h := &l.shards[shard]; h.holder == node {
			*h = holding{clean: clean}
		}
	})
}

// Leave ends a node's lease.
func (s *Store) Leave(ctx context.Context, node string) error {
	return s.leased(ctx, "leave", 0, func(l *leases, _ time.Time) {
		delete(l.nodes, node)
		for i := range l.shards {
			if l.shards[i].holder == node {
				l.shards[i] = holding{}
			}
		}
	})
}

// Lapse makes a node's lease be over.
func (d *Disk) Lapse(node string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.leases.nodes[node]
	t.until = time.Time{}
	d.leases.nodes[node] = t
}

func (s *Store) leased(ctx context.Context, what string, shard message.Shard, do func(*leases, time.Time)) error {
	d := s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	err := ctx.Err()
	switch {
	case err != nil:
	case d.opt.lease == 0:
		err = fmt.Errorf("the disk is not shared")
	case int(shard) >= len(d.shards):
		err = fmt.Errorf("the store has %d shards", len(d.shards))
	default:
		err = s.err()
	}
	if err != nil {
		return fmt.Errorf("%s shard %d: %w", what, shard, err)
	}
	do(&d.leases, d.opt.now())
	return nil
}
