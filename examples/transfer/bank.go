package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/twopc"
)

// bank moves money from accounts to the shop's till.
type bank struct {
	accounts *ledger.Accounts
	co       *twopc.Coordinator
	pool     *pgxpool.Pool
	out      io.Writer
}

// sale is what the shop's database is asked for.
type sale struct {
	Shop  string `json:"shop"`
	Cents int64  `json:"cents"`
}

// credit is the work of the branch in PostgreSQL. It neither commits nor rolls
// back: the decision does.
func credit(ctx context.Context, tx pgx.Tx, b twopc.Branch) (json.RawMessage, error) {
	var s sale
	if err := json.Unmarshal(b.Body, &s); err != nil {
		return nil, semel.Reject("invalid_sale", "%v", err)
	}
	tag, err := tx.Exec(ctx, "UPDATE till SET cents = cents + $2 WHERE shop = $1", s.Shop, s.Cents)
	if err == nil && tag.RowsAffected() == 0 {
		return nil, semel.Reject("unknown_shop", "there is no shop %q", s.Shop)
	}
	return nil, err
}

// pay moves money for an order, whose name is the key: asked again, it says what
// it said before, and moves nothing.
func (b *bank) pay(ctx context.Context, order string, cents int64) error {
	r, err := b.co.Run(ctx, order, []twopc.Part{
		twopc.Do(b.accounts.Debit.Ref, "alice", ledger.Amount{Cents: cents}),
		b.co.With("shop", sale{Shop: "lamps", Cents: cents}),
	})
	var no *semel.Rejection
	switch {
	case errors.As(err, &no):
		who, _ := twopc.RefusedOf(err)
		fmt.Fprintf(b.out, "%s, %d cents: refused, %s says %s\n", order, cents, who.At, no.Code)
		return nil
	case err != nil:
		return err
	}
	// It is decided. Here we wait until both have heard of that, as nobody must, to
	// show what they have.
	for {
		info, err := b.co.Get(ctx, r.Tx)
		if err != nil {
			return err
		}
		if !info.InDoubt() {
			fmt.Fprintf(b.out, "%s, %d cents: paid\n", order, cents)
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// show tells what both sides have.
func (b *bank) show(ctx context.Context) error {
	alice, _, err := b.accounts.Get(ctx, "alice")
	if err != nil {
		return err
	}
	var till int64
	if err := b.pool.QueryRow(ctx, "SELECT cents FROM till WHERE shop = 'lamps'").Scan(&till); err != nil {
		return err
	}
	fmt.Fprintf(b.out, "alice has %d, and the shop %d\n", alice.Cents, till)
	return nil
}

// dying is PostgreSQL, as long as this process lives: it can be made to end when
// PostgreSQL has promised a payment, the decision is durable, and nobody has told
// PostgreSQL of it.
type dying struct {
	twopc.Participant
	out io.Writer
	now atomic.Bool
}

func (d *dying) Commit(ctx context.Context, p twopc.Prepared) error {
	if d.now.Load() {
		fmt.Fprintln(d.out, "the process ends: the last order is decided, and PostgreSQL has not heard of it")
		os.Exit(3)
	}
	return d.Participant.Commit(ctx, p)
}
