package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/semel-dev/semel/twopc"
)

// Work is the user's part of a branch: SQL in a transaction that is not its own to
// end. It may run more than once, and of all runs at most one takes effect. A
// [*semel.Rejection] votes no; after any other error it is run again.
//
// A reply is for a branch that only reads. One that writes has none: if the answer
// of Prepare is lost, what was prepared is found again, and what Work had to say is
// not. Such a branch votes no, with the code "reply_of_a_write".
//
// What PostgreSQL cannot prepare (temporary tables, LISTEN and NOTIFY, cursors WITH
// HOLD, exported snapshots) votes no, with the code "not_preparable".
type Work func(ctx context.Context, tx pgx.Tx, b twopc.Branch) (json.RawMessage, error)

// Options of a participant. The zero value is good.
type Options struct {
	// Tx is how the transaction begins. The default is the database's.
	Tx pgx.TxOptions
	// Timeout of a call, if its context does not end before. The default is 30 s.
	// It is the server's too, for each statement, lock and pause in a transaction: a
	// caller that does not come back holds nothing for longer.
	Timeout time.Duration
}

// Participant is a database. It is safe for concurrent use.
type Participant struct {
	pool *pgxpool.Pool
	work Work
	o    Options
	room chan struct{} // of connections for work; one is left for what must not wait
}

var _ twopc.Participant = (*Participant)(nil)

// New makes a participant of a database. The pool stays the caller's to close. It
// needs two connections at least: work may wait for the locks of other branches, and
// one connection is kept from it, for the decisions that free them. Its
// user needs the right to do the work; resolving what another user prepared needs a
// superuser.
func New(pool *pgxpool.Pool, work Work, o *Options) *Participant {
	p := &Participant{pool: pool, work: work, room: make(chan struct{}, max(1, int(pool.Config().MaxConns)-1))}
	if o != nil {
		p.o = *o
	}
	p.o.Timeout = cmp.Or(p.o.Timeout, 30*time.Second)
	return p
}

// within is the context of a call, which has a deadline, and what is left until it.
func (p *Participant) within(ctx context.Context) (context.Context, context.CancelFunc, time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	end, _ := ctx.Deadline()
	return ctx, cancel, max(time.Until(end), time.Millisecond)
}

const disabled = "the server does not allow prepared transactions: set max_prepared_transactions in postgresql.conf, " +
	"to as many as may be under way at once (such as max_connections), and restart it"

// Check says why the database cannot take part: it is of no use to start with one.
func (p *Participant) Check(ctx context.Context) error {
	ctx, cancel, _ := p.within(ctx)
	defer cancel()
	var version, most int
	var standby bool
	err := p.pool.QueryRow(ctx, `SELECT current_setting('server_version_num')::int,
		current_setting('max_prepared_transactions')::int, pg_is_in_recovery()`).Scan(&version, &most, &standby)
	switch {
	case err != nil:
		return fmt.Errorf("ask the database whether it can take part in transactions: %w", err)
	case version < 130000:
		return fmt.Errorf("PostgreSQL 13 or newer is needed, and the server is %d", version/10000)
	case standby:
		return fmt.Errorf("the server is a standby, which prepares nothing; connect to the primary (target_session_attrs=read-write)")
	case most == 0:
		return fmt.Errorf("%s", disabled)
	}
	return nil
}
