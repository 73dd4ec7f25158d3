package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/twopc"
)

// Prepare implements [twopc.Participant]. Until PREPARE TRANSACTION is sent, the
// end of ctx leaves nothing done; after it, that is unknown, and the next call
// finds out. A branch that wrote nothing and locked no row is committed at once and votes ReadOnly:
// what it read may change before the decision.
func (p *Participant) Prepare(ctx context.Context, b twopc.Branch) (twopc.Vote, error) {
	if err := b.Validate(); err != nil {
		return twopc.Vote{}, semel.Reject("invalid_branch", "%v", err)
	}
	ctx, cancel, left := p.within(ctx)
	defer cancel()
	if v, found, err := p.enter(ctx, b); found || err != nil {
		return v, err
	}
	defer func() { <-p.room }()
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return twopc.Vote{}, semel.NotDone(fmt.Errorf("no connection to the database: %w", err))
	}
	defer conn.Release() // which closes one that is not clean
	tx, err := conn.BeginTx(ctx, p.o.Tx)
	if err != nil {
		return twopc.Vote{}, semel.NotDone(err)
	}
	defer func() {
		if conn.Conn().PgConn().TxStatus() != 'I' {
			_ = tx.Rollback(ctx) // one that fails closes the connection, and the server rolls back
		}
	}()
	// SET LOCAL ends with the transaction, so neither the pool nor a pooler between
	// carries it to the next one.
	ms := left.Milliseconds() + 1
	if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL statement_timeout = %d; SET LOCAL lock_timeout = %d; SET LOCAL idle_in_transaction_session_timeout = %d", ms, ms, ms)); err != nil {
		return twopc.Vote{}, semel.NotDone(err)
	}
	return p.inside(ctx, conn, tx, b)
}

// enter waits for one of the connections for work. All of them may wait for what this
// very branch has locked, if the answer of the call that prepared it was lost: so
// it is looked for first, by the connection that is kept from work.
func (p *Participant) enter(ctx context.Context, b twopc.Branch) (v twopc.Vote, found bool, err error) {
	select {
	case p.room <- struct{}{}:
		return v, false, nil
	default:
	}
	again := time.NewTicker(time.Second) // that call may be under way still
	defer again.Stop()
	for {
		all, err := list(ctx, p.pool, branchOf(b.Tx, b.Name))
		if len(all) > 0 {
			return twopc.Vote{Handle: all[0].Handle}, true, nil
		}
		if err != nil {
			return v, false, semel.NotDone(err)
		}
		select {
		case p.room <- struct{}{}:
			return v, false, nil
		case <-again.C:
		case <-ctx.Done():
			return v, false, semel.NotDone(fmt.Errorf("all connections are at work, and no work ended in time: %w", ctx.Err()))
		}
	}
}

// inside is Prepare within the transaction.
func (p *Participant) inside(ctx context.Context, conn *pgxpool.Conn, tx pgx.Tx, b twopc.Branch) (twopc.Vote, error) {
	// The lock first: with it, what is listed now is all that there will be.
	alone, err := tryLock(ctx, tx, b.Tx, b.Name)
	if err != nil {
		return twopc.Vote{}, semel.NotDone(err)
	}
	found, err := list(ctx, tx, branchOf(b.Tx, b.Name))
	if err != nil && len(found) == 0 {
		return twopc.Vote{}, semel.NotDone(err)
	}
	switch {
	case len(found) > 0:
		return twopc.Vote{Handle: found[0].Handle}, nil
	case !alone:
		return twopc.Vote{}, semel.NotDone(errors.New("another call prepares the branch; ask again"))
	}
	reply, err := p.work(ctx, unended{tx}, b)
	switch conn.Conn().PgConn().TxStatus() {
	case 'I':
		return twopc.Vote{}, semel.Reject("transaction_ended", "the work ended its transaction by a statement of its own; what it did before stands, or does not, as it said there")
	case 'E':
		err = errors.Join(err, errors.New("a statement failed, and with it the transaction"))
	}
	if err != nil {
		return twopc.Vote{}, refused(err)
	}
	h := handle{nonce: newNonce()}
	var xid *uint64
	err = tx.QueryRow(ctx, "SELECT pg_current_xact_id_if_assigned(), substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)").Scan(&xid, &h.timeline)
	switch {
	case err != nil:
		return twopc.Vote{}, semel.NotDone(err)
	case xid == nil:
		return readOnly(ctx, tx, reply)
	case len(reply) > 0 && string(reply) != "null":
		return twopc.Vote{}, semel.Reject("reply_of_a_write", "a branch that writes has no reply; it could not be told again after a lost answer")
	}
	h.xid = *xid
	return send(ctx, conn, twopc.Prepared{Tx: b.Tx, Name: b.Name, Handle: h.String()})
}

// refused is the vote of work that returned an error. Nothing of it was durable.
func refused(err error) error {
	var no *semel.Rejection
	if errors.As(err, &no) {
		return no
	}
	return semel.NotDone(err)
}

// readOnly ends a transaction that changed nothing. Serializable, it may fail only
// now, and then what it read was never true at once.
func readOnly(ctx context.Context, tx pgx.Tx, reply json.RawMessage) (twopc.Vote, error) {
	if err := tx.Commit(ctx); err != nil {
		return twopc.Vote{}, semel.NotDone(err)
	}
	return twopc.Vote{ReadOnly: true, Reply: reply}, nil
}

// send makes the promise.
func send(ctx context.Context, conn *pgxpool.Conn, b twopc.Prepared) (twopc.Vote, error) {
	gid, _, err := gidOf(b)
	if err != nil {
		return twopc.Vote{}, semel.NotDone(err)
	}
	tag, err := conn.Exec(ctx, "PREPARE TRANSACTION '"+gid+"'")
	switch code := refusal(err); {
	case err == nil && tag.String() == "PREPARE TRANSACTION":
		return twopc.Vote{Handle: b.Handle}, nil
	case err == nil: // as it answers in a transaction that failed before
		return twopc.Vote{}, semel.NotDone(fmt.Errorf("the server answered %s instead of preparing: a statement before had failed", tag))
	case code == prerequisite:
		return twopc.Vote{}, semel.Reject("prepared_transactions_disabled", "%s", disabled)
	case code == unsupported:
		return twopc.Vote{}, semel.Reject("not_preparable", "%v", err)
	case code != "":
		return twopc.Vote{}, semel.NotDone(err)
	}
	return twopc.Vote{}, fmt.Errorf("whether the branch is prepared is not known: %w", err)
}

// unended is the transaction as Work sees it.
type unended struct{ pgx.Tx }

var errUnended = errors.New("the transaction is not the work's to end: return nil to prepare it, or an error")

// Commit returns an error.
func (unended) Commit(context.Context) error { return errUnended }

// Rollback returns an error.
func (unended) Rollback(context.Context) error { return errUnended }
