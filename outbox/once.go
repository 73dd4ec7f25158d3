package outbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
)

// Outcome is what is recorded for a key.
type Outcome struct {
	Body     []byte     // what the function returned, byte for byte; the caller's. Nil if rejected
	Rejected *Rejection // the recorded no; nil if it was done
	Replayed bool       // it had been recorded before: nothing ran
}

// Err is the rejection as an error, for after the commit; nil if it was done.
func (out Outcome) Err() error {
	if out.Rejected != nil {
		return out.Rejected
	}
	return nil
}

// The states of a row of the table once.
const (
	statusClaimed  = 0
	statusDone     = 1
	statusRejected = 2
)

// mostOutcomeBytes is what goes through MariaDB's max_allowed_packet of 16 MiB in
// both directions, together with the row's other columns.
const mostOutcomeBytes = 8 << 20

// Once runs fn in the caller's transaction unless the key has an outcome, and
// records the outcome in the same transaction. The rule for the caller is one:
//
//   - nil: commit. Only then is it done; only then tell anybody. If the commit
//     fails with an error that is not Retryable, it is unknown whether it was
//     done: ask again with the same key, in a new transaction.
//   - an error: roll back. Nothing was done, and nothing is recorded. If it is
//     ErrRetry, run the transaction again from its beginning.
//
// fn does its work by the same transaction, and by nothing that a rollback does
// not take back. Its error is returned as it is, after its work was taken back
// by a savepoint; a panic goes on, likewise. If fn returns a *Rejection, or an
// error that wraps one, its work is taken back too, but Once returns nil and the
// rejection is in the Outcome, and recorded when the caller commits.
//
// A second transaction with the same key waits until the first one ends. If that
// was committed, it finds the outcome; if not, it runs fn itself. How long it
// waits is the database's lock timeout and ctx. Under PostgreSQL's repeatable
// read and serializable a transaction whose snapshot is older than the first
// one's commit cannot see the outcome, and gets ErrRetry. SQLite has one writer:
// one that waited longer than its busy_timeout, or that had read before the
// other one wrote (a deferred transaction), gets ErrRetry.
//
// The record is kept for Config.Retention. Once may be called several times in a
// transaction, in fn too; different keys are always claimed in the same order by
// whoever does that, or some run into a deadlock, which is ErrRetry.
func (o *Outbox) Once(ctx context.Context, tx Tx, key Key, fn func(ctx context.Context) ([]byte, error)) (Outcome, error) {
	if err := key.check(); err != nil {
		return Outcome{}, err
	}
	c := claim{o: o, tx: tx, key: key, hash: key.hash(), token: make([]byte, 16)}
	_, _ = rand.Read(c.token) // never fails
	mine, times, err := c.take(ctx)
	if err != nil {
		return Outcome{}, err
	}
	if !mine {
		return c.recorded(ctx)
	}
	if err := key.age(times, o.retention); err != nil {
		return Outcome{}, c.undo(ctx, err)
	}
	return c.run(ctx, fn)
}

// claim is one call of Once.
type claim struct {
	o     *Outbox
	tx    Tx
	key   Key
	hash  []byte
	token []byte // by which it knows its own row
}

func (c *claim) failed(err error) error { return failed("once", c.key.String(), err) }

// take inserts the key's row, which waits for any other transaction that has it.
//
// In PostgreSQL and SQLite a row is returned if it was inserted. A driver of
// MariaDB counts by its configuration (clientFoundRows), so there the row itself
// is asked, by a locking read, which sees what is committed under repeatable read
// too. A plain INSERT would take a shared lock on a row that exists, and two that
// wait for the same first transaction would block each other when it rolls back.
func (c *claim) take(ctx context.Context) (mine bool, at times, err error) {
	args := []any{c.hash, c.token, c.key.Scope, c.key.ID, c.key.fingerprint()}
	if c.o.dialect != MariaDB {
		mine, err = one(ctx, c.tx, c.o.q.claim, args, &at.claimed, &at.horizon)
		if err != nil {
			err = c.failed(err)
		}
		return mine, at, err
	}
	if _, err := c.tx.Exec(ctx, c.o.q.claim, args...); err != nil {
		return false, at, c.failed(err)
	}
	var token []byte
	found, err := one(ctx, c.tx, c.o.q.claimant, []any{c.hash}, &token, &at.claimed, &at.horizon)
	if err != nil {
		return false, at, c.failed(err)
	}
	if !found {
		return false, at, &Error{Op: "once", What: c.key.String(), Err: errors.New("the row that was just inserted is not there")}
	}
	return bytes.Equal(token, c.token), at, nil
}

