// Package pgxtx lets an outbox work in transactions of pgx. It imports pgx, which
// package outbox does not.
//
//	out, err := box.Once(ctx, pgxtx.Tx(tx), key, fn)
//	relay, err := outbox.NewRelay(box, pgxtx.DB(pool), sink, nil)
package pgxtx

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/semel-dev/semel/outbox"
)

// Tx makes a transaction of pgx usable by an outbox.
func Tx(tx pgx.Tx) outbox.Tx { return over{tx} }

// Pool is what DB needs: *pgxpool.Pool has it.
type Pool interface {
	runner
	BeginTx(ctx context.Context, o pgx.TxOptions) (pgx.Tx, error)
}

// DB makes a pool of pgx usable by a relay. It must write to the primary.
func DB(pool Pool) outbox.DB { return db{over{pool}, pool} }

// runner is what a transaction and a pool have in common.
type runner interface {
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
}

type over struct{ r runner }

func (o over) Exec(ctx context.Context, query string, args ...any) (outbox.ExecResult, error) {
	tag, err := o.r.Exec(ctx, query, args...)
	return outbox.ExecResult{Affected: tag.RowsAffected()}, err
}

func (o over) Query(ctx context.Context, query string, args ...any) (outbox.Rows, error) {
	r, err := o.r.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return rows{r}, nil
}

type rows struct{ pgx.Rows }

// Close closes the rows. What went wrong is Err's to say.
func (r rows) Close() error {
	r.Rows.Close()
	return nil
}

type db struct {
	over
	pool Pool
}

func (d db) Begin(ctx context.Context) (outbox.DBTx, error) {
	tx, err := d.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		return nil, err
	}
	return dbTx{over{tx}, tx}, nil
}

type dbTx struct {
	over
	tx pgx.Tx
}

func (t dbTx) Commit(ctx context.Context) error { return t.tx.Commit(ctx) }

func (t dbTx) Rollback(ctx context.Context) error {
	if err := t.tx.Rollback(ctx); !errors.Is(err, pgx.ErrTxClosed) {
		return err
	}
	return nil
}
