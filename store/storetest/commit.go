package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

func testProfile(t *testing.T, h Harness) {
	_, st := fresh(t, h, 3)
	p := st.Profile()
	if p.Name == "" || p.UnitsInFlight < 1 || p.MaxUnitBytes < 64<<10 {
		t.Errorf("the profile %+v needs a name, a unit in flight, and units of 64 KiB or more", p)
	}
	if p.Exclusive != (h.Differs.NotLocked == "") {
		t.Errorf("the profile says exclusive: %v, and the harness declares %q", p.Exclusive, h.Differs.NotLocked)
	}
	if p.Exclusive != (p.Lease == 0) {
		t.Errorf("the profile says exclusive: %v, with a lease of %v", p.Exclusive, p.Lease)
	}
	if st.Shards() != 3 {
		t.Errorf("the store has %d shards, want 3", st.Shards())
	}
	if (st.Wake() == nil) != (h.Differs.NoHints != "") {
		t.Errorf("Wake is nil: %v, and the harness declares %q", st.Wake() == nil, h.Differs.NoHints)
	}
}

// A unit's writes are all made or none, over all tables.
func testAtomicity(t *testing.T, h Harness) {
	_, st := fresh(t, h, 2)
	o := own(t, st, 1)
	var writes []message.Write
	for table := message.Table(1); table < message.Tables; table++ {
		writes = append(writes, put(message.RowKey{Table: table, Key: []byte("key")}, fmt.Sprint("table ", table)))
	}
	refused := o.Commit(background, &message.Unit{Version: message.Version{Epoch: o.at.Epoch, Seq: o.at.Seq + 2}, Writes: writes})
	if err := refused.Wait(); !errors.Is(err, store.ErrFenced) {
		t.Fatalf("a unit out of order: %v, want ErrFenced", err)
	}
	for _, w := range writes {
		expectNone(t, o, w.RowKey)
	}
	o.commit(writes...)
	for _, w := range writes {
		expect(t, o, w.RowKey, string(w.Value))
	}
}

// Units take effect in the order of their submission, however many are in
// flight, and a Wait for one may come after a Wait for a later one.
func testUnitsInOrder(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	var pending []store.Pending
	for i := range 20 {
		pending = append(pending, o.submit(put(state("last"), fmt.Sprint(i)), put(state(fmt.Sprint(i)), "here")))
	}
	for i := len(pending) - 1; i >= 0; i-- {
		if err := pending[i].Wait(); err != nil {
			t.Fatalf("unit %d: %v", i+1, err)
		}
	}
	expect(t, o, state("last"), "19")
	if v := own(t, st, 0).at; v.Seq != 20 {
		t.Errorf("the shard is at unit %d, want 20", v.Seq)
	}
}

// FAULTS 22, 26: the epoch's half of the fence.
func testFenceEpoch(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	old := own(t, st, 0)
	old.commit(put(state("who"), "old"))
	young := own(t, st, 0)
	if young.at.Epoch <= old.at.Epoch || young.at.Seq != old.at.Seq {
		t.Fatalf("the second session is at %+v after the first at %+v", young.at, old.at)
	}
	if err := old.submit(put(state("who"), "zombie")).Wait(); !errors.Is(err, store.ErrFenced) {
		t.Errorf("a commit of the older session: %v, want ErrFenced", err)
	}
	expect(t, young, state("who"), "old")
	young.commit(put(state("who"), "young"))
	// Still refused when its sequence happens to follow.
	old.at.Seq = young.at.Seq
	if err := old.submit(put(state("who"), "zombie")).Wait(); !errors.Is(err, store.ErrFenced) {
		t.Errorf("a later commit of the older session: %v, want ErrFenced", err)
	}
	// An epoch that nobody was given is no better than an old one.
	forged := &message.Unit{Version: message.Version{Epoch: young.at.Epoch + 1, Seq: young.at.Seq + 1}, Writes: []message.Write{put(state("who"), "forger")}}
	if err := young.Commit(background, forged).Wait(); !errors.Is(err, store.ErrFenced) {
		t.Errorf("a commit of an epoch to come: %v, want ErrFenced", err)
	}
	expect(t, young, state("who"), "young")
}

// The sequence's half of the fence: no replay, no gap.
func testFenceSequence(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	o.commit(put(state("n"), "1"))
	o.commit(put(state("n"), "2"))
	for _, seq := range []message.Seq{0, 1, 2, 4, ^message.Seq(0)} {
		u := &message.Unit{Version: message.Version{Epoch: o.at.Epoch, Seq: seq}, Writes: []message.Write{put(state("n"), "wrong")}}
		if err := o.Commit(background, u).Wait(); !errors.Is(err, store.ErrFenced) {
			t.Errorf("unit %d after unit 2: %v, want ErrFenced", seq, err)
		}
	}
	expect(t, o, state("n"), "2")
	o.commit(put(state("n"), "3"))
	expect(t, o, state("n"), "3")
}

