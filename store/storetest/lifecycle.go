package storetest

import (
	"errors"
	"testing"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

func testReopen(t *testing.T, h Harness) {
	p, st := fresh(t, h, 2)
	o := own(t, st, 1)
	for range 3 {
		o.commit(put(state("k"), "v"))
	}
	last := o.at
	for range 3 {
		closeStore(t, st)
		st = open(t, p)
		if st.Shards() != 2 {
			t.Fatalf("the store has %d shards, want 2", st.Shards())
		}
		if v := own(t, st, 0).at; v.Seq != 0 {
			t.Errorf("an unused shard is at unit %d", v.Seq)
		}
		o = own(t, st, 1)
		if o.at.Epoch <= last.Epoch || o.at.Seq != last.Seq {
			t.Fatalf("the shard is at %+v, want epoch above %d and unit %d", o.at, last.Epoch, last.Seq)
		}
		expect(t, o, state("k"), "v")
		o.commit()
		last = o.at
	}
}

func testCleanStart(t *testing.T, h Harness) {
	if h.Differs.NoCleanStart != "" {
		t.Skip("does not know how it ended: " + h.Differs.NoCleanStart)
	}
	p, st := fresh(t, h, 1)
	if !st.CleanStart() {
		t.Error("a new store does not start clean")
	}
	closeStore(t, st)
	if err := st.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	st = open(t, p)
	if !st.CleanStart() {
		t.Error("after Close the start is not clean")
	}
	if h.Differs.NoKill != "" {
		t.Skip("cannot be killed: " + h.Differs.NoKill)
	}
	if h.Differs.CleanBySession != "" {
		own(t, st, 0)
	}
	p.Kill(t)
	st = open(t, p)
	if st.CleanStart() {
		t.Error("after a kill the start is clean")
	}
	if h.Differs.CleanBySession != "" {
		own(t, st, 0)
	}
	closeStore(t, st)
	if st = open(t, p); !st.CleanStart() {
		t.Error("after a kill, a start and a Close, the start is not clean")
	}
}

// FAULTS 1, 2: what was acknowledged is there after a kill.
func testKilled(t *testing.T, h Harness) {
	if h.Differs.NoKill != "" {
		t.Skip("cannot be killed: " + h.Differs.NoKill)
	}
	p, st := fresh(t, h, 1)
	for i := range 3 { // FAULTS 6
		o := own(t, st, 0)
		if int(o.at.Seq) != i {
			t.Fatalf("after %d kills the shard is at %+v", i, o.at)
		}
		o.commit(put(state("n"), string(rune('0'+i))))
		p.Kill(t)
		st = open(t, p)
		expect(t, own(t, st, 0), state("n"), string(rune('0'+i)))
	}
}

// FAULTS 15.
func testLocked(t *testing.T, h Harness) {
	if h.Differs.NotLocked != "" {
		t.Skip("is not locked: " + h.Differs.NotLocked)
	}
	p, st := fresh(t, h, 1)
	o := own(t, st, 0)
	for range 2 {
		if _, err := p.OpenStore(background); !errors.Is(err, store.ErrLocked) {
			t.Fatalf("a second OpenStore: %v, want ErrLocked", err)
		}
	}
	o.commit() // the first one does not suffer from it
	closeStore(t, st)
	open(t, p)
}

func testIncarnation(t *testing.T, h Harness) {
	p, st := fresh(t, h, 1)
	inc := st.Incarnation()
	if inc == (message.Incarnation{}) {
		t.Error("the incarnation is zero")
	}
	closeStore(t, st)
	if st = open(t, p); st.Incarnation() != inc {
		t.Errorf("the incarnation was %x and is %x", inc, st.Incarnation())
	}
}

// FAULTS 14: a restored backup has what was durable, and is another store.
func testRestore(t *testing.T, h Harness) {
	if h.Differs.NoBackup != "" {
		t.Skip("has no backups: " + h.Differs.NoBackup)
	}
	p, st := fresh(t, h, 2)
	o := own(t, st, 1)
	o.commit(put(state("k"), "in the backup"))
	restored := open(t, p.Restore(t, st))
	o.commit(put(state("k"), "after it"))

	if restored.Incarnation() == st.Incarnation() || restored.Incarnation() == (message.Incarnation{}) {
		t.Errorf("the restored store's incarnation is %x, the original's is %x", restored.Incarnation(), st.Incarnation())
	}
	if restored.CleanStart() {
		t.Error("a restored store, a copy of a running one, starts clean")
	}
	r := own(t, restored, 1)
	if r.at.Seq != 1 || r.at.Epoch <= o.at.Epoch {
		t.Errorf("the restored shard is at %+v, the original was at epoch %d, unit 1", r.at, o.at.Epoch)
	}
	expect(t, r, state("k"), "in the backup")
	r.commit(put(state("k"), "restored"))
	expect(t, o, state("k"), "after it")
	o.commit()
}

func testClosedSession(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	last := o.submit(put(state("k"), "v"))
	if err := o.Session.Close(); err != nil {
		t.Fatal(err)
	}
	if err := last.Wait(); err != nil {
		t.Errorf("a commit from before Close: %v", err)
	}
	if err := o.submit(put(state("k"), "late")).Wait(); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a commit after Close: %v, want ErrClosed", err)
	}
	if _, err := o.Get(background, []message.RowKey{state("k")}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Get after Close: %v, want ErrClosed", err)
	}
	next := own(t, st, 0)
	expect(t, next, state("k"), "v")
	if next.at.Seq != 1 {
		t.Errorf("the shard is at unit %d, want 1", next.at.Seq)
	}
}

func testClosedStore(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	p := o.submit(put(state("k"), "v"))
	closeStore(t, st)
	if err := p.Wait(); err != nil {
		t.Errorf("a commit from before an orderly Close: %v", err)
	}
	if err := o.submit().Wait(); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Commit: %v, want ErrClosed", err)
	}
	if _, err := o.Get(background, nil); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Get: %v, want ErrClosed", err)
	}
	if _, err := o.Scan(background, store.Range{Table: message.TableState}, 1); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Scan: %v, want ErrClosed", err)
	}
	if _, err := o.Inbox(background, []message.Cursor{{}}, 1); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Inbox: %v, want ErrClosed", err)
	}
	if _, err := st.Open(background, 0, "storetest"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Open: %v, want ErrClosed", err)
	}
	if err := st.Maintain(background, store.Retention{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Maintain: %v, want ErrClosed", err)
	}
	if err := o.Session.Close(); err != nil {
		t.Errorf("Close of the session: %v", err)
	}
}

// A shard that does not exist is an error everywhere, and never a panic.
func testNoSuchShard(t *testing.T, h Harness) {
	_, st := fresh(t, h, 2)
	if _, err := st.Open(background, 2, "storetest"); err == nil {
		t.Error("Open took shard 2 of 2")
	}
	if err := st.Maintain(background, store.Retention{Shard: 2}); err == nil {
		t.Error("Maintain took shard 2 of 2")
	}
	if err := st.Maintain(background, store.Retention{Consumed: []message.Cursor{{Source: 2}}}); err == nil {
		t.Error("Maintain took source 2 of 2")
	}
	if _, err := own(t, st, 0).Inbox(background, []message.Cursor{{Source: 2}}, 1); err == nil {
		t.Error("Inbox took source 2 of 2")
	}
}
