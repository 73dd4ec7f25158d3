package pebble

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/internal/sim/crashfs"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// A generation that was dropped stays dropped, though a backup was under way
// that kept the unit rows of its rows. Maintain does not wait for the backup.
func TestDroppedStaysDropped(t *testing.T) {
	t.Parallel()
	disk := crashfs.New()
	m := &machine{opt: testOptions(t, disk)}
	m.opt.Shards = 1
	st := mustOpen(t, m)
	o := own(t, st, 0)
	there := func(s store.Session) bool {
		t.Helper()
		values, err := s.Get(background, []message.RowKey{{Table: message.TableDedup, Gen: 1, Key: []byte("00000001")}})
		if err != nil {
			t.Fatal(err)
		}
		return values[0] != nil
	}
	// dropped maintains, and says what is seen of it now and after a crash.
	dropped := func() (now, later bool) {
		t.Helper()
		if err := st.Maintain(background, store.Retention{Below: 2}); err != nil {
			t.Fatal(err)
		}
		now = !there(o)
		o.at.Seq++
		if err := o.Commit(background, &message.Unit{Version: o.at}).Wait(); err != nil { // and so Maintain's batch is synced
			t.Fatal(err)
		}
		opt := m.opt
		opt.FS = disk.Crash(0, 1)
		again := mustOpen(t, At("data", opt))
		later = !there(own(t, again, 0))
		mustClose(t, again)
		return now, later
	}
	for range 3 {
		if err := o.submit(10).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	st.folds.keep.Lock() // as a backup does
	if now, later := dropped(); now || later {
		t.Errorf("not folded, with a backup under way: dropped %v, and after a crash %v", now, later)
	}
	if err := st.folds.fold(); err != nil {
		t.Fatal(err)
	}
	if now, later := dropped(); now || later {
		t.Errorf("folded, with a backup under way: dropped %v, and after a crash %v", now, later)
	}
	st.folds.keep.Unlock()
	if now, later := dropped(); !now || !later {
		t.Errorf("after the backup: dropped %v, and after a crash %v", now, later)
	}
	mustClose(t, st)
}

// A call with nothing to do writes nothing, and leaving out what was removed
// before never leaves out anything that is there.
func TestMaintainIsCheap(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, &machine{opt: testOptions(t, vfs.NewMem())})
	o := own(t, st, 0)
	if err := o.submit(1).Wait(); err != nil {
		t.Fatal(err)
	}
	written := func() uint64 { return st.db.Metrics().WAL.BytesIn }
	maintain := func(below message.Generation, consumed uint64) {
		t.Helper()
		r := store.Retention{Below: below, Consumed: []message.Cursor{{Source: 1, Position: consumed}}}
		if err := st.Maintain(background, r); err != nil {
			t.Fatal(err)
		}
	}
	maintain(2, 10)
	before := written()
	for range 10 {
		maintain(2, 10)
		maintain(1, 5)
	}
	if after := written(); after != before {
		t.Errorf("with nothing to do it wrote %d bytes", after-before)
	}
	maintain(9, 10)
	if after := written(); after != before {
		t.Errorf("dropping generations that do not exist wrote %d bytes", after-before)
	}
	maintain(9, 12)
	if after := written(); after == before {
		t.Error("purging wrote nothing")
	}
	mustClose(t, st)
}
