package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// partOpener is the place's opener, as of a part.
func partOpener(t *testing.T, p Place) store.PartOpener {
	t.Helper()
	o, ok := p.Opener.(store.PartOpener)
	if !ok {
		t.Skip("is no part of a divided store")
	}
	return o
}

func openPart(t testing.TB, o store.PartOpener, holds ...message.Shard) store.Part {
	t.Helper()
	st, err := o.OpenPart(background, holds)
	if err != nil {
		t.Fatalf("OpenPart: %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func expectCharter(t testing.TB, st store.Part, want string) {
	t.Helper()
	if got, err := st.Charter(background); err != nil || string(got) != want {
		t.Errorf("the charter is %q, %v; want %q", got, err, want)
	}
}

func grant(t testing.TB, st store.Part, was, is string, want bool) {
	t.Helper()
	var before []byte
	if was != "" {
		before = []byte(was)
	}
	if done, err := st.Grant(background, before, []byte(is)); err != nil || done != want {
		t.Errorf("Grant of %q after %q: %v, %v; want %v", is, was, done, err, want)
	}
}

// A charter is what the last one was compared with, and a store that has one is
// not opened by itself.
func testPartCharter(t *testing.T, h Harness) {
	p := h.Make(t, 2)
	o := partOpener(t, p)
	st := openPart(t, o, 1)
	expectCharter(t, st, "")
	if c, err := st.Charter(background); err != nil || c != nil {
		t.Errorf("without a charter it is %q, %v; want nil", c, err)
	}
	grant(t, st, "other", "first", false)
	grant(t, st, "", "first", true)
	grant(t, st, "", "second", false)
	expectCharter(t, st, "first")
	grant(t, st, "first", "second", true)
	closeStore(t, st)
	if alone, err := p.OpenStore(background); err == nil {
		t.Errorf("a part is opened by itself")
		closeStore(t, alone)
	}
	st = openPart(t, o, 1)
	expectCharter(t, st, "second")
	own(t, st, 1).commit(put(state("k"), "v"))
}

// Grant ends the sessions of before, and who opened the store under another
// charter has no more of them.
func testPartGrantFences(t *testing.T, h Harness) {
	p := h.Make(t, 2)
	o := partOpener(t, p)
	st := openPart(t, o, 0, 1)
	former := own(t, st, 1)
	former.commit(put(state("k"), "before"))
	granting := st
	if h.Differs.NotLocked != "" {
		granting = openPart(t, o, 0, 1)
	}
	grant(t, granting, "", "first", true)
	if err := former.submit(put(state("k"), "after")).Wait(); !errors.Is(err, store.ErrFenced) {
		t.Errorf("a commit of before: %v, want ErrFenced", err)
	}
	now := own(t, granting, 1)
	expect(t, now, state("k"), "before")
	now.commit()
	if granting == st {
		return
	}
	if _, err := st.Open(background, 1, "storetest"); err == nil {
		t.Error("who opened the store under another charter has a session")
	}
	now.commit()
}

// While a node has a lease nothing is granted.
func testPartGrantWhileUsed(t *testing.T, h Harness) {
	if h.Differs.NotLocked == "" {
		t.Skip("one process at a time has the store")
	}
	p := h.Make(t, 2)
	st := openPart(t, partOpener(t, p), 0, 1)
	l := st.(store.Leaser)
	keep(t, l, nodeA)
	if done, err := st.Grant(background, nil, []byte("first")); done || !errors.Is(err, store.ErrLocked) {
		t.Errorf("while a node lives: %v, %v; want ErrLocked", done, err)
	}
	expectCharter(t, st, "")
	p.Lapse(t, "a")
	grant(t, st, "", "first", true)
}

// Used are the shards that have units, and no others.
func testPartUsed(t *testing.T, h Harness) {
	st := openPart(t, partOpener(t, h.Make(t, 4)), 0, 1, 2, 3)
	used := func(want ...message.Shard) {
		t.Helper()
		got, err := st.Used(background)
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("used are %v, %v; want %v", got, err, want)
		}
	}
	used()
	own(t, st, 0) // opened is not used
	own(t, st, 3).commit()
	used(3)
	own(t, st, 1).commit(put(state("k"), "v"))
	used(1, 3)
}

// FAULTS 23: an outbox gives another part's shard what is for it, in order and
// without gaps, again and again, until the shard's word has it removed.
func testPartOutbox(t *testing.T, h Harness) {
	st := openPart(t, partOpener(t, h.Make(t, 4)), 0, 1)
	src, other := own(t, st, 0), own(t, st, 1)
	sendMany(src, 3, 1, 250)
	sendMany(src, 2, 1, 3)
	sendMany(other, 3, 1, 2)
	pull := func(source message.Shard, position uint64, max, want int) {
		t.Helper()
		got, err := st.Outbox(background, 3, message.Cursor{Source: source, Position: position}, max)
		if err != nil || len(got) != want {
			t.Fatalf("from %d of shard %d: %d messages, %v; want %d", position, source, len(got), err, want)
		}
		for i, d := range got {
			if p := position + uint64(i) + 1; d.Source != source || d.Position != p || string(d.Data) != fmt.Sprint("message ", p) {
				t.Errorf("message %d is %d of shard %d: %q", p, d.Position, d.Source, d.Data)
			}
		}
	}
	pull(0, 0, 100, 100)
	pull(0, 100, 100, 100)
	pull(0, 100, 1000, 150) // as when the answer was lost
	pull(0, 200, 1000, 50)
	pull(0, 250, 100, 0)
	pull(0, ^uint64(0), 100, 0)
	pull(0, 0, 0, 0)
	pull(1, 0, 100, 2)
	for _, position := range []uint64{10, 200, 200, 5} {
		if err := st.Consumed(background, 3, message.Cursor{Source: 0, Position: position}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(pairs(t, src, store.Range{Table: message.TableOutbox})) / 2; got != 50+3 {
		t.Errorf("the outbox has %d rows, want 53", got)
	}
	pull(0, 200, 1000, 50)
	pull(1, 0, 100, 2)
	if _, err := st.Outbox(background, 3, message.Cursor{Source: 0, Position: 199}, 10); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("behind what was removed: %v, want ErrCorrupt", err)
	}
	src.commit(send(3, 252, "beyond a gap"))
	if _, err := st.Outbox(background, 3, message.Cursor{Source: 0, Position: 250}, 10); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("across a gap: %v, want ErrCorrupt", err)
	}
	if _, err := st.Outbox(background, 3, message.Cursor{Source: 4}, 10); err == nil {
		t.Error("there is a source shard 4 of 4")
	}
	if err := st.Consumed(background, 3, message.Cursor{Source: 4}); err == nil {
		t.Error("shard 4 of 4 has consumed messages")
	}
	over, cancel := context.WithCancel(background)
	cancel()
	if _, err := st.Outbox(over, 3, message.Cursor{Source: 0}, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
	closeStore(t, st)
	if _, err := st.Outbox(background, 3, message.Cursor{Source: 0}, 10); !errors.Is(err, store.ErrClosed) {
		t.Errorf("of a closed store: %v, want ErrClosed", err)
	}
}

// FAULTS 1: what an outbox gave to another part's shard is there after a kill.
func testPartOutboxIsDurable(t *testing.T, h Harness) {
	if h.Differs.NoKill != "" {
		t.Skip("cannot be killed: " + h.Differs.NoKill)
	}
	p := h.Make(t, 2)
	o := partOpener(t, p)
	st := openPart(t, o, 0)
	src := own(t, st, 0)
	src.commit(send(1, 1, "message 1"))
	var last []store.Pending
	for i := range uint64(5) {
		last = append(last, src.submit(send(1, i+2, "")))
	}
	got, err := st.Outbox(background, 1, message.Cursor{Source: 0}, 10)
	if err != nil || len(got) == 0 {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	p.Kill(t)
	for _, u := range last {
		_ = u.Wait() // some are unknown
	}
	st = openPart(t, o, 0)
	own(t, st, 0)
	again, err := st.Outbox(background, 1, message.Cursor{Source: 0}, 10)
	if err != nil || len(again) < len(got) {
		t.Errorf("of %d messages that were given %d are there, %v", len(got), len(again), err)
	}
}

// Every shard is in one division, and its leases are there.
func testDivisions(t *testing.T, h Harness) {
	_, st := fresh(t, h, 4)
	d, ok := st.(store.Divided)
	if !ok {
		t.Skip("is not divided")
	}
	in := make([]string, 4)
	for _, part := range d.Divisions() {
		for _, s := range part.Shards {
			if int(s) >= len(in) || in[s] != "" {
				t.Fatalf("shard %d is in part %s and in %s", s, part.Name, in[s])
			}
			in[s] = part.Name
		}
		if h.Differs.NotLocked == "" {
			continue
		}
		keep(t, part.Leaser, nodeA)
		for s := range message.Shard(len(in)) {
			c, ok, err := part.Leaser.Claim(background, "a", s)
			if held := in[s] == part.Name; ok != held || held && (err != nil || !c.Clean) || !held && err == nil {
				t.Errorf("a claim of shard %d in part %s: %v, clean %v, %v", s, part.Name, ok, c.Clean, err)
			}
		}
		r := keep(t, part.Leaser, nodeA)
		for s := range in {
			if (r.Holders[s] == "a") != (in[s] == part.Name) {
				t.Errorf("in part %s shard %d is held by %q", part.Name, s, r.Holders[s])
			}
		}
	}
	for s, name := range in {
		if name == "" {
			t.Errorf("shard %d is in no part", s)
		}
	}
}
