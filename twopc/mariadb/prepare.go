package mariadb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/twopc"
)

// Prepare implements [twopc.Participant]. Until XA PREPARE is sent, the end of ctx
// leaves nothing done; after it, that is unknown, and the next call finds out. A
// branch that wrote nothing ends at once and votes ReadOnly: what it read, locked
// or not, may change before the decision.
func (p *Participant) Prepare(ctx context.Context, b twopc.Branch) (twopc.Vote, error) {
	if err := b.Validate(); err != nil {
		return twopc.Vote{}, semel.Reject("invalid_branch", "%v", err)
	}
	ctx, cancel, left := p.within(ctx)
	defer cancel()
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return twopc.Vote{}, semel.NotDone(fmt.Errorf("no connection to the database: %w", err))
	}
	// It is never used again: it holds what it prepared until it is closed, it has
	// settings of this call, and after an error nobody knows what it is in.
	drop := func() {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		_ = conn.Close()
	}
	defer drop()
	var id int64
	if err := conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		return twopc.Vote{}, semel.NotDone(err)
	}
	set := fmt.Sprintf("SET SESSION innodb_lock_wait_timeout = %d, lock_wait_timeout = %[1]d, idle_transaction_timeout = %[1]d, max_statement_time = %.3f",
		seconds(left), max(left.Seconds(), 0.001))
	if level := isolations[p.o.Isolation]; level != "" {
		_, err = conn.ExecContext(ctx, "SET SESSION TRANSACTION ISOLATION LEVEL "+level)
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, set)
	}
	if err != nil {
		return twopc.Vote{}, semel.NotDone(err)
	}
	v, err := p.on(ctx, conn, b)
	if err == nil && !v.ReadOnly {
		drop()
		err = p.gone(ctx, id)
	}
	return v, err
}

// gone waits until the server has no connection of this id any more. Only then is
// what it prepared free for others: a commit that comes while the server takes it
// from its connection may be answered as done and be lost (seen, once in some
// thousand under load, on MariaDB 10.11).
func (p *Participant) gone(ctx context.Context, id int64) error {
	for pause := time.Millisecond / 4; ; pause = min(2*pause, 20*time.Millisecond) {
		var n int
		if err := p.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = ?", id).Scan(&n); err != nil {
			return fmt.Errorf("the branch is prepared, and whether its connection is closed could not be asked: %w", err)
		}
		if n == 0 {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("the branch is prepared, and its connection is not closed yet: %w", ctx.Err())
		}
	}
}

// on is Prepare on its connection.
func (p *Participant) on(ctx context.Context, conn *sql.Conn, b twopc.Branch) (twopc.Vote, error) {
	listed, _, err := p.list(ctx, conn)
	if err != nil {
		return twopc.Vote{}, semel.NotDone(err)
	}
	for _, one := range listed {
		if one.Tx == b.Tx && one.Name == b.Name {
			return twopc.Vote{Handle: one.Handle}, nil
		}
	}
	var database string
	if err := conn.QueryRowContext(ctx, "SELECT COALESCE(DATABASE(), '')").Scan(&database); err != nil {
		return twopc.Vote{}, semel.NotDone(err)
	}
	if err := p.unresolved(ctx, conn, b); err != nil {
		return twopc.Vote{}, err
	}
	mine := twopc.Prepared{Tx: b.Tx, Name: b.Name, Handle: newNonce() + "." + hashOf(database)}
	id, err := xid(mine)
	if err == nil {
		_, err = conn.ExecContext(ctx, "XA START "+id)
	}
	if err != nil {
		return twopc.Vote{}, semel.NotDone(err)
	}
	v, err := p.inside(ctx, conn, b, mine.Handle)
	if err != nil || v.ReadOnly {
		// The end of the connection would do it too, but sometime later. A branch
		// that failed may refuse to end, and rolls back all the same.
		_, _ = conn.ExecContext(ctx, "XA END "+id)
		_, _ = conn.ExecContext(ctx, "XA ROLLBACK "+id)
		return v, err
	}
	if _, err := conn.ExecContext(ctx, "XA END "+id); err != nil {
		return twopc.Vote{}, semel.NotDone(err)
	}
	_, err = conn.ExecContext(ctx, "XA PREPARE "+id)
	switch number(err) {
	case badState, rolledBack, timedOut, deadlocked:
		return twopc.Vote{}, semel.NotDone(err)
	}
	if err != nil {
		return twopc.Vote{}, fmt.Errorf("whether the branch is prepared is not known: %w", err)
	}
	return v, nil
}

// unresolved says whether the branch may still be prepared.
func (p *Participant) unresolved(ctx context.Context, conn *sql.Conn, b twopc.Branch) error {
	var handle string
	err := conn.QueryRowContext(ctx, "SELECT handle FROM `"+p.o.Table+"` WHERE tx = ? AND branch = ?", b.Tx, b.Name).Scan(&handle)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return semel.NotDone(err)
	case handle == "":
		return semel.Reject("resolved", "the branch was aborted before this call")
	}
	return semel.Reject("resolved", "the branch was committed before this call")
}

// inside does the work, and writes the row.
func (p *Participant) inside(ctx context.Context, conn *sql.Conn, b twopc.Branch, handle string) (twopc.Vote, error) {
	before, err := writes(ctx, conn)
	if err != nil {
		return twopc.Vote{}, semel.NotDone(err)
	}
	reply, err := p.work(ctx, conn, b)
	var no *semel.Rejection
	if errors.As(err, &no) {
		return twopc.Vote{}, no
	}
	if err != nil {
		return twopc.Vote{}, semel.NotDone(err)
	}
	after, err := writes(ctx, conn)
	switch {
	case err != nil:
		return twopc.Vote{}, semel.NotDone(err)
	case after == before:
		return twopc.Vote{ReadOnly: true, Reply: reply}, nil
	case len(reply) > 0 && string(reply) != "null":
		return twopc.Vote{}, semel.Reject("reply_of_a_write", "a branch that writes has no reply; it could not be told again after a lost answer")
	}
	_, err = conn.ExecContext(ctx, p.insert(b.Tx, b.Name, handle))
	switch number(err) {
	case duplicate: // it ended while this call worked; the snapshot may be older than how
		return twopc.Vote{}, semel.Reject("resolved", "the branch was aborted or committed before this call")
	case lockTimeout:
		return twopc.Vote{}, semel.NotDone(errHeld)
	}
	if err != nil {
		return twopc.Vote{}, semel.NotDone(err)
	}
	return twopc.Vote{Handle: handle}, nil
}

// writes counts the rows that the connection wrote into tables that are not
// temporary ones of the server's own. XA itself does not tell whether a branch
// wrote: one that did not can be prepared, and is then rolled back when its
// connection ends (XA_RBROLLBACK).
func writes(ctx context.Context, conn *sql.Conn) (n int64, err error) {
	rows, err := conn.QueryContext(ctx, "SHOW SESSION STATUS WHERE Variable_name IN ('Handler_write', 'Handler_update', 'Handler_delete')")
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	found := 0
	for rows.Next() {
		var name string
		var count int64
		if err := rows.Scan(&name, &count); err != nil {
			return 0, err
		}
		n += count
		found++
	}
	if err := rows.Err(); err != nil || found == 3 {
		return n, err
	}
	return 0, errors.New("the server does not tell how many rows were written")
}
