package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// A follower reads the feed beside the loops, in the goroutine of whoever
// iterates over it. What it reads must be durable before it is told. Of the
// feed's rows it takes those of units that were acknowledged. A state may be
// newer than that: so it waits until the last unit that was submitted by the
// time of the read is acknowledged too. Sequences tell that only while the
// session lives: a unit that is lost leaves its sequence to another one. So
// each read is of one reign of the shard, the life of one machine, and counts
// only if that goes on when all that it showed is known to be durable.

const (
	feedRows   = 64 // of the feed that are read at once: each may name thousands of agents
	feedStates = 64 // that are read at once
)

// errLeft says that nobody wants more.
var errLeft = errors.New("the iteration was left")

type follower struct {
	engine *Engine
	typ    *core.Type
	prefix []byte // of the row keys of the agents that are followed
	places []place
	start  feedStart

	ctx   context.Context // of run
	yield func(Change, error) bool
	wake  chan struct{}
	buf   []byte
}

func newFollower(e *Engine, tenant, typ string, start feedStart) *follower {
	prefix := message.Agent{Tenant: tenant, Type: typ}.AppendKey(nil)
	return &follower{
		engine: e, typ: e.behavior.Types[typ], start: start, places: slices.Clone(start.places),
		prefix: prefix[:len(prefix)-1], // without the end of the empty id
	}
}

// run follows until the end.
func (f *follower) run(ctx context.Context, yield func(Change, error) bool) {
	f.ctx, f.yield, f.wake = ctx, yield, f.engine.feed.join()
	defer f.engine.feed.leave(f.wake)
	err := f.begin()
	for err == nil {
		moved := false
		for i := range f.places {
			var m bool
			if m, err = f.page(i); err != nil {
				break
			}
			moved = moved || m
		}
		if err == nil && !moved {
			err = f.wait()
		}
		if err == nil {
			err = f.over()
		}
	}
	var bad *stateError
	switch {
	case errors.Is(err, errLeft):
	case errors.As(err, &bad):
		yield(bad.change, bad.err)
	default:
		yield(Change{}, err)
	}
}

// stateError is an agent whose state cannot be told.
type stateError struct {
	change Change
	err    error
}

func (e *stateError) Error() string { return e.err.Error() }

// over says why the follower must end.
func (f *follower) over() error {
	e := f.engine
	if err := f.ctx.Err(); err != nil {
		return err
	}
	if e.failed.Load() {
		return &message.Fault{Code: message.CodeStoreUnavailable, Detail: "the storage device failed; the process is about to end"}
	}
	if fault := e.notRunning(); fault != nil {
		return fault
	}
	return nil
}

// wait sleeps until something may have changed.
func (f *follower) wait() error {
	select {
	case <-f.wake:
	case <-f.ctx.Done():
	case <-f.engine.ctx.Done():
	}
	return f.over()
}

// reign is one life of a shard's machine, for reads beside the loop.
type reign struct {
	shard   *shard
	number  uint64
	session store.Session
}

// reads begins reads of a shard; it reports false while the shard is down.
func (sh *shard) reads() (reign, bool) {
	n := sh.reign.Load()
	return reign{sh, n, sh.session()}, n%2 == 1
}

// lasts says whether the machine still runs: the session was one, and no
// sequence meant two units.
func (r reign) lasts() bool { return r.shard.reign.Load() == r.number }

// failed is what a read's error means: nil says that it is to be tried again.
func (f *follower) failed(r reign, err error) error {
	if over := f.over(); over != nil {
		return over
	}
	if !r.lasts() {
		return nil
	}
	return fmt.Errorf("follow shard %d: %w", r.shard.id, err)
}

// floor reads up to where a shard's feed may have forgotten something.
func (f *follower) floor(r reign) (message.Seq, error) {
	began := message.Seq(r.shard.durable.Load())
	values, err := r.session.Get(f.ctx, []message.RowKey{core.FloorKey()})
	switch {
	case err != nil:
		return 0, err
	case values[0] == nil:
		// The first unit of this machine is on its way, and has it. It says
		// what the store was at before, and nothing was acknowledged since.
		return began, nil
	}
	return core.ReadFloor(values[0])
}

// begin sees whether all that the follower is to be told is remembered. It
// looks at every shard first, because each position speaks of all.
func (f *follower) begin() error {
	s := f.start
	switch {
	case s.reset:
		return f.reset()
	case s.places != nil && !s.check:
		return nil
	case s.places == nil:
		f.places = make([]place, len(f.engine.shards))
	}
	for i, sh := range f.engine.shards {
		floor, err := f.knownFloor(sh)
		if err != nil {
			return err
		}
		p := &f.places[i]
		if s.places == nil {
			p.seq = floor
		} else if p.seq < floor || p.seq > message.Seq(sh.durable.Load()) {
			return f.reset()
		}
	}
	return nil
}

// knownFloor is floor, as soon as the shard is there.
func (f *follower) knownFloor(sh *shard) (message.Seq, error) {
	for {
		if err := f.over(); err != nil {
			return 0, err
		}
		r, up := sh.reads()
		if !up {
			if err := f.wait(); err != nil {
				return 0, err
			}
			continue
		}
		floor, err := f.floor(r)
		if err != nil {
			if err = f.failed(r, err); err != nil {
				return 0, err
			}
			continue
		}
		if r.lasts() {
			return floor, nil
		}
	}
}

