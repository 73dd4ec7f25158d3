package bench

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/semel-dev/semel/store/pebble"
)

// Transactions measures transactions of two participants, sagas and two-phase
// commit, beside those of DTM on the same machine with the same guarantees of
// durability, on a store of the manager's own and on PostgreSQL. What is compared
// takes turns in short rounds, so that it has the same noise. Callers, branches
// and managers share the machine.
type Transactions struct {
	DTM      string        // the directory of the module that builds DTM's server
	Postgres string        // a URL of a database, in which schemas are made and dropped; empty to leave it out
	Dir      string        // where stores are made and removed
	Round    time.Duration // of one measurement, after a fifth of it to warm up
	Rounds   int           // of each
	Callers  []int         // numbers of callers at once
	Shards   int           // of Semel's stores; the store's default
	Alone    bool          // without DTM, for a profile of Semel itself
	Only     string        // measures only the groups whose name contains this
	Progress func(string)
}

// txRun is one run of it.
type txRun struct {
	Transactions
	ctx      context.Context
	turns    turns
	build    dtmBuild
	branches *branches
	sheet    *Sheet
	costs    Grid
}

// Compare measures. The sheet has no command and no time of its start: the
// caller knows them.
func (t Transactions) Compare(ctx context.Context) (sheet *Sheet, err error) {
	began := time.Now()
	dir, err := os.MkdirTemp(t.Dir, "semel-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r := &txRun{Transactions: t, ctx: ctx, sheet: &Sheet{Title: "Transactions of two participants, beside DTM"}}
	r.turns = turns{ctx: ctx, progress: t.Progress}
	r.costs = Grid{
		Title: "Where the processors' time goes, for each transaction; and how much of it that was",
		Head:  []string{"workload", "this process: callers, branches, and a manager in process", "DTM", "its database", "processors busy with it", "units of Semel", "transactions in the database", "syncs of its log"},
	}
	r.sheet.Machine = thisMachine(dir)
	if !t.Alone {
		t.Progress("DTM is built")
		if r.build, err = buildDTM(ctx, t.DTM, dir); err != nil {
			return nil, err
		}
		r.notes()
	}
	if r.branches, err = serveBranches(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.branches.close()) }()
	embedded := txStore{name: "embedded store", own: pebble.At(filepath.Join(dir, "embedded"), pebble.Options{Logger: slog.New(slog.DiscardHandler), Shards: t.Shards})}
	if err := r.onStore(embedded); err != nil {
		return nil, err
	}
	if t.Postgres != "" {
		if err := r.onPostgres(); err != nil {
			return nil, err
		}
	}
	r.sheet.Grids = append(r.sheet.Grids, r.costs)
	r.sheet.Took = time.Since(began)
	return r.sheet, nil
}

func (r *txRun) notes() {
	r.sheet.note("DTM is %s %s, logging errors alone, keeping %d connections to the branches; its embedded store is bbolt, which syncs each commit, and on PostgreSQL it has up to %d connections",
		dtmModule, r.build.version, dtmIdle, dtmConnections)
	r.sheet.note("callers and both branches, over HTTP on the loopback address, are one process; a branch does nothing and says yes; that every transaction called all its branches is checked after each round, and the time until the last call counts")
}
