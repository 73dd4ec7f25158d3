package core

import (
	"encoding/binary"
	"fmt"

	"github.com/semel-dev/semel/message"
)

// openUnit gathers the writes of many steps until Seal. Its buffers live until
// the overlay has forgotten the unit, then serve another.
type openUnit struct {
	seq     message.Seq
	unit    message.Unit
	arena   []byte
	dirty   []*cell        // states and controls, written once at Seal
	touched [][]overlayRow // what the overlay points at: chunks, which never move
	filling int            // the chunk that has room
	wakes   []message.Shard
	ends    []message.Shard // outboxes that grew
	cursors []*source       // inboxes that advanced
	bytes   int             // at most what Seal makes of it; see room.go
	slack   int             // of them, what flat states may need, but hardly will
	size    int             // keys and values of the writes so far
}

// touchedKept bounds the chunks that a unit keeps for the next: about as many
// as one that is full of small messages needs.
const touchedKept = 8

func (u *openUnit) reset() {
	clear(u.unit.Writes)
	clear(u.dirty)
	for i := range u.touched {
		clear(u.touched[i])
		u.touched[i] = u.touched[i][:0]
	}
	if len(u.touched) > touchedKept {
		clear(u.touched[touchedKept:])
		u.touched = u.touched[:touchedKept]
	}
	*u = openUnit{
		unit: message.Unit{Writes: u.unit.Writes[:0]}, arena: u.arena[:0], dirty: u.dirty[:0],
		touched: u.touched, wakes: u.wakes[:0], ends: u.ends[:0], cursors: u.cursors[:0],
	}
}

func (u *openUnit) empty() bool {
	return len(u.unit.Writes) == 0 && len(u.dirty) == 0 && len(u.cursors) == 0
}

// write adds one write. Key and value must be from the arena or immutable.
func (s *Shard) write(t message.Table, gen message.Generation, op message.Op, key, value []byte) {
	s.open.bytes += len(key) + len(value)
	s.writeCounted(t, gen, op, key, value)
}

// writeCounted adds a write that was counted when it was decided.
func (s *Shard) writeCounted(t message.Table, gen message.Generation, op message.Op, key, value []byte) {
	u := s.open
	u.size += len(key) + len(value)
	if t == message.TableOpen {
		s.opened.note(key, value)
	}
	u.unit.Writes = append(u.unit.Writes, message.Write{RowKey: message.RowKey{Table: t, Gen: gen, Key: key}, Op: op, Value: value})
	if overlaid(t) {
		row := u.touch()
		*row = overlayRow{table: t, key: key, value: value, seq: s.openSeq()}
		if op == message.DeletePrefix {
			s.overlay.clear(row)
		} else {
			s.overlay.put(row)
		}
	}
}

// touch returns room for one more row of the overlay.
func (u *openUnit) touch() *overlayRow {
	if u.filling < len(u.touched) && len(u.touched[u.filling]) == cap(u.touched[u.filling]) {
		u.filling++
	}
	if u.filling == len(u.touched) {
		u.touched = append(u.touched, make([]overlayRow, 0, 256))
	}
	chunk := &u.touched[u.filling]
	*chunk = (*chunk)[:len(*chunk)+1]
	return &(*chunk)[len(*chunk)-1]
}

// overlaid says whether rows of the table are looked up while units are in
// flight. The others are read only at recovery, or live in memory.
func overlaid(t message.Table) bool {
	switch t {
	case message.TableOpen, message.TableDedup, message.TableMailbox, message.TableTimer,
		message.TableDead, message.TableCursor:
		return true
	}
	return false
}

// key copies a key into the arena.
func (s *Shard) key(parts ...[]byte) []byte {
	a := s.open.arena
	start := len(a)
	for _, p := range parts {
		a = append(a, p...)
	}
	s.open.arena = a
	return a[start:len(a):len(a)]
}

// value keeps what was appended to the arena since start as a value.
func (s *Shard) value(arena []byte, start int) []byte {
	s.open.arena = arena
	return arena[start:len(arena):len(arena)]
}

// touch marks a cell as changed in the open unit.
func (s *Shard) touch(c *cell) {
	if c.dirtyIn != s.openSeq() {
		c.dirtyIn = s.openSeq()
		c.counted = counted{}
		s.open.dirty = append(s.open.dirty, c)
	}
}

// openSeq is the sequence that the open unit will have.
func (s *Shard) openSeq() message.Seq { return s.sealed + 1 }

// latest is the last unit that what is known now may depend on. It is the
// open one only if that will be sealed: an answer must not wait for a unit
// that need not come.
func (s *Shard) latest() message.Seq {
	if s.open.empty() {
		return s.sealed
	}
	return s.openSeq()
}

// HasUnit says whether there is something to commit.
func (s *Shard) HasUnit() bool { return !s.open.empty() }

