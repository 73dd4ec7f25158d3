package pebble

import (
	"errors"
	"testing"

	"github.com/semel-dev/semel/store"
)

func TestSpace(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, At(t.TempDir(), testOptions(t, nil)))
	if free, err := st.Free(); err != nil || free == 0 {
		t.Errorf("Free: %d, %v", free, err)
	}
	before, err := st.Size()
	if err != nil || before <= 0 {
		t.Errorf("Size: %d, %v", before, err)
	}
	o := own(t, st, 0)
	const written = 600 << 10
	for range 3 {
		if err := o.submit(written / 3).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := st.Size(); err != nil || after < before+written/2 { // the log may have had room
		t.Errorf("Size: %d after %d more bytes than %d, %v", after, written, before, err)
	}
	mustClose(t, st)
	if _, err := st.Size(); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Size of a closed store: %v", err)
	}
}
