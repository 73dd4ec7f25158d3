package mem

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/RaduBerinde/btreemap"

	"github.com/semel-dev/semel/message"
)

// rows holds one shard's rows in order. A row's key is
//
//	[table][key], and in the dedup table [table][generation, 4 bytes][key]
//
// so that a generation, like a table, is one contiguous range.
type rows struct {
	tree *btreemap.BTreeMap[[]byte, []byte]
}

func newRows() rows {
	return rows{tree: btreemap.New[[]byte, []byte](32, bytes.Compare)}
}

// appendKey appends the key of a row in the shard's tree.
func appendKey(dst []byte, table message.Table, gen message.Generation, key []byte) []byte {
	dst = append(dst, byte(table))
	if table == message.TableDedup {
		dst = binary.BigEndian.AppendUint32(dst, uint32(gen))
	}
	return append(dst, key...)
}

// keyOf is appendKey for a row key, which it checks: an impossible one is a
// mistake of the program, never of its input.
func keyOf(k message.RowKey) []byte {
	check(k.Table, k.Gen)
	return appendKey(make([]byte, 0, 5+len(k.Key)), k.Table, k.Gen, k.Key)
}

func check(table message.Table, gen message.Generation) {
	if table == 0 || table >= message.Tables {
		panic(fmt.Sprintf("mem: there is no table %d", table))
	}
	if gen != 0 && table != message.TableDedup {
		panic(fmt.Sprintf("mem: table %d has no generations", table))
	}
}

// prior is what a row was before a change: enough to take the change back.
type prior struct {
	key   []byte
	value []byte
	had   bool
}

func (r rows) put(key, value []byte) prior {
	_, old, had := r.tree.ReplaceOrInsert(key, value)
	return prior{key: key, value: old, had: had}
}

func (r rows) delete(key []byte) (prior, bool) {
	_, old, had := r.tree.Delete(key)
	return prior{key: key, value: old, had: true}, had
}

// deleteRange removes the rows with from ≤ key < to; a nil to has no end.
func (r rows) deleteRange(from, to []byte, undo []prior) []prior {
	stop := btreemap.Max[[]byte]()
	if to != nil {
		stop = btreemap.LT(to)
	}
	var keys [][]byte
	for key := range r.tree.Ascend(btreemap.GE(from), stop) {
		keys = append(keys, key)
	}
	for _, key := range keys {
		if p, had := r.delete(key); had {
			undo = append(undo, p)
		}
	}
	return undo
}

// restore takes changes back, the last one first.
func (r rows) restore(undo []prior) {
	for i := len(undo) - 1; i >= 0; i-- {
		if p := undo[i]; p.had {
			r.tree.ReplaceOrInsert(p.key, p.value)
		} else {
			r.tree.Delete(p.key)
		}
	}
}

// get returns a copy of the value, which is never nil when the row is there.
func (r rows) get(key []byte) []byte {
	_, value, ok := r.tree.Get(key)
	if !ok {
		return nil
	}
	return clone(value)
}

// clone copies b into bytes of its own, never nil: an empty value is a value.
func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }
