package core

import (
	"fmt"

	"github.com/semel-dev/semel/message"
)

// cell is an agent in memory: its decoded state, what keeps it from consuming,
// and the messages that wait for it.
type cell struct {
	key   string // the agent's row key
	agent message.Agent
	typ   *Type

	loaded  bool
	loading bool
	broken  error // the stored state cannot be read; every message fails with it
	state   State
	promise []byte // what it keeps aside for a transaction, encoded (prepared.go)
	version uint64
	size    int // of the encoded state
	exists  bool

	changed        bool // state differs from the store's row
	controlChanged bool
	dirtyIn        message.Seq // the last unit that it changed in
	counted        counted     // of that unit
	control        *controlRow // nil: nothing keeps it
	mail           []parked    // the mailbox's first messages
	taking         *envelope   // the retry or mailbox message on its way to a step
	fetching       bool        // the mailbox is being read
	draining       bool
	wake           int // its place among the alarms, from 1; 0 if it has none

	loaders  []*envelope // wait until it is loaded
	volatile []*envelope // not accepted, wait until it is free

	prev, next *cell // in the ring of those that may be forgotten
	listed     bool
	used       bool // since eviction last looked at it
	evicted    bool // another cell may stand for the agent by now
}

// cellOf returns the agent's cell, making one that is not loaded if need be.
func (s *Shard) cellOf(a message.Agent, typ *Type) *cell {
	var buf [160]byte
	k := a.AppendKey(buf[:0])
	c := s.cells[string(k)]
	if c == nil {
		c = &cell{key: string(k), agent: a, typ: typ}
		s.cells[c.key] = c
	}
	if c.typ == nil {
		c.typ = typ
	}
	return c
}

// install gives a cell its stored state.
func (s *Shard) install(c *cell, value []byte) {
	c.loading, c.loaded = false, true
	s.cached += c.weight()
	row := stateRow{}
	if value != nil {
		var err error
		if row, err = readState(stateKey(c), value); err != nil {
			s.breakCell(c, err)
			return
		}
		// A row of version 0 is of an agent that has taken no step, but promised one.
		c.exists, c.promise = row.version > 0, clone(row.prepared)
		if c.promise != nil {
			if _, err := readPromise(c.promise); err != nil {
				s.breakCell(c, &CorruptError{rowName(stateKey(c)), err.Error()})
				return
			}
		}
	}
	st, err := c.typ.Load(row.schema, row.data)
	if err != nil {
		s.breakCell(c, fmt.Errorf("the state of %s (schema version %d) cannot be loaded: %w", c.agent, row.schema, err))
		return
	}
	c.state, c.version, c.size = st, row.version, len(row.data)
	s.cached += 2 * c.size
}

// breakCell makes every message of the agent fail with err until the shard is
// opened again: one bad row must not stop the others.
func (s *Shard) breakCell(c *cell, err error) {
	c.broken = err
	s.work.Alarms = append(s.work.Alarms, Alarm{Kind: AlarmCorrupt, Agent: c.agent, Detail: err.Error()})
	waiting := c.volatile
	c.volatile = nil
	for _, env := range waiting {
		s.refuseAll(env, 0, message.CodeStoreUnavailable, err.Error())
	}
}

func stateKey(c *cell) message.RowKey {
	return message.RowKey{Table: message.TableState, Key: []byte(c.key)}
}

// cellOverhead is a guess at what a cell costs besides its state, which is
// taken to need twice its encoded size: decoded, and the copy to undo a step.
const cellOverhead = 400

func (c *cell) weight() int { return 2*c.size + len(c.key) + cellOverhead }

// writeCell puts the cell's changes into the unit being sealed.
func (s *Shard) writeCell(c *cell) {
	if c.changed {
		c.changed = false
		key := s.key([]byte(c.key))
		if !c.exists && c.promise == nil {
			s.writeCounted(message.TableState, 0, message.Delete, key, nil)
		} else {
			s.writeState(c, key)
		}
	}
	if c.controlChanged {
		c.controlChanged = false
		if c.control != nil && c.control.empty() {
			c.control, c.mail = nil, nil
			s.forgetUnloaded(c)
		}
		key := s.key([]byte(c.key))
		if c.control == nil {
			s.writeCounted(message.TableControl, 0, message.Delete, key, nil)
		} else {
			a := s.open.arena
			start := len(a)
			s.writeCounted(message.TableControl, 0, message.Put, key, s.value(appendControl(a, key, c.control), start))
		}
	}
}

func (s *Shard) writeState(c *cell, key []byte) {
	data, err := c.state.Append(s.scratch[:0])
	if err != nil {
		// commitStep encoded this state before it let the step stand.
		panic(fmt.Sprintf("semel: state of %s was encoded before and now cannot be: %v", c.agent, err))
	}
	s.scratch = data
	s.cached += 2 * (len(data) - c.size)
	c.size = len(data)
	a := s.open.arena
	start := len(a)
	row := stateRow{version: c.version, schema: c.typ.Schema, data: data, prepared: c.promise}
	if o, ok := c.state.(opaque); ok {
		row.schema = o.schema
	}
	s.writeCounted(message.TableState, 0, message.Put, key, s.value(appendState(a, key, row), start))
}

// idle says whether the cell can be forgotten: the store has all of it.
func (s *Shard) idle(c *cell) bool {
	return c.loaded && !c.changed && !c.controlChanged && c.control == nil &&
		len(c.loaders) == 0 && len(c.volatile) == 0 && c.dirtyIn <= s.trimmed
}

// evict forgets idle cells that were not used since it last looked at them,
// until the cache fits its bound (the CLOCK policy: Corbató 1968). Using a cell
// costs one bit. It looks at a bounded number of cells, so that pinned ones
// cost little.
func (s *Shard) evict() {
	for tries := 0; s.cached > s.cfg.CacheBytes && tries < 64; tries++ {
		c := s.ring.last()
		if c == nil {
			return
		}
		if c.used || !s.idle(c) {
			c.used = false
			s.ring.toFront(c)
			continue
		}
		s.ring.remove(c)
		s.cached -= c.weight()
		c.evicted = true
		s.alarms.forget(c)
		delete(s.cells, c.key)
	}
}

// cellList is a ring of cells.
type cellList struct{ root cell }

func (l *cellList) init() { l.root.prev, l.root.next = &l.root, &l.root }

func (l *cellList) toFront(c *cell) {
	if c.listed {
		c.prev.next, c.next.prev = c.next, c.prev
	}
	c.listed = true
	c.prev, c.next = &l.root, l.root.next
	c.next.prev, l.root.next = c, c
}

func (l *cellList) remove(c *cell) {
	c.prev.next, c.next.prev = c.next, c.prev
	c.prev, c.next, c.listed = nil, nil, false
}

func (l *cellList) last() *cell {
	if l.root.prev == &l.root {
		return nil
	}
	return l.root.prev
}
