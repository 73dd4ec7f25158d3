package pebble

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// FAULTS 59: a folded row is what was written, or is refused by name.
func FuzzFolded(f *testing.F) {
	key := foldedKey(2)
	f.Add(encodeFolded(key, 7, 3)[:foldedSize])
	f.Add([]byte{foldedFormat})
	f.Add([]byte{foldedFormat + 1, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, row := range [][]byte{b, seal(key, append([]byte(nil), b...))} {
			seq, fold, err := parseFolded("the folded row of shard 2", key, row)
			if err != nil {
				newer := len(b) > 0 && b[0] > foldedFormat
				if !strings.Contains(err.Error(), "the folded row of shard 2") || !newer && !errors.Is(err, store.ErrCorrupt) {
					t.Errorf("%x: %v", row, err)
				}
				continue
			}
			if again := encodeFolded(key, seq, fold); !bytes.Equal(again, row) {
				t.Errorf("%x is read as %d, %d", row, seq, fold)
			}
		}
	})
}

// A key of a unit row is read as it was made, or is none.
func FuzzUnitKey(f *testing.F) {
	f.Add(unitKey(2, 7))
	f.Add(versionKey(2))
	f.Add([]byte{tableStore, unitMark})
	f.Fuzz(func(t *testing.T, key []byte) {
		shard, seq, ok := parseUnitKey(key)
		if own := unitKey(shard, seq); ok != bytes.Equal(own, key) {
			t.Errorf("%x is read as %d, %d, %v", key, shard, seq, ok)
		}
	})
}

// Whatever a step writes is read back from its unit row, entry for entry.
func FuzzEntry(f *testing.F) {
	f.Add(true, uint32(3), []byte("key"), []byte("value"), false)
	f.Add(false, uint32(0), []byte{}, []byte{}, true)
	f.Fuzz(func(t *testing.T, dedup bool, gen uint32, key, value []byte, deleted bool) {
		w := message.Write{RowKey: message.RowKey{Table: message.TableState, Key: key}, Value: value}
		if dedup {
			w.Table, w.Gen = message.TableDedup, message.Generation(gen)
		}
		if deleted {
			w.Op, w.Value = message.Delete, nil
		}
		b := make([]byte, entrySize(&w))
		if n := putEntry(b, &w); n != len(b) {
			t.Fatalf("the entry has %d bytes, and room for %d", n, len(b))
		}
		e, n := parseEntry(append(b, 0xff))
		if n != len(b) || e.table != w.Table || e.gen != w.Gen || e.deleted != deleted || !bytes.Equal(e.key, key) || !bytes.Equal(e.value, w.Value) {
			t.Errorf("%+v is read as %+v in %d of %d bytes", w, e, n, len(b))
		}
		for cut := range b {
			if _, n := parseEntry(b[:cut]); n != 0 {
				t.Errorf("%d of %d bytes are an entry", cut, len(b))
			}
		}
	})
}
