package storetest

import (
	"fmt"
	"testing"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Dropping generations removes this shard's rows of the generations below the
// bound, however far apart their numbers are. FAULTS 8: nothing else goes, and
// records that are not settled never do.
func testRetention(t *testing.T, h Harness) {
	p, st := fresh(t, h, 3)
	gens := []message.Generation{0, 1, 2, 255, 256, 70_000, 1 << 31, ^message.Generation(0)}
	owners := []*owner{own(t, st, 0), own(t, st, 1), own(t, st, 2)}
	for i, o := range owners {
		var writes []message.Write
		for _, gen := range gens {
			if i == 2 && gen == 256 {
				continue // a shard need not have every generation
			}
			for _, k := range []string{"", "\x00", "k", "\xff\xff"} {
				writes = append(writes, put(dedup(gen, k), fmt.Sprint(i, gen)))
			}
		}
		open := message.RowKey{Table: message.TableOpen, Key: []byte("k")}
		o.commit(append(writes, put(open, "not settled"), put(state("k"), "state"))...)
	}
	below := []message.Generation{0, 0, 0}
	check := func() {
		t.Helper()
		for i, o := range owners {
			for _, gen := range gens {
				want := 4
				if gen < below[i] || i == 2 && gen == 256 {
					want = 0
				}
				if got := len(pairs(t, o, store.Range{Table: message.TableDedup, Gen: gen})) / 2; got != want {
					t.Errorf("shard %d below %d: generation %d has %d rows, want %d", i, below[i], gen, got, want)
				}
			}
			expect(t, o, message.RowKey{Table: message.TableOpen, Key: []byte("k")}, "not settled")
			expect(t, o, state("k"), "state")
		}
	}
	drop := func(shard message.Shard, bound message.Generation) {
		t.Helper()
		if err := st.Maintain(background, store.Retention{Shard: shard, Below: bound}); err != nil {
			t.Fatal(err)
		}
		below[shard] = max(below[shard], bound)
		check()
	}
	check()
	drop(1, 0)
	drop(1, 1)
	drop(2, 256)
	drop(1, 256)
	drop(1, 2) // lower than before: nothing comes back, nothing goes
	drop(0, 70_001)
	closeStore(t, st)
	st = open(t, p)
	owners = []*owner{own(t, st, 0), own(t, st, 1), own(t, st, 2)}
	check()
	drop(2, ^message.Generation(0))
	drop(0, 1<<31)
	drop(1, 1<<31+1)
}

// Maintain may be repeated, and may come between commits.
func testRetentionRepeats(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	for gen := range message.Generation(50) {
		o.submit(put(dedup(gen, "k"), "v"))
		for range 2 {
			if err := st.Maintain(background, store.Retention{Below: gen}); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, o, dedup(gen, "k"), "v")
		if gen > 0 {
			expectNone(t, o, dedup(gen-1, "k"))
		}
	}
	o.commit()
}