// recorded reads what another transaction committed for the key.
func (c *claim) recorded(ctx context.Context) (Outcome, error) {
	var fingerprint, body []byte
	var status int64
	var r Rejection
	found, err := one(ctx, c.tx, c.o.q.recorded, []any{c.hash}, &fingerprint, &status, &r.Code, &r.Detail, &body)
	what := c.key.String()
	switch {
	case err != nil:
		return Outcome{}, c.failed(err)
	case !found: // it was dropped after it was in our way
		return Outcome{}, &Error{Op: "once", What: what, Kind: ErrRetry}
	case !bytes.Equal(fingerprint, c.key.fingerprint()):
		return Outcome{}, &Error{Op: "once", What: what, Kind: ErrConflict}
	case status == statusClaimed: // committed so, or this transaction's own: fn calls Once with its own key
		return Outcome{}, &Error{Op: "once", What: what, Kind: ErrUnsettled}
	case status == statusRejected:
		return Outcome{Rejected: &r, Replayed: true}, nil
	}
	return Outcome{Body: append([]byte{}, body...), Replayed: true}, nil
}

// run runs fn between a savepoint and the record of its outcome.
func (c *claim) run(ctx context.Context, fn func(ctx context.Context) ([]byte, error)) (out Outcome, err error) {
	// Each has a name of its own: MariaDB forgets an outer savepoint when an
	// inner one takes its name.
	savepoint := "semel_" + hex.EncodeToString(c.token[:8])
	if _, err := c.tx.Exec(ctx, "SAVEPOINT "+savepoint); err != nil {
		return Outcome{}, c.undo(ctx, c.failed(err))
	}
	returned := false
	defer func() {
		if !returned { // fn panicked, or ended its goroutine
			_ = c.back(ctx, savepoint)
			_ = c.undo(ctx, nil)
		}
	}()
	body, err := fn(ctx)
	returned = true
	if err == nil && len(body) > mostOutcomeBytes {
		err = invalid("once", "an outcome of %d bytes; %d are allowed", len(body), mostOutcomeBytes)
	}
	var no *Rejection
	switch {
	case errors.As(err, &no):
		if err := c.back(ctx, savepoint); err != nil {
			return Outcome{}, c.undo(ctx, c.failed(err))
		}
		no = &Rejection{Code: cut(no.Code, 200), Detail: cut(no.Detail, 2000)}
		out, err = Outcome{Rejected: no}, c.settle(ctx, statusRejected, no, nil)
	case err != nil:
		return Outcome{}, c.undo(ctx, also(err, c.back(ctx, savepoint)))
	default:
		out = Outcome{Body: append([]byte{}, body...)}
		if err = c.settle(ctx, statusDone, &Rejection{}, out.Body); err == nil {
			_, err = c.tx.Exec(ctx, "RELEASE SAVEPOINT "+savepoint)
		}
	}
	if err != nil {
		err = c.failed(err)
		return Outcome{}, c.undo(ctx, also(err, c.back(ctx, savepoint)))
	}
	return out, nil
}

// also joins two errors, and keeps the first one as it is if it is alone.
func also(err, more error) error {
	if more == nil {
		return err
	}
	return errors.Join(err, more)
}

// settle writes the outcome to the row, which must be there: a transaction that
// the database has rolled back, and that goes on by itself (as MariaDB's does
// after a deadlock that fn did not tell of), has lost it.
func (c *claim) settle(ctx context.Context, status int64, no *Rejection, body []byte) error {
	r, err := c.tx.Exec(ctx, c.o.q.settle, status, no.Code, no.Detail, body, c.hash, c.token)
	if err == nil && r.Affected != 1 {
		err = fmt.Errorf("the claim is gone: the transaction was rolled back within the function")
	}
	return err
}

// back takes back what was written since the savepoint. Where the database has
// rolled back all of the transaction it fails, which changes nothing.
func (c *claim) back(ctx context.Context, savepoint string) error {
	ctx, cancel := settling(ctx)
	defer cancel()
	if _, err := c.tx.Exec(ctx, "ROLLBACK TO SAVEPOINT "+savepoint); err != nil {
		return &Error{Op: "once", What: c.key.String(), Err: fmt.Errorf("back to the savepoint: %w", err)}
	}
	return nil
}

// undo takes the claim back, for a caller who commits in spite of the error. It
// is a second line: a caller who rolls back needs none of it.
func (c *claim) undo(ctx context.Context, cause error) error {
	ctx, cancel := settling(ctx)
	defer cancel()
	_, _ = c.tx.Exec(ctx, c.o.q.unclaim, c.hash, c.token) // where it fails, a commit does too, or finds ErrUnsettled
	return cause
}
