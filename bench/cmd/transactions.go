package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"os"

	"github.com/semel-dev/semel/bench"
	"github.com/semel-dev/semel/internal/pgtest"
)

// transactions are the flags of that benchmark.
type transactions struct {
	chosen  bool
	dtm     string
	callers numbers
}

// numbers is a flag of several.
type numbers []int

func (n *numbers) String() string { return strings.Trim(fmt.Sprint([]int(*n)), "[]") }

func (n *numbers) Set(value string) error {
	*n = nil
	for _, one := range strings.Split(value, ",") {
		x, err := strconv.Atoi(strings.TrimSpace(one))
		if err != nil || x < 1 || x > bench.MaxCallers {
			return errors.New("numbers from 1 to " + strconv.Itoa(bench.MaxCallers) + " are wanted, with commas between them")
		}
		*n = append(*n, x)
	}
	return nil
}

// inDoubt are a server's settings for transactions: there is room for those that
// are prepared, which by default there is not.
var inDoubt = append(defaults[:len(defaults):len(defaults)], pgtest.Set("max_prepared_transactions", "300"))

func measureTransactions(tx transactions, pg server, dir, html string, asJSON bool, b bench.Transactions) error {
	b.DTM, b.Callers = tx.dtm, tx.callers
	if len(b.Callers) == 0 {
		b.Callers = []int{1, 16, 64}
	}
	if pg.chosen {
		return pg.with(dir, inDoubt, func(ctx context.Context, dsn string) error {
			b.Postgres = dsn
			return write(html, asJSON, func() (*bench.Sheet, error) { return b.Compare(ctx) })
		})
	}
	ctx, unhook := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer unhook()
	return write(html, asJSON, func() (*bench.Sheet, error) { return b.Compare(ctx) })
}
