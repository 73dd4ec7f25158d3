package outbox

import (
	"context"
	"database/sql"
	"errors"
)

// SQLDB makes a pool of database/sql usable by a Relay. It should be durable: in
// SQLite synchronous is FULL or more, in InnoDB innodb_flush_log_at_trx_commit
// is 1; otherwise a relay refuses it, see ErrUnsafeServer.
func SQLDB(d Dialect, db *sql.DB) DB { return stdDB{d, db} }

type stdDB struct {
	dialect Dialect
	db      *sql.DB
}

func (d stdDB) Exec(ctx context.Context, query string, args ...any) (ExecResult, error) {
	return stdExec(ctx, d.db, query, args)
}

func (d stdDB) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	return stdQuery(ctx, d.db, query, args)
}

func (d stdDB) Begin(ctx context.Context) (DBTx, error) {
	if d.dialect == SQLite {
		return beginImmediate(ctx, d.db)
	}
	tx, err := d.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return nil, err
	}
	return stdDBTx{stdTx{tx}, tx}, nil
}

type stdDBTx struct {
	stdTx
	own *sql.Tx
}

// Commit ends the transaction. An error does not say that it was not committed,
// except sql.ErrTxDone: database/sql had rolled it back when a context ended.
func (t stdDBTx) Commit(context.Context) error { return t.own.Commit() }

func (t stdDBTx) Rollback(context.Context) error {
	if err := t.own.Rollback(); !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}

// connTx is a transaction of SQLite that is the writer from its beginning.
// database/sql's BeginTx would start a deferred one, which becomes the writer at
// its first write, and fails there if others wrote since its first read.
type connTx struct {
	stdTx
	conn *sql.Conn
	done bool
}

func beginImmediate(ctx context.Context, db *sql.DB) (DBTx, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := c.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		// A context that ended may have interrupted it after it began.
		_, _ = c.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return nil, errors.Join(err, c.Close())
	}
	return &connTx{stdTx: stdTx{c}, conn: c}, nil
}

func (t *connTx) Commit(ctx context.Context) error {
	if t.done {
		return sql.ErrTxDone
	}
	// Not interrupted: a commit that takes long should not become one whose
	// end is unknown.
	if _, err := t.conn.ExecContext(context.WithoutCancel(ctx), "COMMIT"); err != nil {
		return err
	}
	t.done = true
	return t.conn.Close()
}

func (t *connTx) Rollback(ctx context.Context) error {
	if t.done {
		return nil
	}
	t.done = true
	// SQLite may have rolled back by itself, after a full disk for example;
	// then this fails, and there is nothing to do.
	_, _ = t.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	return t.conn.Close()
}
