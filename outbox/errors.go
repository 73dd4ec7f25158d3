package outbox

import (
	"errors"
	"fmt"
)

// What Once, Send and Run return matches one of these with errors.Is, or is what the
// caller's function, the driver or a check of the arguments said. Whatever it is:
// roll the transaction back, and nothing was done.
var (
	// ErrRetry: the database could not let this transaction go on beside
	// others (a deadlock, a lock that was waited for too long, a snapshot that is
	// too old). Roll it back, and run all of it again, from its beginning.
	ErrRetry = errors.New("roll back and run the transaction again")
	// ErrConflict: the key was used before, for another request. What is
	// recorded for it is not shown.
	ErrConflict = errors.New("the key was used for another request")
	// ErrExpired: the key carries a time (UUIDv7, ULID) that is so old that its
	// outcome may have been forgotten. Whether it was done is not known here.
	ErrExpired = errors.New("the key is older than what is remembered")
	// ErrFuture: the key carries a time that is ahead of the clock.
	ErrFuture = errors.New("the key's time is in the future")
	// ErrUnsafeServer: Relay.Run does not deliver, because the database may lose
	// in a crash what it has committed, and what was delivered would not be true.
	// PostgreSQL with fsync, full_page_writes or the relay's synchronous_commit
	// off; MariaDB with innodb_flush_log_at_trx_commit 0 or 2, or with a binary
	// log (log_bin) and sync_binlog other than 1: after a crash the log decides
	// what was committed; SQLite with synchronous OFF or NORMAL.
	ErrUnsafeServer = errors.New("the database may lose what it has committed")
	// ErrUnsettled: a transaction was committed although its Once had failed,
	// and that Once could not take its claim back. Whether the rest of it was
	// done is not known here; a person has to look.
	ErrUnsettled = errors.New("the key is claimed, and has no outcome")
)

// Error is a failure of Once or Send, with what it was about.
type Error struct {
	Op   string // "once", "send", "migrate"
	What string // the key, for example
	Kind error  // one of the Err values, or nil
	Err  error  // what the driver said, or nil
}

func (e *Error) Error() string {
	s := "outbox: " + e.Op
	if e.What != "" {
		s += " " + e.What
	}
	for _, err := range []error{e.Kind, e.Err} {
		if err != nil {
			s += ": " + err.Error()
		}
	}
	return s
}

// Unwrap makes both the kind and the cause match.
func (e *Error) Unwrap() []error {
	var all []error
	for _, err := range []error{e.Kind, e.Err} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// failed wraps what the database said to a statement.
func failed(op, what string, err error) error {
	e := &Error{Op: op, What: what, Err: err}
	if Retryable(err) {
		e.Kind = ErrRetry
	}
	return e
}

func invalid(op, format string, args ...any) error {
	return &Error{Op: op, Err: fmt.Errorf(format, args...)}
}

// Rejection is the answer no of a function of Once: a business failure that is
// recorded, and repeated to whoever comes again with the key.
type Rejection struct {
	Code   string // for programs: "insufficient_funds"
	Detail string // for people
}

// Reject makes a rejection for a function of Once to return: what it wrote in
// the transaction is taken back, and the answer recorded. Code and detail are cut
// at 200 and 2,000 bytes.
func Reject(code, format string, args ...any) *Rejection {
	return &Rejection{Code: cut(code, 200), Detail: cut(fmt.Sprintf(format, args...), 2000)}
}

func (r *Rejection) Error() string { return "rejected: " + r.Code + ": " + r.Detail }
