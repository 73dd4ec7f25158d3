package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/postgres"
)

// txStore is where managers keep their transactions.
type txStore struct {
	name      string
	own       store.Opener // Semel's
	dtmSchema string       // DTM's, on database; it has a store of its own if that is nil
	database  *txDatabase
}

// onPostgres measures on a server, in schemas that are dropped.
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
	s := txStore{name: "PostgreSQL", database: &txDatabase{ctx: r.ctx, dsn: r.Postgres}}
	if s.dtmSchema, err = p.create("dtm"); err != nil {
		return err
	}
	if err := s.database.find(); err != nil {
		return err
	}
	s.own = postgres.At(r.Postgres, postgres.Options{Schema: p.schema("semel"), Shards: r.Shards})
	return r.onStore(s)
}

// onStore measures with managers on one.
func (r *txRun) onStore(on txStore) (err error) {
	own, err := openTx(r.ctx, on.own, r.branches)
	if err != nil {
		return err
	}
	own.database = on.database
	defer func() { err = errors.Join(err, own.close()) }()
	served, err := own.serve()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, served.server.close()) }()
	var d *dtm
	if !r.Alone {
		if d, err = startDTM(r.ctx, r.build, on.database, on.dtmSchema); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.close()) }()
	}
	for _, n := range r.Callers {
		at := on.name + ", " + Point{Callers: n, Batch: 1}.Load()
		for _, kind := range []struct {
			name    string
			measure func(*txHTTP, *dtm, string, int) error
		}{{"sagas", r.sagas}, {"two-phase commits", r.commits}} {
			if !strings.Contains(at+", "+kind.name, r.Only) {
				continue
			}
			if err := kind.measure(served, d, at, n); err != nil {
				return fmt.Errorf("%s, %s: %w", at, kind.name, err)
			}
		}
	}
	return nil
}

// sagaGoal is for a saga of two branches beside DTM's.
var sagaGoal = goal{3}

// sagas compares those of two branches over HTTP.
func (r *txRun) sagas(own *txHTTP, d *dtm, at string, callers int) error {
	alone := r.measured(callers, callsAlone(r.branches))
	if r.Alone {
		return r.compare(at, sagaGoal, r.measured(callers, own.saga(), own.txSemel.saga()), nil, alone)
	}
	ways := r.measured(callers, d.saga(r.branches, false), d.saga(r.branches, true))
	top, tried, err := r.turns.best(at+", sagas of DTM", r.Round/2, contendersOf(ways)...)
	if err != nil {
		return err
	}
	r.sheet.note("%s", tried)
	better := ways[0].way
	if top == &ways[1].contender {
		better = ways[1].way
	}
	return r.compare(at, sagaGoal, r.measured(callers, own.saga(), own.txSemel.saga()), r.measured(callers, better), alone)
}

// commits compares transactions in which both participants promise before either
// acts.
func (r *txRun) commits(own *txHTTP, d *dtm, at string, callers int) error {
	var theirs []*measured
	if !r.Alone {
		theirs = r.measured(callers, d.tcc(r.branches, false), d.tcc(r.branches, true))
	}
	return r.compare(at, goal{}, r.measured(callers, own.agents(), own.txSemel.agents()), theirs, nil)
}

func (r *txRun) measured(callers int, ways ...way) (all []*measured) {
	for _, w := range ways {
		all = append(all, newMeasured(w, r.branches, callers))
	}
	return all
}

func contendersOf(all []*measured) (out []*contender) {
	for _, m := range all {
		out = append(out, &m.contender)
	}
	return out
}

// compare measures ways in turns. Each of ours is put beside each of theirs;
// others are there for themselves.
func (r *txRun) compare(at string, g goal, ours, theirs, others []*measured) error {
	all := append(append(append([]*measured{}, ours...), theirs...), others...)
	if err := r.turns.take(at, r.Rounds, r.Round, contendersOf(all)...); err != nil {
		return err
	}
	for _, m := range all {
		m.contender.name = at + ": " + m.way.name
		r.cost(m)
	}
	for _, m := range ours {
		for _, x := range theirs {
			r.sheet.add(&m.contender, &x.contender, g)
		}
		if len(theirs) == 0 {
			r.sheet.add(&m.contender, nil, g)
		}
	}
	for _, m := range others {
		r.sheet.add(&m.contender, nil, goal{})
	}
	return nil
}

// cost says what a transaction takes of the machine.
func (r *txRun) cost(m *measured) {
	ops := max(m.ops, 1)
	count := func(n int64) string {
		if n == 0 {
			return "" // it is not counted
		}
		return fmt.Sprintf("%.1f", float64(n)/float64(ops))
	}
	cells := []string{m.contender.name}
	all := m.own + m.used.manager + m.used.database
	for _, d := range []time.Duration{m.own, m.used.manager, m.used.database} {
		cells = append(cells, short(d/time.Duration(ops)))
	}
	cells = append(cells, percent(float64(all)/float64(m.elapsed)/float64(r.sheet.Machine.Cores)), count(m.used.units), count(m.used.commits), count(m.used.syncs))
	r.costs.Cells = append(r.costs.Cells, cells)
	if m.again > 0 {
		r.sheet.note("%s: %d calls of branches came more than once", m.contender.name, m.again)
	}
}
