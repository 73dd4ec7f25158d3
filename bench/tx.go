package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/store/pebble"
	"github.com/semel-dev/semel/store/postgres"
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
	dir      string
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
	r := &txRun{Transactions: t, dir: dir, ctx: ctx, sheet: &Sheet{Title: "Transactions of two participants, beside DTM"}}
	r.turns = turns{ctx: ctx, progress: t.Progress}
	r.costs = Grid{
		Title: "Where the processors' time goes, for each transaction; and how much of it that was",
		Head:  []string{"workload", "callers and branches", "manager", "its database", "processors busy with it"},
	}
	r.sheet.Machine = thisMachine(dir)
	t.Progress("DTM is built")
	if r.build, err = buildDTM(ctx, t.DTM, dir); err != nil {
		return nil, err
	}
	r.notes()
	if r.branches, err = serveBranches(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.branches.close()) }()
	if err := r.onStore("", "embedded store"); err != nil {
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

// onPostgres measures on a server, in a schema that is dropped.
func (r *txRun) onPostgres() (err error) {
	server, err := pgx.Connect(r.ctx, r.Postgres)
	if err != nil {
		return err
	}
	p := &pgRun{Postgres: Postgres{DSN: r.Postgres}, ctx: r.ctx, server: server, sheet: r.sheet}
	defer func() { err = errors.Join(err, p.drop(), server.Close(context.WithoutCancel(r.ctx))) }()
	if err := p.look(); err != nil {
		return err
	}
	schema, err := p.create("dtm")
	if err != nil {
		return err
	}
	return r.onStore(schema, "PostgreSQL")
}

// postmaster is the process whose children serve the connections, if the server
// is on this machine; 0 if not.
func (r *txRun) postmaster() (pid int, err error) {
	c, err := pgx.Connect(r.ctx, r.Postgres)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(r.ctx))) }()
	var backend int
	if err := c.QueryRow(r.ctx, "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		return 0, err
	}
	_, pid = processTime(backend)
	return pid, nil
}

// onStore measures with managers on a schema of PostgreSQL, or on embedded
// stores if it is empty.
func (r *txRun) onStore(schema, name string) (err error) {
	var dsn string
	if schema != "" {
		dsn = r.Postgres
	}
	on := pebble.At(filepath.Join(r.dir, "embedded"), pebble.Options{Logger: slog.New(slog.DiscardHandler)})
	if schema != "" {
		on = postgres.At(dsn, postgres.Options{Schema: schema + "_semel"})
	}
	own, err := openTx(r.ctx, on, r.branches)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.close()) }()
	d, err := startDTM(r.ctx, r.build, dsn, schema)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if schema != "" {
		if d.database, err = r.postmaster(); err != nil {
			return err
		}
	}
	for _, n := range r.Callers {
		at := name + ", " + Point{Callers: n, Batch: 1}.Load()
		if err := r.sagas(own, d, at, n); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		if err := r.commits(own, d, at, n); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return nil
}

// sagas compares those of two branches over HTTP.
func (r *txRun) sagas(own *txSemel, d *dtm, at string, callers int) error {
	if !strings.Contains(at+", sagas", r.Only) {
		return nil
	}
	in, once := newMeasured(d.saga(r.branches, false), r.branches, callers), newMeasured(d.saga(r.branches, true), r.branches, callers)
	top, tried, err := r.turns.best(at+", sagas of DTM", r.Round/2, &in.contender, &once.contender)
	if err != nil {
		return err
	}
	r.sheet.note("%s", tried)
	if top == &once.contender {
		in = once
	}
	return r.compare(at, goal{3}, newMeasured(own.saga(), r.branches, callers), newMeasured(in.way, r.branches, callers), newMeasured(callsAlone(r.branches), r.branches, callers))
}

// commits compares transactions in which both participants promise before either
// acts.
func (r *txRun) commits(own *txSemel, d *dtm, at string, callers int) error {
	if !strings.Contains(at+", two-phase commits", r.Only) {
		return nil
	}
	return r.compare(at, goal{}, newMeasured(own.agents(), r.branches, callers), newMeasured(d.tcc(r.branches, false), r.branches, callers), newMeasured(d.tcc(r.branches, true), r.branches, callers))
}

// compare measures ways in turns, and puts the first beside the others.
func (r *txRun) compare(at string, g goal, all ...*measured) error {
	var contenders []*contender
	for _, m := range all {
		contenders = append(contenders, &m.contender)
	}
	if err := r.turns.take(at, r.Rounds, r.Round, contenders...); err != nil {
		return err
	}
	for _, m := range all {
		m.contender.name = at + ": " + m.way.name
		r.cost(m)
	}
	for _, m := range all[1:] {
		r.sheet.add(contenders[0], &m.contender, g)
	}
	return nil
}

// cost says where the time went.
func (r *txRun) cost(m *measured) {
	each := func(d time.Duration) string { return short(d / time.Duration(max(m.ops, 1))) }
	busy := float64(m.own+m.used.manager+m.used.database) / float64(m.elapsed) / float64(r.sheet.Machine.Cores)
	r.costs.Cells = append(r.costs.Cells, []string{m.contender.name, each(m.own), each(m.used.manager), each(m.used.database), percent(busy)})
	if m.again > 0 {
		r.sheet.note("%s: %d calls of branches came more than once", m.contender.name, m.again)
	}
}
