package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// inbox reads and checks nothing but the error.
func inbox(t testing.TB, s store.Session, max int, from ...message.Cursor) []message.Delivery {
	t.Helper()
	got, err := s.Inbox(background, from, max)
	if err != nil {
		t.Fatalf("Inbox: %v", err)
	}
	return got
}

// sendMany commits messages from..to for a shard, several a unit.
func sendMany(o *owner, to message.Shard, from, last uint64) {
	for from <= last {
		var writes []message.Write
		for ; from <= last && len(writes) < 100; from++ {
			writes = append(writes, send(to, from, fmt.Sprint("message ", from)))
		}
		o.commit(writes...)
	}
}

// Messages come per source in order and without gaps, from other shards and
// from the shard itself, and only those for this shard.
func testOutboxPull(t *testing.T, h Harness) {
	_, st := fresh(t, h, 3)
	sources := []*owner{own(t, st, 0), own(t, st, 1), own(t, st, 2)}
	for _, o := range sources {
		sendMany(o, 1, 1, 7)
		sendMany(o, 2, 1, 3)
	}
	sources[0].commit(send(1, 8, "")) // empty, and still a message
	// A reader has been given what its cursors say that it has.
	inbox(t, sources[1], 100, message.Cursor{Source: 0}, message.Cursor{Source: 1})
	at := []message.Cursor{{Source: 2}, {Source: 0, Position: 4}, {Source: 1, Position: 7}}
	next := map[message.Shard]uint64{2: 1, 0: 5, 1: 8}
	total := 0
	for range 20 {
		got := inbox(t, sources[1], 2, at...)
		if len(got) > 2 {
			t.Fatalf("Inbox returned %d messages of at most 2", len(got))
		}
		for _, d := range got {
			want := fmt.Sprint("message ", d.Position)
			if d.Source == 0 && d.Position == 8 {
				want = ""
			}
			if d.Position != next[d.Source] || string(d.Data) != want {
				t.Errorf("shard %d gave position %d (%q), want %d", d.Source, d.Position, d.Data, next[d.Source])
			}
			next[d.Source]++
			for i := range at {
				if at[i].Source == d.Source {
					at[i].Position = d.Position
				}
			}
		}
		total += len(got)
	}
	if total != 7+4 {
		t.Errorf("%d messages came, want 11", total)
	}
	if got := inbox(t, sources[1], 10); len(got) != 0 {
		t.Errorf("no cursors gave %d messages", len(got))
	}
	if got := inbox(t, sources[1], 10, message.Cursor{Source: 0, Position: ^uint64(0)}); len(got) != 0 {
		t.Errorf("the last possible cursor gave %d messages", len(got))
	}
}

// A busy source does not starve the others, and fewer than max messages are
// all there are.
func testOutboxFairness(t *testing.T, h Harness) {
	_, st := fresh(t, h, 3)
	busy, quiet, dst := own(t, st, 0), own(t, st, 1), own(t, st, 2)
	sendMany(busy, 2, 1, 50)
	sendMany(quiet, 2, 1, 2)
	from := []message.Cursor{{Source: 0}, {Source: 1}, {Source: 2}}
	count := func(max int) map[message.Shard]int {
		n := map[message.Shard]int{}
		for _, d := range inbox(t, dst, max, from...) {
			n[d.Source]++
		}
		return n
	}
	diff(t, "of at most 6", map[message.Shard]int{0: 4, 1: 2}, count(6))
	diff(t, "of at most 51", map[message.Shard]int{0: 49, 1: 2}, count(51))
	diff(t, "of at most 100", map[message.Shard]int{0: 50, 1: 2}, count(100))
}

