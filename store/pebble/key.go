package pebble

import (
	"encoding/binary"
	"fmt"

	"github.com/semel-dev/semel/message"
)

// tableStore holds the store's own rows. No table of a shard has this number.
const tableStore = 0

// prefixMax is the longest prefix of a row: table, generation and shard.
const prefixMax = 7

// outboxKeyLen is the length of a whole outbox row key: table, source,
// destination, position.
const outboxKeyLen = 1 + 2 + 2 + 8

// unitMark follows tableStore in the keys of unit rows, see
// entry.go, and foldedMark and ingestMark of the rows in replay.go.
const (
	unitMark   = 'u'
	foldedMark = 'f'
	ingestMark = 'i'
)

// unitKeyLen is the length of the key of a unit row.
const unitKeyLen = 4 + 8

func putUnitKey(dst []byte, shard message.Shard, seq message.Seq) {
	dst[0], dst[1] = tableStore, unitMark
	binary.BigEndian.PutUint16(dst[2:], uint16(shard))
	binary.BigEndian.PutUint64(dst[4:], uint64(seq))
}

func unitKey(shard message.Shard, seq message.Seq) []byte {
	key := make([]byte, unitKeyLen)
	putUnitKey(key, shard, seq)
	return key
}

func parseUnitKey(key []byte) (shard message.Shard, seq message.Seq, ok bool) {
	if len(key) != unitKeyLen || key[0] != tableStore || key[1] != unitMark {
		return 0, 0, false
	}
	return message.Shard(binary.BigEndian.Uint16(key[2:])), message.Seq(binary.BigEndian.Uint64(key[4:])), true
}

func foldedKey(shard message.Shard) []byte {
	return binary.BigEndian.AppendUint16([]byte{tableStore, foldedMark}, uint16(shard))
}

// ingestKey is the key of the ingest row, see replay.go.
var ingestKey = []byte{tableStore, ingestMark}

// reachKey is the key of a shard's reach row, see replay.go. It follows
// ingestKey.
func reachKey(shard message.Shard) []byte {
	return binary.BigEndian.AppendUint16([]byte{tableStore, ingestMark}, uint16(shard))
}

var headerKey = []byte{tableStore, 'h'}

// versionKeyLen is the length of the key of a shard's version row.
const versionKeyLen = 4

func putVersionKey(dst []byte, shard message.Shard) {
	dst[0], dst[1] = tableStore, 'v'
	binary.BigEndian.PutUint16(dst[2:], uint16(shard))
}

func versionKey(shard message.Shard) []byte {
	key := make([]byte, versionKeyLen)
	putVersionKey(key, shard)
	return key
}

// prefixLen is the length of the prefix of a table's rows.
func prefixLen(table message.Table) int {
	if table == message.TableDedup {
		return prefixMax
	}
	return 3
}

// putPrefix writes the prefix of a table's rows into dst, which has room for
// it, and returns its length.
func putPrefix(dst []byte, table message.Table, gen message.Generation, shard message.Shard) int {
	dst[0] = byte(table)
	if table != message.TableDedup {
		binary.BigEndian.PutUint16(dst[1:], uint16(shard))
		return 3
	}
	binary.BigEndian.PutUint32(dst[1:], uint32(gen))
	binary.BigEndian.PutUint16(dst[5:], uint16(shard))
	return prefixMax
}

// appendKey appends the key of a row.
func appendKey(dst []byte, shard message.Shard, table message.Table, gen message.Generation, key []byte) []byte {
	var prefix [prefixMax]byte
	n := putPrefix(prefix[:], table, gen, shard)
	dst = append(dst, prefix[:n]...)
	return append(dst, key...)
}

// outboxKey is the key of a message from one shard to another.
func outboxKey(from, to message.Shard, position uint64) []byte {
	key := make([]byte, outboxKeyLen)
	key[0] = byte(message.TableOutbox)
	binary.BigEndian.PutUint16(key[1:], uint16(from))
	binary.BigEndian.PutUint16(key[3:], uint16(to))
	binary.BigEndian.PutUint64(key[5:], position)
	return key
}

// checkTable panics at a row key that cannot be: a mistake of the program,
// never of its input.
func checkTable(table message.Table, gen message.Generation) {
	if table == 0 || table >= message.Tables {
		panic(fmt.Sprintf("pebble: there is no table %d", table))
	}
	if gen != 0 && table != message.TableDedup {
		panic(fmt.Sprintf("pebble: table %d has no generations", table))
	}
}
