package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/twopc"
)

// Commit implements [twopc.Participant].
func (p *Participant) Commit(ctx context.Context, b twopc.Prepared) error {
	ctx, cancel, _ := p.within(ctx)
	defer cancel()
	if _, err := p.end(ctx, "XA COMMIT", b); err != nil {
		return err
	}
	// The row tells, also when the server says that it has committed: see gone. A locking read, which fails while the row is not committed: so it does not
	// count on XA RECOVER having listed the branch until its very end.
	var handle string
	err := p.db.QueryRowContext(ctx, noWait+"SELECT handle FROM `"+p.o.Table+
		"` WHERE tx = '"+b.Tx+"' AND branch = '"+b.Name+"' LOCK IN SHARE MODE").Scan(&handle)
	switch {
	case err == nil && handle == b.Handle:
		return nil
	case err == nil, errors.Is(err, sql.ErrNoRows):
		return semel.Reject(twopc.CodeResolvedOtherwise, "the branch %s of %s is not prepared, and was not committed: "+
			"it was rolled back by somebody else, or lost by a server that does not sync its log", b.Name, b.Tx)
	case number(err) == lockTimeout:
		return semel.NotDone(errHeld)
	}
	return fmt.Errorf("the branch is not prepared any more; how it ended could not be asked: %w", err)
}

// noWait has a statement fail at once where another one would wait for a lock.
const noWait = "SET STATEMENT innodb_lock_wait_timeout = 0 FOR "

// insert writes the row of a branch. If the branch's row is another one's and not
// committed, the branch is, or is about to be, prepared: that is no reason to wait,
// holding the locks of the work, but to look again.
func (p *Participant) insert(tx, name, handle string) string {
	return noWait + "INSERT INTO `" + p.o.Table + "` (tx, branch, handle) VALUES ('" + tx + "', '" + name + "', '" + handle + "')"
}

var errHeld = errors.New("the branch is in the hands of another connection, which prepares it, or has prepared it and is not closed; ask again")

// Abort implements [twopc.Participant]. It leaves a tombstone: a call to prepare
// that comes after it votes no, with the code "resolved".
func (p *Participant) Abort(ctx context.Context, b twopc.Prepared) error {
	ctx, cancel, _ := p.within(ctx)
	defer cancel()
	all := []twopc.Prepared{b}
	if b.Handle == "" {
		if err := (twopc.Branch{Tx: b.Tx, Name: b.Name}).Validate(); err != nil {
			return semel.NotDone(err)
		}
		var err error
		if all, err = p.prepared(ctx, b); err != nil {
			return err
		}
	}
	for _, one := range all {
		if _, err := p.end(ctx, "XA ROLLBACK", one); err != nil {
			return err
		}
	}
	_, err := p.db.ExecContext(ctx, p.insert(b.Tx, b.Name, ""))
	switch number(err) {
	case duplicate:
		return p.ended(ctx, b)
	case lockTimeout, deadlock:
		return semel.NotDone(errHeld)
	}
	if err != nil {
		return fmt.Errorf("the branch is rolled back, its tombstone may be missing: %w", err)
	}
	return nil
}

// ended says what the row of an aborted branch says, which cannot change any more.
func (p *Participant) ended(ctx context.Context, b twopc.Prepared) error {
	var handle string
	err := p.db.QueryRowContext(ctx, "SELECT handle FROM `"+p.o.Table+"` WHERE tx = ? AND branch = ?", b.Tx, b.Name).Scan(&handle)
	switch {
	case err != nil:
		return fmt.Errorf("how the branch ended could not be asked: %w", err)
	case handle == "", b.Handle != "" && handle != b.Handle:
		return nil
	}
	return semel.Reject(twopc.CodeResolvedOtherwise, "the branch %s of %s is committed", b.Name, b.Tx)
}

// end ends a prepared branch, if it is there. While the connection that prepared it
// is not closed the server says that there is none (XAER_NOTA), but lists it; as a
// rule that takes a moment only, because it was closed already.
func (p *Participant) end(ctx context.Context, verb string, b twopc.Prepared) (found bool, err error) {
	id, err := xid(b)
	if err != nil {
		return false, semel.NotDone(err)
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		_, err := p.db.ExecContext(ctx, verb+" "+id)
		switch number(err) {
		case noSuch, rolledBack, timedOut, deadlocked:
		case readOnlyMode:
			return false, semel.NotDone(err)
		default:
			if err != nil {
				return false, fmt.Errorf("whether the branch was resolved is not known: %w", err)
			}
			return true, nil
		}
		listed, err := p.prepared(ctx, b)
		if err != nil || len(listed) == 0 {
			return false, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false, semel.NotDone(errHeld)
		}
	}
}

// prepared lists what is prepared of a branch; only that with its handle, if it has
// one.
func (p *Participant) prepared(ctx context.Context, b twopc.Prepared) (mine []twopc.Prepared, err error) {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return nil, semel.NotDone(err)
	}
	defer func() { _ = conn.Close() }()
	all, _, err := p.list(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("whether the branch is prepared could not be asked: %w", err)
	}
	for _, one := range all {
		if one.Tx == b.Tx && one.Name == b.Name && (b.Handle == "" || one.Handle == b.Handle) {
			mine = append(mine, one)
		}
	}
	return mine, nil
}
