package web

import (
	"context"
	"encoding/json"
	"time"

	"github.com/semel-dev/semel/twopc"
)

// State is what became of a branch.
type State string

// The states. From the last two there is no way out.
const (
	None      State = "" // it is not known here
	Prepared  State = "prepared"
	Committed State = "committed"
	Aborted   State = "aborted" // after having been prepared, or before: a tombstone
)

// Entry is what a ledger keeps of a branch.
type Entry struct {
	Tx, Branch  string
	State       State
	Body, Reply json.RawMessage // of the call that prepared it
	Since       time.Time       // of its state
}

// Ledger keeps entries in the same store as the work. T is a transaction of it.
type Ledger[T any] interface {
	// Within runs f in one transaction, with the branch's entry (None, if there is
	// none), and stores the entry that f returns, unless that is None. Calls of one
	// branch run one after the other, in all processes. If f returns an error, all is
	// rolled back, and Within returns that error; after nil, all is durable. If it is
	// not known whether it committed, that is an error, too.
	Within(ctx context.Context, tx, branch string, f func(ctx context.Context, t T, e Entry) (Entry, error)) error
	// Prepared lists the entries that are Prepared, the oldest first.
	Prepared(ctx context.Context) ([]Entry, error)
}

// Work are the user's three functions. Each works in the ledger's transaction, and
// leaves it open; what it did is kept if it returns nil. They run once, except after a
// transaction that was not committed. None may call out.
type Work[T any] struct {
	// Prepare does the work so that it can be kept or dropped: it reserves. A
	// [*semel.Rejection] votes no. The vote's Handle is not used; a ReadOnly one must have
	// written nothing.
	Prepare func(ctx context.Context, t T, b twopc.Branch) (twopc.Vote, error)
	// Commit keeps it, and must not refuse. b is as it was prepared.
	Commit func(ctx context.Context, t T, b twopc.Branch) error
	// Abort drops it, and must not refuse. It is not called for a branch that was
	// not prepared.
	Abort func(ctx context.Context, t T, b twopc.Branch) error
}
