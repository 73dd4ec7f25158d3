package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/semel-dev/semel/message"
)

// ErrAway: what a session asked for lies in another part of a divided store,
// which does not answer now. It says nothing against the session: ask again later.
var ErrAway = errors.New("another part of the store cannot be reached")

// AwayError says of which sources Session.Inbox has no messages now, because they
// lie in parts that do not answer. Those of the others come along with it.
type AwayError struct {
	Sources []message.Shard
	Err     error // why
}

func (e *AwayError) Error() string {
	return fmt.Sprintf("the outboxes of shards %v: %v: %v", e.Sources, ErrAway, e.Err)
}

// Unwrap makes errors.Is find ErrAway, and the reason.
func (e *AwayError) Unwrap() []error { return []error{ErrAway, e.Err} }

// Divided is a store whose shards lie in several parts, each of which can be
// reached or not, by itself. Each has leases of its own, by its own clock, so
// that a part which is away does not take the others' shards with it.
type Divided interface {
	Divisions() []Division
}

// Division is the shards of one part.
type Division struct {
	Name   string
	Shards []message.Shard
	Leaser Leaser // its rosters have a place for every shard of the store; only these count
}

// PartOpener opens a store that can be a part of a divided one. The shards are
// those that it is to hold. Its OpenStore refuses a store that is a part: opened
// by itself, it would have empty shards where others have their agents.
type PartOpener interface {
	Opener
	OpenPart(ctx context.Context, holds []message.Shard) (Part, error)
}

// Part is a store that can be one of several which make up one store between
// them (package split). It has a place for every shard of the whole, by the
// whole's numbers, and holds some of them. All of it may be called concurrently.
type Part interface {
	Store
	// Charter is the record by which the parts know each other, as it is now; nil
	// if there is none, and the store is one of its own.
	Charter(ctx context.Context) ([]byte, error)
	// Grant makes is the charter if it was was, and reports whether it was. No
	// session that was opened before can commit then, and no process that opened
	// the store under another charter can open one. While nodes have leases it
	// fails with ErrLocked.
	Grant(ctx context.Context, was, is []byte) (bool, error)
	// Used are the shards that have units here, in their order.
	Used(ctx context.Context) ([]message.Shard, error)
	// Outbox returns up to max messages that a shard of this part has for one of
	// another part, beyond the cursor: in order, without gaps (else ErrCorrupt).
	//
	// The reader's session is another store's, so nothing of the reader falls with
	// this store if it goes back in time. Therefore what Outbox returns is as safe as
	// what a commit acknowledged; and where the store can lose that, it finds out
	// that it has given the reader more than it has now. Then, and while the shard
	// is marked so, it fails with ErrLost.
	Outbox(ctx context.Context, reader message.Shard, from message.Cursor, max int) ([]message.Delivery, error)
	// Consumed removes those messages up to the cursor, which the reader's session
	// has consumed durably. It may be repeated, and may be interrupted anywhere.
	Consumed(ctx context.Context, reader message.Shard, upTo message.Cursor) error
}
