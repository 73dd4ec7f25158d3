package pebble

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/semel-dev/semel/message"
)

// A segment is a map, whatever its hashes, and its each visits every row once.
func TestSegment(t *testing.T) {
	t.Parallel()
	for _, narrow := range []uint32{0, 0x0fffffff, ^uint32(0) - 1, ^uint32(0)} {
		t.Run(fmt.Sprintf("without=%08x", narrow), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, uint64(narrow)))
			s := &segment{seed: 7, narrow: narrow}
			for round := range 3 { // and again in the memory of the last
				want := map[string]*message.Write{}
				for seq := range message.Seq(60) {
					s.add(randomEntries(rng, want), seq+1)
				}
				for _, w := range want {
					e, ok := s.get(w.Table, w.Gen, w.Key)
					if !ok || e.deleted != (w.Op == message.Delete) || string(e.value) != string(w.Value) {
						t.Fatalf("round %d: %+v is %+v, %v", round, w, e, ok)
					}
				}
				if _, ok := s.get(message.TableState, 0, []byte("nothing")); ok {
					t.Error("a row that was never written is there")
				}
				seen := 0
				s.each(func(e entry, _ uint32) {
					seen++
					if w := want[name(e.table, e.gen, e.key)]; string(w.Value) != string(e.value) {
						t.Fatalf("round %d: each has %+v for %+v", round, e, w)
					}
				})
				if seen != len(want) || s.rows != len(want) || !s.holds(1) || s.holds(0) {
					t.Fatalf("round %d: %d and %d rows, want %d", round, seen, s.rows, len(want))
				}
				s.reset()
				if !s.empty() || s.rows != 0 || s.holds(1<<31) {
					t.Fatal("a reset segment is not empty")
				}
			}
		})
	}
}

func name(table message.Table, gen message.Generation, key []byte) string {
	return fmt.Sprint(table, gen, string(key))
}

// randomEntries makes a unit of rows that meet, and enters them in want.
func randomEntries(rng *rand.Rand, want map[string]*message.Write) []byte {
	var writes []message.Write
	for range 20 {
		w := message.Write{RowKey: message.RowKey{Table: message.TableState, Key: fmt.Append(nil, "agent/", rng.IntN(300))}}
		if rng.IntN(2) == 0 {
			w.Table, w.Gen = message.TableDedup, message.Generation(rng.IntN(3))
		}
		if rng.IntN(4) == 0 {
			w.Op = message.Delete
		} else {
			w.Value = make([]byte, rng.IntN(300))
			for i := range w.Value {
				w.Value[i] = byte(rng.Uint32())
			}
		}
		writes = append(writes, w)
		want[name(w.Table, w.Gen, w.Key)] = &w
	}
	size := 1 + sealSize
	for i := range writes {
		size += entrySize(&writes[i])
	}
	value := make([]byte, size)
	key := unitKey(1, 1)
	putUnit(value, key, writes)
	entries, err := parseUnit(1, 1, value)
	if err != nil {
		panic(err)
	}
	return entries
}

// Runs are sorted by key, with keys that are prefixes of each other, and with
// zeros, which rank alike.
func TestRunsAreSorted(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(2, 2))
	for range 200 {
		s := &segment{}
		common := make([]byte, rng.IntN(12))
		for seq := range message.Seq(50) {
			key := append([]byte(nil), common...)
			for range rng.IntN(14) {
				key = append(key, byte(rng.IntN(2)))
			}
			w := message.Write{RowKey: message.RowKey{Table: message.TableState, Key: key}}
			b := make([]byte, entrySize(&w))
			putEntry(b, &w)
			s.add(b, seq+1)
		}
		into := map[span][]*run{}
		runs(3, s, into)
		r := into[span{table: message.TableState}][0]
		if len(r.items) != s.rows {
			t.Fatalf("%d items of %d rows", len(r.items), s.rows)
		}
		for i := 1; i < len(r.items); i++ {
			a, b := r.entry(&r.items[i-1]), r.entry(&r.items[i])
			if string(a.key) >= string(b.key) {
				t.Fatalf("%q before %q", a.key, b.key)
			}
		}
	}
}

func BenchmarkSegmentAdd(b *testing.B) {
	u := benchUnit(256)
	size := 1 + sealSize
	for i := range u.Writes {
		size += entrySize(&u.Writes[i])
	}
	value := make([]byte, size)
	putUnit(value, unitKey(0, 1), u.Writes)
	s := &segment{}
	b.ReportAllocs()
	for n := range b.N {
		if len(s.log) > 8<<20 {
			s.reset()
		}
		s.add(value[1:size-sealSize], message.Seq(n+1))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/512, "ns/row")
}
