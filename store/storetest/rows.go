package storetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// A session's reads include every unit for which Commit has returned, durable
// or not.
func testReadsSeeApplied(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	first := o.submit(put(state("a"), "1"))
	expect(t, o, state("a"), "1")
	second := o.submit(put(state("a"), "2"), put(state("b"), "1"))
	diff(t, "rows", []string{"a", "2", "b", "1"}, pairs(t, o, store.Range{Table: message.TableState}))
	if err := errors.Join(first.Wait(), second.Wait()); err != nil {
		t.Fatal(err)
	}
}

// Get answers in the order of its keys, with nil for what is not there.
func testGet(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	o.commit(put(state("a"), "1"), put(dedup(7, "a"), "2"), put(dedup(8, "a"), "3"))
	keys := []message.RowKey{state("b"), dedup(8, "a"), state("a"), dedup(7, "a"), dedup(9, "a"), state("a"), state("")}
	got, err := o.Get(background, keys)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "values", [][]byte{nil, []byte("3"), []byte("1"), []byte("2"), nil, []byte("1"), nil}, got)
	none, err := o.Get(background, nil)
	if err != nil || len(none) != 0 {
		t.Errorf("Get of no keys: %v, %v", none, err)
	}
}

// An empty value is a value; so is one that was written as nil.
func testEmptyValues(t *testing.T, h Harness) {
	p, st := fresh(t, h, 1)
	o := own(t, st, 0)
	o.commit(put(state("empty"), ""), message.Write{RowKey: state("nil")}, put(state(""), "at the empty key"))
	check := func(s store.Session) {
		expect(t, s, state("empty"), "")
		expect(t, s, state("nil"), "")
		expect(t, s, state(""), "at the empty key")
		expectNone(t, s, state("absent"))
		rows, err := s.Scan(background, store.Range{Table: message.TableState}, 10)
		if err != nil || len(rows) != 3 {
			t.Fatalf("Scan: %d rows, %v", len(rows), err)
		}
	}
	check(o)
	closeStore(t, st)
	check(own(t, open(t, p), 0))
}

func testLaterWriteWins(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	o.commit(put(state("kept"), "before"), put(state("p/1"), "before"))
	o.commit(
		put(state("twice"), "first"), put(state("twice"), "second"),
		put(state("gone"), "x"), del(state("gone")),
		del(state("back")), put(state("back"), "y"),
		put(state("p/2"), "hidden"), delPrefix(state("p/")), put(state("p/3"), "after"),
		del(state("never was")),
	)
	diff(t, "rows", []string{"back", "y", "kept", "before", "p/3", "after", "twice", "second"},
		pairs(t, o, store.Range{Table: message.TableState}))
	o.commit(delPrefix(state("p/")), put(state("p/3"), "again"), del(state("p/3")))
	expectNone(t, o, state("p/3"))
}

// DeletePrefix takes the prefix as bytes, 0xff and emptiness included, and
// stays in its table.
func testDeletePrefix(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	mailbox := func(key string) message.RowKey {
		return message.RowKey{Table: message.TableMailbox, Key: []byte(key)}
	}
	all := []string{"", "a", "a\x00", "a\xff", "a\xff\xff", "a\xff\xff\x01", "b", "\xff", "\xff\xff"}
	fill := func() {
		var writes []message.Write
		for _, k := range all {
			writes = append(writes, put(state(k), "v"), put(mailbox(k), "v"))
		}
		o.commit(writes...)
	}
	for _, prefix := range []string{"a", "a\xff", "a\xff\xff", "\xff", "\xff\xff", "b", "c", ""} {
		fill()
		o.commit(delPrefix(state(prefix)))
		want := []string{}
		for _, k := range slices.Sorted(slices.Values(all)) {
			if !bytes.HasPrefix([]byte(k), []byte(prefix)) {
				want = append(want, k, "v")
			}
		}
		diff(t, "after deleting the prefix "+prefix, want, pairs(t, o, store.Range{Table: message.TableState}))
		if got := pairs(t, o, store.Range{Table: message.TableMailbox}); len(got) != 2*len(all) {
			t.Errorf("another table has %d rows left, want %d", len(got)/2, len(all))
		}
	}
}

