package migrate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// tenure is the mover's part in the cluster of a store: a node that holds every
// shard, until the move ends. So a server that starts meanwhile waits, and does
// not take a shard from between two marks. It is nil for a store that one
// process has.
type tenure struct {
	leaser store.Leaser
	node   store.Node
	lease  time.Duration
	claims []claim // by shard
	stop   context.CancelFunc
	kept   chan struct{} // closed when the lease is renewed no longer
}

type claim struct{ held, clean bool }

// occupy waits until no node of a cluster has the store, for as long as one that
// died may still have its lease, if need be, and claims all shards. A node that
// lives is not fenced by mistake.
func occupy(ctx context.Context, s Side, owner string) (*tenure, error) {
	leaser, ok := s.Store.(store.Leaser)
	if !ok || s.Store.Profile().Exclusive {
		return nil, nil
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // it does not fail
	t := &tenure{
		leaser: leaser, lease: s.Store.Profile().Lease, claims: make([]claim, s.Store.Shards()), kept: make(chan struct{}),
		node: store.Node{ID: hex.EncodeToString(id[:]), Name: owner, Leaving: true},
	}
	keeping, stop := context.WithCancel(ctx)
	t.stop = stop
	go t.keep(keeping)
	if err := t.begin(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", s.Name, err), t.end(ctx, nil))
	}
	return t, nil
}

func (t *tenure) begin(ctx context.Context) error {
	deadline := time.Now().Add(t.lease + time.Second)
	for {
		roster, err := t.leaser.Keep(ctx, t.node)
		if err != nil {
			return err
		}
		var living []string
		for _, n := range roster.Nodes {
			if n.ID != t.node.ID {
				living = append(living, n.Name)
			}
		}
		if len(living) > 0 && time.Now().After(deadline) {
			return fmt.Errorf("%w: %s; stop them first", ErrInUse, strings.Join(living, ", "))
		}
		if len(living) == 0 {
			if all, err := t.claim(ctx); all || err != nil {
				return err
			}
		}
		wait := time.NewTimer(100 * time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
	}
}

// claim claims the shards that are not held yet. It reports false if a node that
// began since has one.
func (t *tenure) claim(ctx context.Context) (all bool, err error) {
	for shard := range t.claims {
		if t.claims[shard].held {
			continue
		}
		c, ok, err := t.leaser.Claim(ctx, t.node.ID, message.Shard(shard))
		if err != nil || !ok {
			return false, err
		}
		t.claims[shard] = claim{held: true, clean: c.Clean}
	}
	return true, nil
}

// keep renews the lease. That it cannot is no error: servers may then try to own
// shards, and the move's sessions go on to say that they do not.
func (t *tenure) keep(ctx context.Context) {
	defer close(t.kept)
	turns := time.NewTicker(t.lease / 5)
	defer turns.Stop()
	for {
		select {
		case <-turns.C:
		case <-ctx.Done():
			return
		}
		turn, cancel := context.WithTimeout(ctx, t.lease/2)
		_, _ = t.leaser.Keep(turn, t.node)
		cancel()
	}
}

// unclean says whether a shard's last holder did not give it up in order.
func (t *tenure) unclean() bool {
	if t != nil {
		for _, c := range t.claims {
			if c.held && !c.clean {
				return true
			}
		}
	}
	return false
}

// end frees the shards. Those that settled names, of which the marks say how the
// last server ended, are left clean; the others are as they were found. It takes
// no longer than a lease, after which they are free anyway.
func (t *tenure) end(ctx context.Context, settled func(message.Shard) bool) error {
	if t == nil {
		return nil
	}
	t.stop()
	<-t.kept
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.lease)
	defer cancel()
	var err error
	for i := 0; i < len(t.claims) && err == nil; i++ {
		shard := message.Shard(i)
		if c := t.claims[i]; c.held {
			err = t.leaser.Release(ctx, t.node.ID, shard, c.clean || settled != nil && settled(shard))
		}
	}
	return errors.Join(err, t.leaser.Leave(ctx, t.node.ID))
}