// reset tells that changes may be missing, and goes on from now: what happens
// while the receiver lists the agents comes again.
func (f *follower) reset() error {
	f.places = f.engine.feedNow()
	if !f.yield(Change{Reset: true, Position: f.position()}, nil) {
		return errLeft
	}
	return nil
}

func (f *follower) position() (p Position) {
	p, f.buf = positionOf(f.engine.store.Incarnation(), f.places, f.buf)
	return p
}

// page tells of the next rows of one shard. It reports false if there was
// nothing to do before the follower is woken.
func (f *follower) page(i int) (moved bool, err error) {
	sh, p := f.engine.shards[i], &f.places[i]
	r, up := sh.reads()
	durable := message.Seq(sh.durable.Load())
	switch {
	case !up || durable == p.seq && r.lasts():
		return false, nil
	case !r.lasts():
		return true, nil
	case durable < p.seq: // what was told is lost, or was never ours
		return true, f.reset()
	}
	rows, all, err := f.rows(r, p, durable)
	if err != nil {
		return true, f.failed(r, err)
	}
	// After the rows: what was dropped before they were read raised it.
	floor, err := f.floor(r)
	if err != nil {
		return true, f.failed(r, err)
	}
	if !r.lasts() {
		return true, nil
	}
	if p.seq < floor {
		return true, f.reset()
	}
	if done, err := f.report(r, p, rows); err != nil || !done {
		return true, err
	}
	if n := len(rows); n > 0 {
		*p = place{rows[n-1].Seq, rows[n-1].Gen}
	}
	if all {
		p.seq = durable
	}
	return len(rows) > 0, nil
}

// rows reads the feed behind a place, of units that are durable. It reports
// whether there are no more of those.
func (f *follower) rows(r reign, p *place, durable message.Seq) (rows []core.Changes, all bool, err error) {
	for {
		limit := feedRows
		if p.gen == 0 {
			limit = 1 // to find the generation
		}
		found, err := r.session.Scan(f.ctx, store.Range{Table: message.TableChange, From: core.ChangeKey(p.gen, p.seq+1)}, limit)
		if err != nil {
			return nil, false, err
		}
		again := false
		for _, row := range found {
			c, err := core.ReadChanges(row)
			if err != nil {
				return nil, false, err
			}
			if c.Seq > durable {
				return rows, true, nil
			}
			// A later generation may begin before the place.
			if again = p.gen == 0 || c.Seq <= p.seq; again {
				p.gen = c.Gen
				break
			}
			rows = append(rows, c)
		}
		if !again {
			return rows, len(found) < limit, nil
		}
	}
}

// changed is an agent that changed in a row.
type changed struct {
	row int
	key []byte
}

// latest is the agents that are followed, each with the last of the rows that
// names it, in the rows' order.
func (f *follower) latest(rows []core.Changes) (agents []changed) {
	seen := make(map[string]struct{})
	for i := len(rows) - 1; i >= 0; i-- {
		for _, key := range slices.Backward(rows[i].Agents) {
			if !bytes.HasPrefix(key, f.prefix) {
				continue
			}
			if _, twice := seen[string(key)]; !twice {
				seen[string(key)] = struct{}{}
				agents = append(agents, changed{i, key})
			}
		}
	}
	slices.Reverse(agents)
	return agents
}

// report reads the states of the agents that the rows name, and yields them. It
// reports false if the shard's reign ended: the rest is to be read again.
func (f *follower) report(r reign, p *place, rows []core.Changes) (done bool, err error) {
	agents := f.latest(rows)
	for from := 0; from < len(agents); from += feedStates {
		some := agents[from:min(from+feedStates, len(agents))]
		values, durable, err := f.states(r, some)
		if err != nil || !durable {
			return false, err
		}
		for i, a := range some {
			// All of this row is told with the last agent of it.
			row := rows[a.row]
			*p = place{row.Seq, row.Gen}
			if next := from + i + 1; next < len(agents) && agents[next].row == a.row {
				p.seq--
			}
			c, err := f.change(a.key, values[i])
			if err != nil {
				return false, &stateError{c, err}
			}
			if !f.yield(c, nil) {
				return false, errLeft
			}
		}
	}
	return true, nil
}

// states reads rows of TableState and waits until what they show is durable.
func (f *follower) states(r reign, agents []changed) (values [][]byte, durable bool, err error) {
	keys := make([]message.RowKey, len(agents))
	for i, a := range agents {
		keys[i] = message.RowKey{Table: message.TableState, Key: a.key}
	}
	if values, err = r.session.Get(f.ctx, keys); err != nil {
		return nil, false, f.failed(r, err)
	}
	for shown := r.shard.submitted.Load(); r.shard.durable.Load() < shown; {
		if !r.lasts() {
			return nil, false, nil
		}
		if err := f.wait(); err != nil {
			return nil, false, err
		}
	}
	return values, r.lasts(), nil
}

func (f *follower) change(key, value []byte) (c Change, err error) {
	c.Position = f.position()
	if c.Agent, _, err = message.ParseAgentKey(key); err != nil {
		return c, err
	}
	if value == nil {
		c.Deleted = true
		return c, nil
	}
	c.State, c.Version, err = core.StateOf(f.typ, message.Row{Key: key, Value: value})
	if err == nil && c.Version == 0 { // it has promised its first step, and taken none
		c.State, c.Deleted = nil, true
	}
	return c, err
}
