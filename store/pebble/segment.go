package pebble

import (
	"bytes"
	"math"
	"math/bits"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/semel-dev/semel/message"
)

// segment is the newest value of every row in a run of units: their entries
// end to end, and a hash table of where the valid ones begin. It is made for
// the garbage collector to find two pointers in it, however many rows there
// are, and for its memory to be used again.
//
//  1. Every entry in log is well-formed: they were encoded here, or checked.
//  2. A slot is zero, or [32 bits of hash][offset in log]; no entry is at
//     offset 0. An entry's slot is at or behind, round the table, the one that
//     its topmost hash bits name, with no zero between.
//  3. A row has at most one slot, its last entry's; its other entries are stale.
//
// A segment has no lock; memory has.
type segment struct {
	log     []byte
	slots   []uint64
	rows    int
	cost    int64 // what the units add to what is to be folded
	seed    uint64
	through message.Seq // the last unit in it
	lowest  message.Generation
	dedup   bool   // lowest says something
	narrow  uint32 // for tests: hash bits to leave out, so that rows collide
}

// slotsMin is the size of the smallest hash table. Sizes are powers of two.
const slotsMin = 256

// unitCost is what a unit costs beside its entries: its row in the LSM.
const unitCost = 64

func (s *segment) hash(table message.Table, gen message.Generation, key []byte) uint32 {
	h := xxh3.HashSeed(key, s.seed+uint64(gen)<<8+uint64(table))
	return uint32(h>>32) &^ s.narrow
}

func (s *segment) empty() bool { return s.through == 0 }

// add appends a unit's entries and keeps no reference to them.
func (s *segment) add(entries []byte, seq message.Seq) (cost int) {
	if len(s.log) == 0 {
		s.log = append(s.log, 0) // invariant 2
	}
	at := len(s.log)
	if uint64(at)+uint64(len(entries)) > math.MaxUint32 {
		panic("pebble: a segment outgrows its offsets") // foldMax and unitMax see to it that none does
	}
	if need := at + len(entries); need > cap(s.log) {
		// By twice, not by the quarter that append would give.
		s.log = slices.Grow(s.log, max(need, 2*cap(s.log))-at)
	}
	s.log = append(s.log, entries...)
	s.through = seq
	cost = len(entries) + unitCost
	s.cost += int64(cost)
	for at < len(s.log) {
		e, n := parseEntry(s.log[at:])
		if 2*s.rows >= len(s.slots) {
			s.grow()
		}
		s.put(&e, uint32(at))
		if e.table == message.TableDedup && (!s.dedup || e.gen < s.lowest) {
			s.dedup, s.lowest = true, e.gen
		}
		at += n
	}
	return cost
}

// put makes the entry at an offset its row's valid one.
func (s *segment) put(e *entry, offset uint32) {
	h := s.hash(e.table, e.gen, e.key)
	i := s.find(h, e.table, e.gen, e.key)
	if old := uint32(s.slots[i]); old != 0 {
		s.log[old] |= entryStale
	} else {
		s.rows++
	}
	s.slots[i] = uint64(h)<<32 | uint64(offset)
}

// find returns the slot of a row, or the free one where it would be.
func (s *segment) find(h uint32, table message.Table, gen message.Generation, key []byte) int {
	mask := len(s.slots) - 1
	i := int(h >> (33 - bits.Len(uint(len(s.slots)))))
	for ; s.slots[i] != 0; i = (i + 1) & mask {
		slot := s.slots[i]
		if uint32(slot>>32) != h {
			continue
		}
		if e, _ := parseEntry(s.log[uint32(slot):]); e.table == table && e.gen == gen && bytes.Equal(e.key, key) {
			return i
		}
	}
	return i
}

// get looks a row up.
func (s *segment) get(table message.Table, gen message.Generation, key []byte) (entry, bool) {
	if s.rows == 0 {
		return entry{}, false
	}
	slot := s.slots[s.find(s.hash(table, gen, key), table, gen, key)]
	if slot == 0 {
		return entry{}, false
	}
	e, _ := parseEntry(s.log[uint32(slot):])
	return e, true
}

// grow doubles the hash table. The slots hold enough of the hash to be moved
// without a look at their rows.
func (s *segment) grow() {
	old := s.slots
	s.slots = make([]uint64, max(slotsMin, 2*len(old)))
	mask := len(s.slots) - 1
	for _, slot := range old {
		if slot == 0 {
			continue
		}
		i := int(uint32(slot>>32) >> (33 - bits.Len(uint(len(s.slots)))))
		for s.slots[i] != 0 {
			i = (i + 1) & mask
		}
		s.slots[i] = slot
	}
}

// each calls do for every valid entry, in the order in which they were written.
func (s *segment) each(do func(e entry, offset uint32)) {
	for at := 1; at < len(s.log); {
		e, n := parseEntry(s.log[at:])
		if !e.stale {
			do(e, uint32(at))
		}
		at += n
	}
}

// holds says whether there are rows of generations below a bound.
func (s *segment) holds(below message.Generation) bool { return s.dedup && s.lowest < below }

// reset empties the segment and keeps its memory for the next run, unless most
// of it was not needed.
func (s *segment) reset() {
	next := segment{seed: s.seed, narrow: s.narrow}
	if cap(s.log) <= 4*len(s.log) {
		next.log = s.log[:0]
	}
	if len(s.slots) <= 16*s.rows {
		clear(s.slots)
		next.slots = s.slots
	}
	*s = next
}
