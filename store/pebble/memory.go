package pebble

import (
	"bytes"
	"slices"
	"sync"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// memory is what a shard's unit rows hold: the rows of the front tables that
// were written last. What it knows of a row, that it is gone included, is
// newer than what the tables behind it in the LSM say.
//
// Units are added to active. A fold takes it for frozen, which does not change
// any more, and is done with it once all of it is in the LSM.
type memory struct {
	mu     sync.RWMutex
	active *segment
	frozen *segment // nil unless a fold is under way
	spare  *segment // an empty one, to take active's place
	seed   uint64
}

func newMemory(seed uint64) memory {
	return memory{seed: seed, active: &segment{seed: seed}}
}

// add takes a unit's entries and says what there is more to fold. Units come
// in order, one at a time.
func (m *memory) add(entries []byte, seq message.Seq) (cost int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.active.add(entries, seq)
}

// get returns a copy of a row's value: nil if the row is gone. It is not known
// when nothing was written to it lately.
func (m *memory) get(k *message.RowKey) (value []byte, known bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	e, known := m.active.get(k.Table, k.Gen, k.Key)
	if !known && m.frozen != nil {
		e, known = m.frozen.get(k.Table, k.Gen, k.Key)
	}
	if !known || e.deleted {
		return nil, known
	}
	return append(make([]byte, 0, len(e.value)), e.value...), true
}

// change is what memory knows of one row.
type change struct {
	key     []byte
	value   []byte
	deleted bool
}

// list returns the first changes in a range in the order of their keys, copied:
// as many as there are up to the limit-th row that is not gone. While the
// memory stands still it calls behind, which thus sees the LSM of that moment.
func (m *memory) list(r store.Range, limit int, behind func() error) ([]change, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := behind(); err != nil {
		return nil, err
	}
	var found []change
	collect := func(s *segment) {
		if s == nil {
			return
		}
		s.each(func(e entry, _ uint32) {
			if e.table == r.Table && e.gen == r.Gen && bytes.Compare(e.key, r.From) >= 0 && (r.To == nil || bytes.Compare(e.key, r.To) < 0) {
				found = append(found, change{key: e.key, value: e.value, deleted: e.deleted})
			}
		})
	}
	collect(m.active)
	collect(m.frozen)
	slices.SortStableFunc(found, func(a, b change) int { return bytes.Compare(a.key, b.key) })
	// Of two the first is the active one's, which is newer.
	found = slices.CompactFunc(found, func(a, b change) bool { return bytes.Equal(a.key, b.key) })
	for i := range found {
		c := &found[i]
		b := append(append(make([]byte, 0, len(c.key)+len(c.value)), c.key...), c.value...)
		c.key, c.value = b[:len(c.key):len(c.key)], b[len(c.key):]
		if !c.deleted {
			if limit--; limit == 0 {
				return found[:i+1], nil
			}
		}
	}
	return found, nil
}

// freeze begins a fold and returns what it is to fold, nil if that is nothing.
func (m *memory) freeze() *segment {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.active.empty() {
		// An idle shard gives its memory up.
		m.active.log, m.active.slots, m.spare = nil, nil, nil
		return nil
	}
	m.frozen, m.active, m.spare = m.active, m.spare, nil
	if m.active == nil {
		m.active = &segment{seed: m.seed, narrow: m.frozen.narrow}
	}
	return m.frozen
}

// thaw ends a fold: the LSM has it all.
func (m *memory) thaw() {
	m.mu.Lock()
	s := m.frozen
	m.frozen = nil
	m.mu.Unlock()
	// Whoever read from it had the lock.
	s.reset()
	m.mu.Lock()
	m.spare = s
	m.mu.Unlock()
}

// holds says whether there are rows of generations below a bound.
func (m *memory) holds(below message.Generation) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.active.holds(below) || m.frozen != nil && m.frozen.holds(below)
}
