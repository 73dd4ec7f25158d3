package pebble

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// benchUnit is a unit of a plausible shape: for each of n steps a state row and
// a dedup row.
func benchUnit(n int) *message.Unit {
	u := &message.Unit{}
	for i := range n {
		id := binary.BigEndian.AppendUint64([]byte("account/alice/"), uint64(i))
		u.Writes = append(u.Writes,
			message.Write{RowKey: message.RowKey{Table: message.TableState, Key: id}, Value: make([]byte, 100)},
			message.Write{RowKey: message.RowKey{Table: message.TableDedup, Gen: 1, Key: id}, Value: make([]byte, 60)})
	}
	return u
}

// BenchmarkCommit commits units, two in flight, on the real file system.
func BenchmarkCommit(b *testing.B) {
	for _, steps := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("steps=%d", steps), func(b *testing.B) {
			st := mustOpen(b, At(b.TempDir(), Options{Logger: testOptions(b, nil).Logger}))
			o := own(b, st, 0)
			u := benchUnit(steps)
			b.ReportAllocs()
			b.ResetTimer()
			var last store.Pending
			for range b.N {
				o.at.Seq++
				u.Version = o.at
				p := o.Commit(background, u)
				if last != nil {
					if err := last.Wait(); err != nil {
						b.Fatal(err)
					}
				}
				last = p
			}
			if err := last.Wait(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			mustClose(b, st)
		})
	}
}

// BenchmarkRawPebble is the same work for bare Pebble with the same tuning.
func BenchmarkRawPebble(b *testing.B) {
	for _, steps := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("steps=%d", steps), func(b *testing.B) {
			tuning := Tuning(Options{})
			tuning.Logger = logger{log: testOptions(b, nil).Logger}
			db, err := pebble.Open(b.TempDir(), tuning)
			if err != nil {
				b.Fatal(err)
			}
			u := benchUnit(steps)
			var keys [][]byte
			for _, w := range u.Writes {
				keys = append(keys, appendKey(nil, 0, w.Table, w.Gen, w.Key))
			}
			b.ReportAllocs()
			b.ResetTimer()
			var last *pebble.Batch
			wait := func() {
				if last == nil {
					return
				}
				if err := last.SyncWait(); err != nil {
					b.Fatal(err)
				}
				if err := last.Close(); err != nil {
					b.Fatal(err)
				}
			}
			for range b.N {
				batch := db.NewBatch()
				for i := range u.Writes {
					if err := batch.Set(keys[i], u.Writes[i].Value, nil); err != nil {
						b.Fatal(err)
					}
				}
				if err := db.ApplyNoSyncWait(batch, pebble.Sync); err != nil {
					b.Fatal(err)
				}
				wait()
				last = batch
			}
			wait()
			b.StopTimer()
			if err := db.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkGet reads what is there and what is not.
func BenchmarkGet(b *testing.B) {
	st := mustOpen(b, At(b.TempDir(), Options{Logger: testOptions(b, nil).Logger}))
	o := own(b, st, 0)
	u := benchUnit(1000)
	u.Version = message.Version{Epoch: o.at.Epoch, Seq: 1}
	if err := o.Commit(background, u).Wait(); err != nil {
		b.Fatal(err)
	}
	if err := st.db.Flush(); err != nil {
		b.Fatal(err)
	}
	for name, key := range map[string]message.RowKey{
		"hit":  u.Writes[500].RowKey,
		"miss": {Table: message.TableDedup, Gen: 1, Key: []byte("account/alice/nothing")},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			keys := []message.RowKey{key}
			for range b.N {
				if _, err := o.Get(background, keys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	mustClose(b, st)
}
