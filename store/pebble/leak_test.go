package pebble

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Nothing that a store started runs after Close. It is no TestMain, because
// other tests of this package let the machine lose its power, and what runs on
// then is not ended. For the same reason it is not parallel: it runs before
// those.
func TestNothingRunsAfterClose(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := filepath.Join(t.TempDir(), "data")
	for range 2 {
		st := mustOpen(t, At(dir, testOptions(t, nil)))
		o := own(t, st, 0)
		for n := range byte(100) {
			o.at.Seq++
			u := &message.Unit{Version: o.at, Writes: []message.Write{{
				RowKey: message.RowKey{Table: message.TableState, Key: []byte{n}}, Value: make([]byte, 1<<10),
			}}}
			if err := o.Commit(background, u).Wait(); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Maintain(background, store.Retention{Below: 2}); err != nil {
			t.Error(err)
		}
		mustClose(t, st)
	}
	// And what could not be opened leaves nothing either.
	st := mustOpen(t, At(dir, testOptions(t, nil)))
	if _, err := At(dir, testOptions(t, nil)).OpenStore(background); err == nil {
		t.Error("the directory was opened twice")
	}
	mustClose(t, st)
}