// Rows are ordered by the bytes of their keys, and not by any collation.
func testByteOrder(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	keys := []string{"", "\x00", "\x00\x00", "\x00\xff", "\x01", "A", "B", "Z", "a", "a\x00", "a\x00b", "aa", "b", "\x7f", "\x80", "\xc3\xa9", "\xff", "\xff\x00", "\xff\xff"}
	var writes []message.Write
	for i := range keys {
		k := keys[(i*7)%len(keys)]
		writes = append(writes, put(state(k), "in "+k), put(dedup(3, k), "in "+k))
	}
	o.commit(writes...)
	slices.Sort(keys)
	var want []string
	for _, k := range keys {
		want = append(want, k, "in "+k)
	}
	diff(t, "state", want, pairs(t, o, store.Range{Table: message.TableState}))
	diff(t, "dedup", want, pairs(t, o, store.Range{Table: message.TableDedup, Gen: 3}))
}

func testScanBounds(t *testing.T, h Harness) {
	_, st := fresh(t, h, 2)
	o, other := own(t, st, 0), own(t, st, 1)
	var writes []message.Write
	for _, k := range []string{"a", "b", "b\x00", "c", "d"} {
		writes = append(writes, put(state(k), k), put(dedup(5, k), "gen 5"))
	}
	o.commit(writes...)
	other.commit(put(state("b"), "other shard"), put(dedup(5, "b"), "other shard"))
	for _, c := range []struct {
		from, to string
		noEnd    bool
		limit    int
		want     []string
	}{
		{"", "", true, 10, []string{"a", "b", "b\x00", "c", "d"}},
		{"", "", true, 2, []string{"a", "b"}},
		{"", "", true, 0, nil},
		{"", "", false, 10, nil}, // To is not nil: nothing is below the empty key
		{"b", "", true, 10, []string{"b", "b\x00", "c", "d"}},
		{"b", "c", false, 10, []string{"b", "b\x00"}},
		{"b\x00", "c\x00", false, 10, []string{"b\x00", "c"}},
		{"bb", "d", false, 1, []string{"c"}},
		{"c", "b", false, 10, nil},
		{"c", "c", false, 10, nil},
		{"e", "", true, 10, nil},
	} {
		r := store.Range{Table: message.TableState, From: []byte(c.from), To: []byte(c.to)}
		if c.noEnd {
			r.To = nil
		}
		rows, err := o.Scan(background, r, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, row := range rows {
			got = append(got, string(row.Key))
		}
		diff(t, "scan from "+c.from+" to "+c.to, c.want, got)
	}
	if got := pairs(t, o, store.Range{Table: message.TableDedup, Gen: 6}); len(got) != 0 {
		t.Errorf("generation 6 has rows: %q", got)
	}
}

// What a read returned stays as it was and may be changed.
func testReadBytes(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	o.commit(put(state("a"), "old"), put(state("b"), "old"))
	values, err := o.Get(background, []message.RowKey{state("a")})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := o.Scan(background, store.Range{Table: message.TableState}, 10)
	if err != nil {
		t.Fatal(err)
	}
	o.commit(put(state("a"), "new"), del(state("b")))
	if string(values[0]) != "old" || string(rows[0].Value) != "old" || string(rows[1].Key) != "b" {
		t.Errorf("a later commit changed what was read: %q, %q", values, rows)
	}
	copy(values[0], "xxx")
	copy(rows[0].Key, "x")
	_ = append(rows[0].Key, "overwrites nothing"...)
	if string(rows[0].Value) != "old" {
		t.Errorf("appending to a row's key changed its value to %q", rows[0].Value)
	}
	expect(t, o, state("a"), "new")
}

func testReadContext(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := o.Get(ctx, []message.RowKey{state("a")}); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v", err)
	}
	if _, err := o.Scan(ctx, store.Range{Table: message.TableState}, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Scan: %v", err)
	}
	if _, err := o.Inbox(ctx, []message.Cursor{{}}, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Inbox: %v", err)
	}
	if _, err := st.Open(ctx, 0, "storetest"); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
	if err := st.Maintain(ctx, store.Retention{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Maintain: %v", err)
	}
	o.commit() // none of it did harm
}
