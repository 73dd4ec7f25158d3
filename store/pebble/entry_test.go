package pebble

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// FAULTS 59: whatever a unit row says, it is read or refused by name, and what
// is read can be taken into memory.
func FuzzUnitRow(f *testing.F) {
	w := message.Write{RowKey: message.RowKey{Table: message.TableDedup, Gen: 3, Key: []byte("key")}, Value: make([]byte, 200)}
	b := make([]byte, 1+entrySize(&w)+sealSize)
	putUnit(b, unitKey(0, 1), []message.Write{w})
	f.Add(b[:len(b)-sealSize])
	f.Add([]byte{unitFormat})
	f.Add([]byte{unitFormat, byte(message.TableState) | entryDeleted, 1, 'k'})
	f.Add([]byte{unitFormat, byte(message.TableState), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{unitFormat, byte(message.TableState) | entryStale, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = parseUnit(0, 1, b)
		entries, err := parseUnit(0, 1, seal(unitKey(0, 1), append([]byte(nil), b...)))
		if err != nil {
			if !errors.Is(err, store.ErrCorrupt) && (len(b) == 0 || b[0] <= unitFormat) {
				t.Fatalf("%v is not ErrCorrupt", err)
			}
			return
		}
		s := &segment{}
		s.add(entries, 1)
		s.each(func(e entry, _ uint32) {
			if got, ok := s.get(e.table, e.gen, e.key); !ok || string(got.value) != string(e.value) {
				t.Fatalf("%+v is %+v", e, got)
			}
		})
	})
}

// Unit rows that are missing, too many or garbage are refused by name.
func TestGarbageInUnitRows(t *testing.T) {
	t.Parallel()
	whole := func(seq message.Seq) []byte {
		b := make([]byte, 1+sealSize)
		putUnit(b, unitKey(2, seq), nil)
		return b
	}
	noise := seal(unitKey(2, 3), []byte{unitFormat, 99})
	folded := func(seq message.Seq) []byte { return encodeFolded(foldedKey(2), seq, 0) }
	for _, c := range []struct {
		name       string
		key, value []byte
		words      []string
	}{
		{"the first one missing", unitKey(2, 1), nil, []string{"unit 1 of shard 2 is missing"}},
		{"one missing", unitKey(2, 3), nil, []string{"unit 3 of shard 2 is missing"}},
		{"the last one missing", unitKey(2, 4), nil, []string{"unit 4 of shard 2 is missing"}},
		{"one too many", unitKey(2, 5), whole(5), []string{"unit 5 of shard 2"}},
		{"one of no shard", unitKey(9, 1), whole(1), []string{"unit 1 of shard 9", "000975"}},
		{"one with a short key", unitKey(2, 1)[:7], whole(1), []string{"007500"}},
		{"one in the wrong place", unitKey(2, 3), whole(2), []string{"unit 3 of shard 2", "checksum"}},
		{"one of noise", unitKey(2, 3), noise, []string{"unit 3 of shard 2", "no entry at byte 1"}},
		{"an empty one", unitKey(2, 3), []byte{}, []string{"unit 3 of shard 2"}},
		{"a folded row ahead of time", foldedKey(2), folded(5), []string{"folded row of shard 2"}},
		{"a folded row of noise", foldedKey(2), []byte("noise enough"), []string{"folded row of shard 2", "checksum"}},
		{"a fold that is lost", foldedKey(2), encodeFolded(foldedKey(2), 4, 1), []string{"fold 1", "manifest"}},
		{"units that were folded", foldedKey(2), folded(2), []string{"unit 1 of shard 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := &machine{opt: testOptions(t, vfs.NewMem())}
			m.opt.Shards = 4 // whatever the machine has
			st := mustOpen(t, m)
			o := own(t, st, 2)
			for range 4 {
				if err := o.submit(1).Wait(); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if c.value == nil {
				err = st.db.Delete(c.key, pebble.Sync)
			} else {
				err = st.db.Set(c.key, c.value, pebble.Sync)
			}
			if err != nil {
				t.Fatal(err)
			}
			mustClose(t, st)
			words := c.words
			if c.name == "one of no shard" {
				words = []string{"0075"}
			}
			wantError(t, c.name, openError(t, m), store.ErrCorrupt, append(words, "data")...)
		})
	}
}
