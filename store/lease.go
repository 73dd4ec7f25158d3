package store

import (
	"context"

	"github.com/semel-dev/semel/message"
)

// Leaser is a store that many processes have open at once (Profile.Exclusive
// is false). It says who may try to own a shard, and for how long, by its own
// clock: those of the nodes do not matter (FAULTS 31). Leases decide who tries;
// the fence of a session decides who may. A node has one lease, Profile.Lease
// long, for all of its shards.
//
// Any of these calls may be repeated when its answer was lost.
type Leaser interface {
	// Keep says that a node lives, and goes on living for a lease from now. It
	// returns who else does, and who holds which shard.
	Keep(ctx context.Context, n Node) (Roster, error)
	// Claim makes the node the holder of a shard whose holder is nobody, itself,
	// or a node whose lease is over. It reports false if another one holds it.
	Claim(ctx context.Context, node string, shard message.Shard) (Claim, bool, error)
	// Release gives a shard up, if the node holds it. clean says that nothing of
	// it is under way any more.
	Release(ctx context.Context, node string, shard message.Shard, clean bool) error
	// Leave ends a node's lease. Shards that it still holds are free at once,
	// and not clean.
	Leave(ctx context.Context, node string) error
}

// Node is one process of a cluster.
type Node struct {
	ID      string // of this run of the process alone: a later one is another node
	Name    string // for people
	Address string // where other nodes reach it; "" if they cannot
	Leaving bool   // it gives its shards away and is to be given none
}

// Claim is what a node gets with a shard.
type Claim struct {
	Clean bool // the last holder gave it up with nothing under way, or there never was one
}

// Roster is the nodes that live and the shards they hold.
type Roster struct {
	Nodes   []Node   // in the order of their IDs
	Holders []string // by shard, the ID of its holder, dead or alive; "" for nobody
}
