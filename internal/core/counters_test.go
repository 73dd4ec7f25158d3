package core

import (
	"testing"

	"github.com/semel-dev/semel/message"
)

// checkGauges compares what the machine says of itself with the rows of its
// store, when nothing is in the open unit.
func checkGauges(fail func(form string, args ...any), m *Shard, store *rows) {
	if m.HasUnit() {
		return
	}
	want := Gauges{
		Agents: len(m.cells), CachedBytes: m.cached, Paused: m.retention.paused,
		Effects: len(store.tables[message.TableEffect]), Dead: len(store.tables[message.TableDead]),
	}
	for k, v := range store.tables[message.TableEffect] {
		e, err := readEffect(message.RowKey{Table: message.TableEffect, Key: []byte(k)}, v)
		if err != nil {
			fail("%v", err)
			return
		}
		if e.status != effectDoubt {
			continue
		}
		want.Doubts++
		if at := e.questioned(); want.OldestDoubt == 0 || at < want.OldestDoubt {
			want.OldestDoubt = at
		}
	}
	sum := func(t message.Table, prefix string) (total uint64) {
		for _, r := range store.scan(t, prefix) {
			if len(r.Key) != 3 {
				continue
			}
			n, err := readNumber(message.RowKey{Table: t, Key: r.Key}, r.Value)
			if err != nil {
				fail("%v", err)
			}
			total += n
		}
		return total
	}
	want.Sent, want.Taken = sum(message.TableMeta, "o"), sum(message.TableCursor, "c")
	if got := m.Gauges(); got != want {
		fail("the gauges of shard %d are\n%+v, its rows say\n%+v", m.cfg.Shard, got, want)
	}
}

// Doubts are taken out of the middle of the heap, and the oldest is known.
func TestOldestDoubt(t *testing.T) {
	t.Parallel()
	s := &Shard{}
	var effects []*effectRecord
	for i := range 50 {
		e := &effectRecord{asked: message.Time(i*17%50 + 1)}
		if i%2 == 0 {
			e.started = e.asked
		}
		effects = append(effects, e)
		s.doubtful.follow(e, true)
		s.doubtful.follow(e, true) // its row is written again
	}
	for i := range effects {
		e := effects[i*7%50]
		oldest := endOfTime
		for _, other := range effects {
			if other.mem.doubtful != 0 {
				oldest = min(oldest, other.questioned())
			}
		}
		if g := s.Gauges(); g.OldestDoubt != oldest || g.Doubts != 50-i {
			t.Fatalf("%d doubts, the oldest of %d; want %d of %d", g.Doubts, g.OldestDoubt, 50-i, oldest)
		}
		s.doubtful.follow(e, false)
		s.doubtful.follow(e, false)
	}
	if g := s.Gauges(); g != (Gauges{}) {
		t.Errorf("%+v is left", g)
	}
}

// The next machine of a process goes on counting; one of the next process
// begins again.
func TestCountersAreHandedOver(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	d.ask(keyed("count", "k", "1"))
	d.ask(keyed("count", "k", "1"))
	before := d.m.Counters()
	if before.Steps != 1 || before.Replays != 1 || before.Units == 0 || before.UnitBytes == 0 {
		t.Errorf("%+v", before)
	}
	rec := d.store.recovered(0)
	if err := d.m.HandOver(&rec, nil); err != nil {
		t.Fatal(err)
	}
	next, err := New(d.cfg, d.b, d.now, rec)
	if err != nil {
		t.Fatal(err)
	}
	if got := next.Counters(); got != before {
		t.Errorf("handed over %+v, which was %+v", got, before)
	}
	d.crash()
	if got := d.m.Counters(); got != (Counters{}) {
		t.Errorf("a new process begins at %+v", got)
	}
}