// Seal closes the open unit and returns it for the driver to commit, or nil
// if nothing changed. The unit's bytes are valid until Committed covers it.
// What it writes itself was counted before.
func (s *Shard) Seal() *message.Unit {
	if s.open.empty() {
		return nil
	}
	u := s.open
	if s.cfg.Feed {
		s.writeChanges()
	}
	for _, c := range u.dirty {
		s.writeCell(c)
	}
	for _, src := range u.cursors {
		src.moved = false
		key := s.key(src.key)
		s.writeCounted(message.TableCursor, 0, message.Put, key, s.numberRow(key, src.taken))
	}
	for _, dst := range u.ends {
		key := s.key(outboxEndKey(dst))
		s.writeCounted(message.TableMeta, 0, message.Put, key, s.numberRow(key, s.outEnds[dst]))
		s.outMoved[dst] = false
	}
	s.writeClock()

	s.sealed++
	s.counters.Units++
	s.counters.UnitBytes += uint64(u.size)
	u.seq = s.sealed
	u.unit.Version = message.Version{Epoch: s.epoch, Seq: s.sealed}
	s.work.Wakes = append(s.work.Wakes, u.wakes...)
	s.inFlight = append(s.inFlight, u)
	s.open = s.newUnit()
	s.timers.seal()
	s.pumpEffects()
	s.resumePostponed()
	s.resumeFull()
	s.resumeSources()
	return &u.unit
}

func (s *Shard) newUnit() *openUnit {
	u := new(openUnit)
	if n := len(s.spare); n > 0 {
		u = s.spare[n-1]
		s.spare = s.spare[:n-1]
	}
	u.bytes = clockBytes // if anything is written, the clock may be
	if s.cfg.Feed {
		u.bytes += changesBytes
	}
	return u
}

// Committed says that the unit of this sequence, and all before, are durable.
func (s *Shard) Committed(seq message.Seq) {
	s.durable = max(s.durable, seq)
	s.trim()
	s.afterDurable()
}

// trim forgets durable units that every outstanding read has seen.
func (s *Shard) trim() {
	for len(s.outstanding) > 0 && s.outstanding[0].done {
		s.outstanding = s.outstanding[1:]
	}
	limit := s.durable
	if len(s.outstanding) > 0 {
		limit = min(limit, s.outstanding[0].issued)
	}
	for len(s.inFlight) > 0 && s.inFlight[0].seq <= limit {
		u := s.inFlight[0]
		s.inFlight = s.inFlight[1:]
		s.trimmed = u.seq
		for _, chunk := range u.touched {
			s.overlay.trim(chunk)
		}
		if cap(u.arena) <= 4<<20 && len(s.spare) < 8 {
			u.reset()
			s.spare = append(s.spare, u)
		}
	}
}

// numberRow seals one number as the value of a row.
func (s *Shard) numberRow(key []byte, n uint64) []byte {
	a := s.open.arena
	start := len(a)
	return s.value(seal(putUint(begin(a), 1, n), start, key), start)
}

func readNumber(k message.RowKey, value []byte) (n uint64, err error) {
	err = decode(k, value, func(f field) error {
		if f.num == 1 {
			n = f.val
		}
		return nil
	})
	return n, err
}

func outboxEndKey(dst message.Shard) []byte {
	return binary.BigEndian.AppendUint16([]byte("o"), uint16(dst))
}

func inboxCursorKey(src message.Shard) []byte {
	return binary.BigEndian.AppendUint16([]byte("c"), uint16(src))
}

// send appends a message to the outbox of its destination's shard.
func (s *Shard) send(m *message.Message) {
	dst := message.ShardOf(m.To, s.cfg.Shards)
	s.outEnds[dst]++
	s.sent++
	if !s.outMoved[dst] {
		s.outMoved[dst] = true
		s.open.ends = append(s.open.ends, dst)
		s.open.bytes += 3 + numberBytes
		s.open.wakes = append(s.open.wakes, dst)
	}
	var k [10]byte
	binary.BigEndian.PutUint16(k[:], uint16(dst))
	binary.BigEndian.PutUint64(k[2:], s.outEnds[dst])
	key := s.key(k[:])
	a := s.open.arena
	start := len(a)
	s.write(message.TableOutbox, 0, message.Put, key, s.value(appendMessage(a, key, m), start))
}

// ReadOutbox reads a message as another shard's outbox holds it.
func ReadOutbox(dst message.Shard, d message.Delivery) (*message.Message, error) {
	key := binary.BigEndian.AppendUint16(nil, uint16(dst))
	key = binary.BigEndian.AppendUint64(key, d.Position)
	m, err := readMessageRow(message.RowKey{Table: message.TableOutbox, Key: key}, d.Data)
	if err != nil {
		return nil, fmt.Errorf("outbox of shard %d: %w", d.Source, err)
	}
	return m, nil
}