// FAULTS 23: a gap beyond the cursor is lost data, and is never skipped.
func testOutboxGap(t *testing.T, h Harness) {
	_, st := fresh(t, h, 2)
	src, dst := own(t, st, 0), own(t, st, 1)
	src.commit(send(1, 1, "a"), send(1, 2, "b"), send(1, 4, "d"))
	if got := inbox(t, dst, 2, message.Cursor{Source: 0}); len(got) != 2 {
		t.Errorf("before the gap there are %d messages, want 2", len(got))
	}
	for _, position := range []uint64{0, 1, 2} {
		if got, err := dst.Inbox(background, []message.Cursor{{Source: 0, Position: position}}, 10); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("across the gap, from %d: %d messages, %v, want ErrCorrupt", position, len(got), err)
		}
	}
	if got := inbox(t, dst, 10, message.Cursor{Source: 0, Position: 3}); len(got) != 1 {
		t.Errorf("beyond the gap there are %d messages, want 1", len(got))
	}
}

// Purging removes what was consumed, for one destination, and nothing else;
// however much that is, and as often as it is asked.
func testOutboxPurge(t *testing.T, h Harness) {
	p, st := fresh(t, h, 3)
	src, dst := own(t, st, 0), own(t, st, 1)
	const last = 2000
	sendMany(src, 1, 1, last)
	sendMany(src, 2, 1, 20)
	rows := func(want int) {
		t.Helper()
		if got := len(pairs(t, src, store.Range{Table: message.TableOutbox})) / 2; got != want {
			t.Errorf("the outbox has %d rows, want %d", got, want)
		}
	}
	purge := func(position uint64) {
		t.Helper()
		r := store.Retention{Shard: 1, Consumed: []message.Cursor{{Source: 2, Position: 5}, {Source: 0, Position: position}}}
		if err := st.Maintain(background, r); err != nil {
			t.Fatal(err)
		}
		if left := inbox(t, dst, last, message.Cursor{Source: 0, Position: position}); uint64(len(left)) != last-position {
			t.Errorf("beyond %d there are %d messages, want %d", position, len(left), last-position)
		}
	}
	purge(0)
	rows(last + 20)
	purge(10)
	rows(last - 10 + 20)
	purge(10)
	stale := store.Retention{Shard: 1, Consumed: []message.Cursor{{Source: 0, Position: 5}}} // older than last time
	if err := st.Maintain(background, stale); err != nil {
		t.Fatal(err)
	}
	rows(last - 10 + 20)
	purge(15)
	rows(last - 15 + 20)
	purge(1500)
	rows(last - 1500 + 20)
	// Behind what was purged there is a gap, which a reader must hear of.
	if _, err := dst.Inbox(background, []message.Cursor{{Source: 0, Position: 100}}, 10); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("from a cursor behind the purge: %v, want ErrCorrupt", err)
	}
	closeStore(t, st)
	st = open(t, p)
	src, dst = own(t, st, 0), own(t, st, 1)
	other := own(t, st, 2)
	purge(1501)
	purge(1999)
	rows(1 + 20)
	purge(last)
	rows(20)
	if got := inbox(t, other, 100, message.Cursor{Source: 0}); len(got) != 20 {
		t.Errorf("another destination has %d messages, want 20", len(got))
	}
}

// A store that hints, hints at the destination of a message once the message
// can be pulled.
func testOutboxHints(t *testing.T, h Harness) {
	if h.Differs.NoHints != "" {
		t.Skip("does not hint: " + h.Differs.NoHints)
	}
	_, st := fresh(t, h, 3)
	src, dst := own(t, st, 0), own(t, st, 2)
	src.commit(put(state("k"), "no message"), send(2, 1, "hello"))
	if shard := <-st.Wake(); shard != 2 {
		t.Errorf("the hint is for shard %d, want 2", shard)
	}
	if got := inbox(t, dst, 1, message.Cursor{Source: 0}); len(got) != 1 {
		t.Errorf("after the hint there are %d messages, want 1", len(got))
	}
	for i := range uint64(1000) { // nobody listens: the commits go on all the same
		src.submit(send(1, i+1, ""))
	}
	src.commit()
}
