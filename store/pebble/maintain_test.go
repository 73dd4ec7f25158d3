package pebble

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

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
