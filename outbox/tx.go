package outbox

import (
	"context"
	"database/sql"
	"errors"
)

// Tx is a transaction of the caller's. SQLTx makes one of database/sql's, and
// pgxtx.Tx of pgx's. Statements come with placeholders of the dialect ($1 for
// PostgreSQL, ? elsewhere) and arguments that are string, int64 or []byte. It
// need not be safe for concurrent use: a transaction is not.
type Tx interface {
	Exec(ctx context.Context, query string, args ...any) (ExecResult, error)
	Query(ctx context.Context, query string, args ...any) (Rows, error)
}

// ExecResult of a statement. LastID is MariaDB's LAST_INSERT_ID, zero elsewhere.
type ExecResult struct{ Affected, LastID int64 }

// Rows are what a query found. Scan gets pointers to string, int64 and []byte;
// the bytes are the caller's.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// DB is where a Relay, and whoever looks after the tables, gets connections of
// its own. SQLDB makes one of a *sql.DB, and pgxtx.DB of a pgx pool. It is safe
// for concurrent use. Its Exec and Query commit by themselves.
type DB interface {
	Tx
	// Begin starts a transaction whose statements each see what is committed
	// when they begin (read committed), and which in SQLite is the writer from
	// its beginning (BEGIN IMMEDIATE).
	Begin(ctx context.Context) (DBTx, error)
}

// DBTx is a transaction that Begin started. After Commit, Rollback does nothing.
type DBTx interface {
	Tx
	Commit(ctx context.Context) error
	Rollback(ctx context.Context) error
}

// StdTx is what SQLTx needs of a transaction: *sql.Tx has it, and so have
// sqlx.Tx, bun.Tx and GORM's ConnPool (tx.Statement.ConnPool).
type StdTx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// SQLTx makes a transaction of database/sql usable here. A *sql.DB is refused,
// when it is used: each of its statements is a transaction of its own.
func SQLTx(tx StdTx) Tx { return stdTx{tx} }

var errNoTx = errors.New("outbox: a transaction is needed, and this is a pool of connections, on which each statement is its own")

type stdTx struct{ tx StdTx }

// noTx says that tx is a *sql.DB, or embeds one.
func (t stdTx) noTx() bool {
	_, pool := t.tx.(interface{ Stats() sql.DBStats })
	return pool || t.tx == nil
}

func (t stdTx) Exec(ctx context.Context, query string, args ...any) (ExecResult, error) {
	if t.noTx() {
		return ExecResult{}, errNoTx
	}
	return stdExec(ctx, t.tx, query, args)
}

func (t stdTx) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	if t.noTx() {
		return nil, errNoTx
	}
	return stdQuery(ctx, t.tx, query, args)
}

func stdExec(ctx context.Context, tx StdTx, query string, args []any) (ExecResult, error) {
	r, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return ExecResult{}, err
	}
	var out ExecResult
	if out.Affected, err = r.RowsAffected(); err != nil {
		return ExecResult{}, err
	}
	out.LastID, _ = r.LastInsertId() // not every driver has it; only MariaDB's is used
	return out, nil
}

func stdQuery(ctx context.Context, tx StdTx, query string, args []any) (Rows, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// one reads the only row of a query; found is false if there is none.
func one(ctx context.Context, tx Tx, query string, args []any, dest ...any) (found bool, err error) {
	err = each(ctx, tx, query, args, func(rows Rows) error {
		found = true
		return rows.Scan(dest...)
	})
	return found, err
}

// each reads all rows of a query.
func each(ctx context.Context, tx Tx, query string, args []any, read func(Rows) error) (err error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := read(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