// Open fences a session that has commits in flight: those submitted before it
// may stand, those after it never do, and its version says which.
func testOpenFencesInFlight(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	old := own(t, st, 0)
	var before, after []store.Pending
	for i := range 5 {
		before = append(before, old.submit(put(state(fmt.Sprint("before", i)), "")))
	}
	young := own(t, st, 0)
	for i := range 5 {
		after = append(after, old.submit(put(state(fmt.Sprint("after", i)), "")))
	}
	for i, p := range before {
		err := p.Wait()
		_, there := value(t, young, state(fmt.Sprint("before", i)))
		counted := uint64(i) < uint64(young.at.Seq)
		if there != counted || (err == nil) != there {
			t.Errorf("unit %d: Wait %v, in the rows %v, in the new session's version %v", i+1, err, there, counted)
		}
	}
	for i, p := range after {
		if err := p.Wait(); !errors.Is(err, store.ErrFenced) {
			t.Errorf("a commit after Open: %v, want ErrFenced", err)
		}
		expectNone(t, young, state(fmt.Sprint("after", i)))
	}
	young.commit(put(state("young"), "yes"))
}

// What Open's version counts stays: it settles units whose answers are lost.
func testOpenSettles(t *testing.T, h Harness) {
	p, st := fresh(t, h, 1)
	o := own(t, st, 0)
	_ = o.submit(put(state("a"), "1")) // its answer is lost
	_ = o.submit(put(state("b"), "2"))
	next := own(t, st, 0)
	want := next.at
	closeStore(t, st)
	again := own(t, open(t, p), 0)
	if again.at.Seq != want.Seq || again.at.Epoch <= want.Epoch {
		t.Errorf("after reopening the version is %+v, want the sequence of %+v", again.at, want)
	}
	_, a := value(t, again, state("a"))
	_, b := value(t, again, state("b"))
	if a != (want.Seq >= 1) || b != (want.Seq >= 2) {
		t.Errorf("version %+v settles the units, and the rows are there: %v, %v", want, a, b)
	}
}

func testShardsIndependent(t *testing.T, h Harness) {
	_, st := fresh(t, h, 3)
	a, b := own(t, st, 0), own(t, st, 2)
	a.commit(put(state("key"), "of 0"))
	a.commit(put(state("only"), "of 0"))
	b.commit(put(state("key"), "of 2"))
	if a.at.Seq != 2 || b.at.Seq != 1 {
		t.Errorf("the shards are at %+v and %+v", a.at, b.at)
	}
	own(t, st, 1)                                       // raises nobody else's epoch
	a.commit(delPrefix(state("")), put(state("x"), "")) // deletes in its own shard only
	expect(t, b, state("key"), "of 2")
	expectNone(t, b, state("only"))
	expectNone(t, a, state("key"))
}

// A unit that is too large is certainly not committed, and the session goes on.
func testTooLarge(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	limit := st.Profile().MaxUnitBytes
	fits := make([]byte, limit-1)
	for i := range fits {
		fits[i] = byte(i * 31)
	}
	o.at.Seq++
	u := &message.Unit{Version: o.at, Writes: []message.Write{{RowKey: state("k"), Value: append(fits, 0)}}}
	if err := o.Commit(background, u).Wait(); !errors.Is(err, store.ErrTooLarge) {
		t.Fatalf("a unit of %d bytes: %v, want ErrTooLarge", u.Bytes(), err)
	}
	o.at.Seq--
	expectNone(t, o, state("k"))
	o.commit(message.Write{RowKey: state("k"), Value: fits})
	expect(t, o, state("k"), string(fits))
}

// The unit's bytes are the caller's again once Commit returned.
func testNoReference(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	key, val := []byte("key"), []byte("value")
	p := o.submit(message.Write{RowKey: message.RowKey{Table: message.TableState, Key: key}, Value: val})
	copy(key, "xxx")
	copy(val, "xxxxx")
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	diff(t, "rows", []string{"key", "value"}, pairs(t, o, store.Range{Table: message.TableState}))
}

// A unit without writes still makes a version.
func testEmptyUnit(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	o.commit()
	o.commit()
	if v := own(t, st, 0).at; v.Seq != 2 {
		t.Errorf("the shard is at unit %d, want 2", v.Seq)
	}
}
