package bench

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// contest is what is compared: the engine as one node and as three, and what is
// written by hand, each with tables of its own.
type contest struct {
	one, three *nodes
	hand       *byHand
}

// contest opens them. What is written by hand has at most as many connections as
// serve it best.
func (r *pgRun) contest(connections int) (c *contest, err error) {
	c = &contest{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	schema := r.schema("node")
	if c.one, err = openNodes(r.ctx, r.at(schema), 1, semel.Config{}); err != nil {
		return c, err
	}
	if c.three, err = openNodes(r.ctx, r.at(r.schema("nodes")), 3, semel.Config{}); err != nil {
		return c, err
	}
	// The agents come into memory, and there are rows to be measured.
	r.Progress("a start")
	l := r.Batch
	l.For, l.Agents, l.Stop = r.Round, r.Agents, r.ctx.Done()
	for _, n := range []*nodes{c.one, c.three} {
		if _, err = n.run(l); err != nil {
			return c, err
		}
	}
	sizes, err := r.rowSizes(schema)
	if err != nil {
		return c, err
	}
	if schema, err = r.create("hand"); err != nil {
		return c, err
	}
	c.hand, err = newByHand(r.ctx, r.DSN, schema, r.Agents, connections, sizes)
	return c, err
}

func (c *contest) close() error {
	var errs []error
	for _, n := range []*nodes{c.one, c.three} {
		if n != nil {
			errs = append(errs, n.close())
		}
	}
	if c.hand != nil {
		c.hand.pool.Close()
	}
	return errors.Join(errs...)
}

// rowSizes are the sizes of what the engine wrote.
func (r *pgRun) rowSizes(schema string) (s rowSizes, err error) {
	err = r.server.QueryRow(r.ctx, fmt.Sprintf(`SELECT
		(SELECT avg(octet_length(value))::int FROM (SELECT value FROM %[1]s.semel_dedup_1 LIMIT 10000) d),
		(SELECT avg(octet_length(value))::int FROM %[1]s.semel_row WHERE tbl = %[2]d)`, schema, message.TableState)).Scan(&s.outcome, &s.state)
	return s, err
}

// mostConnections is how many are tried by hand: beyond it, each one more only
// waits longer for the others.
const mostConnections = 64

// batches compares steps in batches with units by hand of the same size, and
// with a transaction for each operation.
func (r *pgRun) batches(name string) (err error) {
	c, err := r.contest(mostConnections)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	single, err := r.bestEach(c.hand)
	if err != nil {
		return err
	}

	// Units by hand are always as large as the engine's were in its last round.
	load := Point{Callers: r.Batch.Callers, Batch: r.Batch.Group}.Load()
	size, sizes := c.one.stepsOfUnit(), []float64(nil)
	engine := &contender{name: "one node, " + load, load: r.Batch, run: func(l Load) (Result, error) {
		out, err := c.one.run(l)
		size = c.one.stepsOfUnit()
		sizes = append(sizes, float64(size))
		return out, err
	}}
	var ways []*contender
	for _, writers := range []int{1, 4, 16} {
		ways = append(ways, &contender{name: counted(writers, "connection"), load: Load{Callers: writers}, run: func(l Load) (Result, error) {
			l.Group = size
			return c.hand.units(l)
		}})
	}
	units, err := r.best("units by hand", ways...)
	if err != nil {
		return err
	}
	units.name = "units by hand of the same size, " + units.name
	cluster := &contender{name: "three nodes, " + load, load: r.Batch, run: c.three.run}
	if err := r.turns(name, r.Rounds, r.Round, engine, units, single, cluster); err != nil {
		return err
	}
	r.sheet.note("units: one node's have %.0f steps (the median of its rounds), and those by hand have as many; three nodes' have %d",
		median(sizes), c.three.stepsOfUnit())
	r.add(engine, units, unitsGoal)
	r.add(engine, single, eachGoal)
	r.add(cluster, engine, goal{})
	return nil
}

// bestEach is a transaction for each operation, with the number of connections
// that serves it best.
func (r *pgRun) bestEach(hand *byHand) (*contender, error) {
	var ways []*contender
	for _, n := range []int{16, mostConnections} {
		ways = append(ways, &contender{name: counted(n, "connection"), load: Load{Callers: n, Group: 1}, run: hand.each})
	}
	top, err := r.best("a transaction for each operation", ways...)
	if err != nil {
		return nil, err
	}
	r.connections = top.load.Callers
	top.name = "a transaction for each operation, " + top.name
	return top, nil
}

// callers compares single calls with a transaction for each operation.
func (r *pgRun) callers(name string, n int) (err error) {
	connections := r.connections
	if connections == 0 { // batches were left out
		connections = mostConnections
	}
	c, err := r.contest(connections)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	l := Load{Callers: n, Group: 1}
	engine := &contender{name: "one node, " + name, load: l, run: c.one.run}
	single := &contender{name: "a transaction for each, over " + counted(min(n, connections), "connection"), load: l, run: c.hand.each}
	cluster := &contender{name: "three nodes, " + name, load: l, run: c.three.run}
	if err := r.turns(name, r.Rounds, r.Round, engine, single, cluster); err != nil {
		return err
	}
	r.add(engine, single, goal{})
	r.add(cluster, engine, goal{})
	return nil
}

// timeless measures calls whose keys carry no time, in a shard that is older than
// its node: each is looked up, which is a round trip to the database.
func (r *pgRun) timeless(name string) (err error) {
	schema := r.schema("timeless")
	first, err := openNodes(r.ctx, r.at(schema), 1, semel.Config{})
	if err != nil {
		return err
	}
	l := r.Batch
	l.For, l.Agents, l.Stop = r.Round, r.Agents, r.ctx.Done()
	_, err = first.run(l)
	if err = errors.Join(err, first.close()); err != nil {
		return err
	}
	now, err := openNodes(r.ctx, r.at(schema), 1, semel.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, now.close()) }()
	timed, timeless := now.benches[0].CallerKeys, uuid.NewString
	keyed := func(key func() string) func(Load) (Result, error) {
		return func(l Load) (Result, error) {
			now.benches[0].CallerKeys = key
			return now.run(l)
		}
	}
	for _, l := range []Load{{Callers: 64, Group: 1}, r.Batch} {
		at := Point{Callers: l.Callers, Batch: l.Group}.Load()
		with := &contender{name: "keys with a time", load: l, run: keyed(timed)}
		without := &contender{name: name + ", " + at, load: l, run: keyed(timeless)}
		if err := r.turns(name+", "+at, r.Rounds, r.Round, without, with); err != nil {
			return err
		}
		r.add(without, with, goal{})
	}
	return nil
}
