package pebble

import "testing"

func TestSpace(t *testing.T) {
	t.Parallel()
	st := mustOpen(t, At(t.TempDir(), testOptions(t, nil)))
	if free, err := st.Free(); err != nil || free == 0 {
		t.Errorf("Free: %d, %v", free, err)
	}
	mustClose(t, st)
}
