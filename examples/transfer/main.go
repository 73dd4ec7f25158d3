// Command transfer moves money from an account, which is an agent, to a row of a
// PostgreSQL table, by two-phase commit: it leaves there and arrives here, or
// neither. The server must allow prepared transactions (max_prepared_transactions).
//
//	go run ./examples/transfer -dsn postgres://… -crash
//	go run ./examples/transfer -dsn postgres://…
//
// With -crash the process ends when the last transfer is decided and PostgreSQL
// has not heard of it. The next run finishes it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/store/pebble"
	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/twopc/postgres"
)

func main() {
	dsn := flag.String("dsn", "", "the PostgreSQL database, in which a table is made")
	dir := flag.String("data", "transfer.data", "the directory of the accounts and the decisions")
	crash := flag.Bool("crash", false, "end before PostgreSQL hears of the last decision")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, *dsn, *dir, *crash); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, dsn, dir string, crash bool) (err error) {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, "CREATE TABLE IF NOT EXISTS till (shop text PRIMARY KEY, cents bigint NOT NULL)"); err != nil {
		return err
	}
	// Not ON CONFLICT DO NOTHING: that would wait for the row, which a transaction
	// that was left prepared has locked until we finish it.
	if _, err := pool.Exec(ctx, "INSERT INTO till SELECT 'lamps', 0 WHERE NOT EXISTS (SELECT FROM till)"); err != nil {
		return err
	}
	shop := postgres.New(pool, credit, nil)
	if err := shop.Check(ctx); err != nil {
		return err
	}
	left, err := shop.Recover(ctx)
	if err != nil {
		return err
	}
	for range left {
		fmt.Fprintln(out, "found in PostgreSQL, prepared by a process that is gone: 1 transfer")
	}

	app, err := semel.Open(ctx, pebble.At(dir), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.Close(ctx)) }()
	b := &bank{accounts: ledger.Register(app), co: twopc.New(app, nil), pool: pool, out: out}
	end := &dying{Participant: shop, out: out}
	b.co.Register("shop", end)
	if _, err := b.accounts.Open.Call(ctx, "alice", ledger.Open{Cents: 1000}, semel.Key("open")); err != nil {
		return err
	}
	payments := []int64{400, 5000, 300}
	for i, cents := range payments {
		end.now.Store(crash && i == len(payments)-1)
		if err := b.pay(ctx, fmt.Sprint("order-", i+1), cents); err != nil {
			return err
		}
	}
	return b.show(ctx)
}
