package pebble

import (
	"encoding/binary"
	"fmt"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// front says whether a table's rows go into unit rows first: those that a step
// writes one by one, and that are read one by one.
func front(table message.Table) bool {
	return table == message.TableState || table == message.TableDedup
}

// A unit row holds what one unit wrote to the front tables, in order:
//
//	[format 1] entry … [CRC-32C 4]
//
// and each entry is
//
//	[table | flags 1][generation 4, in the dedup log][key length][key][value length, value: unless deleted]
//
// with lengths in the varints of encoding/binary.
const (
	unitFormat = 1
	// entryDeleted: the row is gone, and no value follows.
	entryDeleted = 0x80
	// entryStale is for memory only, see segment: a later entry has the row.
	entryStale = 0x40
)

// entry is one decoded entry. Its bytes are those it was decoded from.
type entry struct {
	table   message.Table
	gen     message.Generation
	deleted bool
	stale   bool
	key     []byte
	value   []byte
}

func uvarintLen(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// entrySize is the length of the entry that putEntry makes.
func entrySize(w *message.Write) int {
	n := 1 + uvarintLen(len(w.Key)) + len(w.Key)
	if w.Table == message.TableDedup {
		n += 4
	}
	if w.Op == message.Put {
		n += uvarintLen(len(w.Value)) + len(w.Value)
	}
	return n
}

// putEntry encodes a Put or a Delete into dst, which has room for it.
func putEntry(dst []byte, w *message.Write) int {
	dst[0] = byte(w.Table)
	if w.Op == message.Delete {
		dst[0] |= entryDeleted
	}
	n := 1
	if w.Table == message.TableDedup {
		binary.BigEndian.PutUint32(dst[n:], uint32(w.Gen))
		n += 4
	}
	n += binary.PutUvarint(dst[n:], uint64(len(w.Key)))
	n += copy(dst[n:], w.Key)
	if w.Op == message.Put {
		n += binary.PutUvarint(dst[n:], uint64(len(w.Value)))
		n += copy(dst[n:], w.Value)
	}
	return n
}

// parseEntry decodes the entry that b begins with and says how long it is; 0
// when b does not begin with an entry.
func parseEntry(b []byte) (e entry, n int) {
	if len(b) == 0 {
		return entry{}, 0
	}
	e.table = message.Table(b[0] &^ (entryDeleted | entryStale))
	e.deleted, e.stale = b[0]&entryDeleted != 0, b[0]&entryStale != 0
	n = 1
	switch e.table {
	case message.TableState:
	case message.TableDedup:
		if len(b) < n+4 {
			return entry{}, 0
		}
		e.gen = message.Generation(binary.BigEndian.Uint32(b[n:]))
		n += 4
	default:
		return entry{}, 0
	}
	if e.key, n = parseBytes(b, n); n == 0 || e.deleted {
		return e, n
	}
	e.value, n = parseBytes(b, n)
	return e, n
}

// parseBytes decodes a length and as many bytes, and says where they end; 0
// when they are not there.
func parseBytes(b []byte, at int) ([]byte, int) {
	if at >= len(b) {
		return nil, 0
	}
	length, size := uint64(b[at]), 1
	if length >= 0x80 {
		length, size = binary.Uvarint(b[at:])
	}
	at += size
	if size <= 0 || length > uint64(len(b)-at) {
		return nil, 0
	}
	end := at + int(length)
	return b[at:end:end], end
}

// putUnit encodes a unit row's value, which has the room that the entries
// and what is around them need.
func putUnit(value, key []byte, writes []message.Write) {
	value[0] = unitFormat
	n := 1
	for i := range writes {
		if front(writes[i].Table) {
			n += putEntry(value[n:], &writes[i])
		}
	}
	binary.BigEndian.PutUint32(value[n:], checksum(key, value[:n]))
}

// parseUnit checks a unit row, whole, and returns its entries.
func parseUnit(shard message.Shard, seq message.Seq, row []byte) ([]byte, error) {
	what := fmt.Sprintf("the row of unit %d of shard %d", seq, shard)
	value, err := unseal(what, unitKey(shard, seq), row, unitFormat, len(row)-sealSize)
	if err != nil {
		return nil, err
	}
	if err := checkEntries(what, value[1:]); err != nil {
		return nil, err
	}
	return value[1:], nil
}

func checkEntries(what string, entries []byte) error {
	for at := 0; at < len(entries); {
		e, n := parseEntry(entries[at:])
		if n == 0 || e.stale {
			return fmt.Errorf("%w: %s has no entry at byte %d, where one must begin", store.ErrCorrupt, what, 1+at)
		}
		at += n
	}
	return nil
}
