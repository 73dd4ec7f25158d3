package twopc

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Participant is something outside that can promise: do the work of a branch now,
// and keep it or drop it later, whatever happens in between. It is registered
// under a name. Its methods are called by any process that runs the coordinator,
// concurrently, and again after lost answers and crashes: each must be idempotent.
//
// Errors of Prepare: a [*semel.Rejection] is the vote no, and nothing is prepared;
// semel.NotDone says that nothing was done, and asks to be asked again; after any
// other error the branch may be prepared, and Prepare is called again. When that
// takes longer than the transaction may, it is aborted.
type Participant interface {
	// Prepare does the branch's work, and makes it durable without making it
	// visible. If a former call has prepared the branch, that is found, not done
	// again.
	Prepare(ctx context.Context, b Branch) (Vote, error)
	// Commit keeps what was prepared, and Abort drops it. They are repeated until
	// they return nil or a Rejection, which says that somebody resolved it the other
	// way meanwhile. What is not there any more was resolved before, by a call whose
	// answer was lost. Abort of a branch whose vote is not known has no Handle, and means all that is
	// prepared of it; where it can, it makes a Prepare that is still on its way fail.
	Commit(ctx context.Context, p Prepared) error
	Abort(ctx context.Context, p Prepared) error
	// Recover lists all that is prepared there by anybody's Semel and not
	// resolved, so that nothing is forgotten that a dead process left. What it
	// finds and cannot name as a branch is told by the error; the list is good all
	// the same.
	Recover(ctx context.Context) ([]Prepared, error)
}

// CodeResolvedOtherwise is the code of the Rejection by which a participant says
// that somebody resolved a branch the other way.
const CodeResolvedOtherwise = "resolved_otherwise"

// Branch is one participant's part of a transaction.
type Branch struct {
	Tx   string          // the transaction: at most 48 of a-z, 0-9 and -; never used twice
	Name string          // of the branch within it: at most 8 of a-z and 0-9
	Body json.RawMessage // what is asked of the participant. It belongs to the callee
}

// Validate says what is wrong with the names, which may become part of a
// statement's text, or of a header.
func (b Branch) Validate() error {
	if !plain(b.Tx, 48, "-") {
		return fmt.Errorf("the transaction %.60q is not 1 to 48 of a-z, 0-9 and -", b.Tx)
	}
	if !plain(b.Name, 8, "") {
		return fmt.Errorf("the branch %.20q is not 1 to 8 of a-z and 0-9", b.Name)
	}
	return nil
}

func plain(s string, most int, more string) bool {
	return s != "" && len(s) <= most && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789"+more) == ""
}

// Vote is yes.
type Vote struct {
	// Handle tells this prepared work from other work of the same branch, which a
	// call that was thought dead may have prepared beside it: the decision names
	// the one that it keeps, and all others are aborted. At most 64 bytes; a
	// participant that can have but one leaves it empty.
	Handle string
	// ReadOnly: there is nothing to keep, and nothing is prepared.
	ReadOnly bool
	Reply    json.RawMessage // for the caller of the transaction; may be nil
}

// Prepared names prepared work.
type Prepared struct {
	Tx, Name, Handle string
	Since            time.Time // by the participant's clock; zero if it does not know
}
