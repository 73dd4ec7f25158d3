package core

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/semel-dev/semel/message"
)

// The change feed tells which agents changed, in the order of commits. It is
// one row for each unit that changes states, in the unit itself, so that it
// can neither miss a state nor tell of one that was lost. The row has the
// agents' keys and nothing of their states: a reader is told the newest one
// anyway, and reads that.
//
// Rows lie in the generations of the dedup log and go with them:
//
//	TableChange  [generation 4][sequence 8] → the keys of agents
//	TableMeta    "feed"                     → the floor
//
// The floor is a sequence: of the units up to it the feed may have forgotten
// rows, of the later ones it has every row. Rows are forgotten, and the floor
// raised, by the same unit, so that a reader who looks for rows first and at
// the floor next cannot miss any. A floor without a feed would lie: a program
// that keeps none deletes it with the rows, in its first unit.

// feed is the machine's part of the change feed.
type feed struct {
	kept  bool        // the store has a floor
	floor message.Seq // as the store has it
	last  message.Seq // no later unit that was sealed has a row
}

const (
	feedKey        = "feed"
	changeKeyBytes = 4 + 8
)

// ChangeKey is the key of a unit's row in TableChange.
func ChangeKey(gen message.Generation, seq message.Seq) []byte {
	return binary.BigEndian.AppendUint64(generationPrefix(gen), uint64(seq))
}

func generationPrefix(gen message.Generation) []byte {
	return binary.BigEndian.AppendUint32(make([]byte, 0, changeKeyBytes), uint32(gen))
}

// Changes is a row of TableChange, read back.
type Changes struct {
	Gen    message.Generation
	Seq    message.Seq
	Agents [][]byte // row keys, each once; they alias the row's value
}

// ReadChanges reads a row of TableChange.
func ReadChanges(row message.Row) (c Changes, err error) {
	k := message.RowKey{Table: message.TableChange, Key: row.Key}
	if len(row.Key) != changeKeyBytes {
		return c, &CorruptError{rowName(k), fmt.Sprintf("a key of %d bytes", len(row.Key))}
	}
	c.Gen = message.Generation(binary.BigEndian.Uint32(row.Key))
	c.Seq = message.Seq(binary.BigEndian.Uint64(row.Key[4:]))
	err = decode(k, row.Value, func(f field) error {
		if f.num == 1 {
			c.Agents = append(c.Agents, f.bytes)
		}
		return nil
	})
	return c, err
}

// FloorKey is the row that holds the feed's floor.
func FloorKey() message.RowKey {
	return message.RowKey{Table: message.TableMeta, Key: []byte(feedKey)}
}

// ReadFloor reads that row.
func ReadFloor(value []byte) (message.Seq, error) {
	n, err := readNumber(FloorKey(), value)
	return message.Seq(n), err
}

// recoverFeed begins a feed where the store has none, and ends one that this
// program does not keep.
func (s *Shard) recoverFeed() {
	f := &s.feed
	if s.cfg.Guest {
		s.cfg.Feed = f.kept // as the store's own program has it
	}
	switch {
	case s.cfg.Feed:
		f.last = s.sealed // it may be earlier
		if !f.kept {
			f.kept, f.floor = true, s.sealed
			s.writeFloor()
		}
	case f.kept:
		s.write(message.TableMeta, 0, message.Delete, s.key([]byte(feedKey)), nil)
		s.write(message.TableChange, 0, message.DeletePrefix, nil, nil)
		f.kept = false
	}
}

// writeChanges puts the agents whose states Seal is about to write into the
// feed.
func (s *Shard) writeChanges() {
	if !slices.ContainsFunc(s.open.dirty, func(c *cell) bool { return c.changed }) {
		return
	}
	var k [changeKeyBytes]byte
	binary.BigEndian.PutUint32(k[:], uint32(s.retention.current()))
	binary.BigEndian.PutUint64(k[4:], uint64(s.openSeq()))
	key := s.key(k[:])
	a := s.open.arena
	start := len(a)
	a = begin(a)
	for _, c := range s.open.dirty {
		if c.changed {
			a = putBytes(a, 1, c.key)
		}
	}
	s.writeCounted(message.TableChange, 0, message.Put, key, s.value(seal(a, start, key), start))
	s.feed.last = s.openSeq()
}

// forgetChanges drops the rows of generations; oldest is the first that stays.
func (s *Shard) forgetChanges(dropped []generation, oldest generation) {
	if !s.cfg.Feed {
		return
	}
	for _, g := range dropped {
		s.write(message.TableChange, 0, message.DeletePrefix, s.key(generationPrefix(g.number)), nil)
	}
	if oldest.after > s.feed.floor {
		s.feed.floor = oldest.after
		s.writeFloor()
	}
}

func (s *Shard) writeFloor() {
	key := s.key([]byte(feedKey))
	s.write(message.TableMeta, 0, message.Put, key, s.numberRow(key, uint64(s.feed.floor)))
}

// StateOf reads a row of TableState as an agent of the type has it: by the
// version of the schema that Append writes.
func StateOf(t *Type, row message.Row) (data []byte, version uint64, err error) {
	k := message.RowKey{Table: message.TableState, Key: row.Key}
	r, err := readState(k, row.Value)
	if err != nil {
		return nil, 0, err
	}
	st, err := t.Load(r.schema, r.data)
	if err == nil {
		data, err = st.Append(nil)
	}
	if err != nil {
		return nil, r.version, fmt.Errorf("the state in row %s (schema version %d) cannot be loaded: %w", rowName(k), r.schema, err)
	}
	return data, r.version, nil
}
