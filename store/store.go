// Package store is the contract between the engine and what keeps its data:
// a fenced, sharded, ordered set of rows whose changes are committed in atomic
// units. storetest is the suite that every implementation passes; mem and
// pebble are two of them. A store moves bytes and never looks inside a value.
package store

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/semel-dev/semel/message"
)

// What a commit, or an attempt to read or open, can end in besides success.
// They are matched with errors.Is. A failure that is none of ErrFenced,
// ErrTooLarge, ErrFull, ErrClosed and ErrUnavailable leaves the unit's fate
// UNKNOWN: only the version that the next Open returns settles it.
var (
	// ErrFenced: another session was opened, or the unit's version is not the
	// one that follows. The unit is not committed and never will be.
	ErrFenced = errors.New("the shard has another owner")
	// ErrTooLarge: the unit exceeds Profile.MaxUnitBytes. Not committed.
	ErrTooLarge = errors.New("the unit is too large for the store")
	// ErrFull: there is no room for it. Not committed.
	ErrFull = errors.New("the store is full")
	// ErrClosed: the store or session was closed before. Not committed.
	ErrClosed = errors.New("the store is closed")
	// ErrUnavailable: the store cannot be reached, or takes nothing now. Not
	// committed: the unit was never sent, or was rolled back.
	ErrUnavailable = errors.New("the store cannot be reached")
	// ErrLost: the store has lost units that it had acknowledged. The error is
	// a *LostError.
	ErrLost = errors.New("the store lost what it had acknowledged")
	// ErrLocked: another process has the store open.
	ErrLocked = errors.New("the store is in use by another process")
	// ErrCorrupt: what is stored is not what was written. The error names it.
	ErrCorrupt = errors.New("the store is corrupt")
	// ErrBroken: the device failed a write or a sync. Nothing may be
	// acknowledged any more and the process must end: only recovery from the
	// device can say what it holds. A failed sync is never tried again.
	ErrBroken = errors.New("the storage device failed")
)

// Profile says what an engine can do, so that its driver can fit itself to it.
type Profile struct {
	Name          string        // for messages and metrics: "pebble"
	UnitsInFlight int           // how many commits of one session are worth having outstanding, at least 1
	MaxUnitBytes  int           // the largest unit that Commit takes
	SharedLog     bool          // one sync makes durable what all sessions committed before it: small units gain by waiting for those of others, and hang if theirs hang
	LocalReads    bool          // reads cost microseconds: they may be made on a shard's own loop
	Exclusive     bool          // one process at a time has the store: a new session proves the former owner dead
	Lease         time.Duration // how long a former owner may go on believing; 0 when Exclusive
}

// Opener opens a store. It is what a user passes to semel.Open.
type Opener interface {
	OpenStore(ctx context.Context) (Store, error)
}

// Store is an open store. It is safe for concurrent use.
type Store interface {
	Profile() Profile
	// Incarnation tells this life of the store from that of any backup of it.
	Incarnation() message.Incarnation
	// Shards is the fixed number of shards, chosen when the store was made.
	Shards() int
	// Open begins a session. When it returns, no older session of the shard
	// can commit, and the session's version settles every unit in question.
	Open(ctx context.Context, shard message.Shard, owner string) (Session, error)
	// Wake hints that a shard has something to pull; nil if the store never
	// hints. A hint may be lost or false.
	Wake() <-chan message.Shard
	// Maintain removes what retention no longer needs. It may be repeated and
	// may be interrupted anywhere: what it removes is not needed by then.
	Maintain(ctx context.Context, r Retention) error
	// CleanStart says whether the last process to hold the store closed it in
	// order. A new store starts clean.
	CleanStart() bool
	// Close ends the store in order: sessions are closed, and the next start
	// is a clean one.
	Close() error
}

// Retention is one shard's leave to forget.
type Retention struct {
	Shard message.Shard
	// Epoch is that of the session that gives it; 0 for the shard's session,
	// whichever it is. A store that can go back in time, and many processes share,
	// acts on the word of a session alone that it has open and that has the shard:
	// else Maintain does nothing.
	Epoch message.Epoch
	// Below: the dedup rows of every generation below it are dropped.
	Below message.Generation
	// Consumed: for each cursor, the messages up to its position that
	// cursor.Source's outbox holds for Shard are dropped.
	Consumed []message.Cursor
}

// Reader reads one shard's rows. A session's reads include every unit for
// which its Commit has returned, durable or not: whoever answers from them
// waits for the last of those units first. Returned bytes belong to the
// caller.
type Reader interface {
	// Get returns one value for each key, nil where there is no row.
	Get(ctx context.Context, keys []message.RowKey) ([][]byte, error)
	// Scan returns up to limit rows of a table in the order of their keys.
	Scan(ctx context.Context, r Range, limit int) ([]message.Row, error)
}

// Range selects the rows of a table with From ≤ key, and key < To unless To
// is nil.
type Range struct {
	Table message.Table
	Gen   message.Generation
	From  []byte
	To    []byte
}

// Session is the right to change one shard until another session takes it.
// Commit is called by one goroutine at a time; the reads and the Wait of its
// results may run concurrently with it.
type Session interface {
	Reader
	// Version is the shard's version when the session was opened.
	Version() message.Version
	// Inbox returns up to max messages that other shards' outboxes hold for
	// this shard beyond the cursors: per source in order, without gaps. A cursor
	// is at a message that Inbox has returned, to this session or one before.
	Inbox(ctx context.Context, from []message.Cursor, max int) ([]message.Delivery, error)
	// Commit submits a unit. Units become durable in the order of their
	// submission. The version is compared in the same atomic write.
	Commit(ctx context.Context, u *message.Unit) Pending
	// Close gives the session up without raising the epoch.
	Close() error
}

// Successor is a session of a store that may lose what it acknowledged, and so
// may give an epoch twice: it says itself whether no session of the shard was
// opened between a former one and this one. Of other sessions the epochs say it.
type Successor interface {
	Follows(former Session) bool
}

// Pending is a commit under way. Wait returns nil when the unit and all before
// it are durable. It is called once.
type Pending interface {
	Wait() error
}

// Backuper is a store that can copy itself while it is in use. The copy is
// consistent and contains every unit that was durable when Backup was called.
type Backuper interface {
	Backup(ctx context.Context, dir string) error
}

// Glancer is a store that many processes share, and that shows rows to one that
// has no session: whatever the row was some time after the call began. k.Table
// is not TableDedup.
type Glancer interface {
	Glance(ctx context.Context, k message.RowKey) ([][]byte, error) // by shard, nil where there is no row
}

// Sizer is a store that knows how much room it takes, in bytes: all of its
// files, with what it has not cleaned away yet.
type Sizer interface {
	Size() (int64, error)
}

// Spacer is a store that knows how much room is left, in bytes.
type Spacer interface {
	Free() (uint64, error)
}

var _ io.Closer = Store(nil)
