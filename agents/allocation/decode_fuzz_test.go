package allocation_test

import (
	"encoding/json"
	"testing"

	"github.com/semel-dev/semel/agents/allocation"
)

// A state is read back as it was written, whatever else somebody put into it.
func FuzzReservations(f *testing.F) {
	f.Add([]byte(`{"00000000-0000-0000-0000-000000000001":{"units":3}}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"a":{},"a":{}}`))
	f.Add([]byte(`{"":{}}`))
	f.Add([]byte(`[1]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r allocation.Reservations
		if json.Unmarshal(b, &r) != nil {
			return
		}
		written, err := json.Marshal(r)
		if err != nil || !json.Valid(written) {
			t.Fatalf("%q cannot be written again: %q, %v", b, written, err)
		}
		var again allocation.Reservations
		if err := json.Unmarshal(written, &again); err != nil {
			t.Fatalf("%q, which was written, cannot be read: %v", written, err)
		}
		if twice, err := json.Marshal(again); err != nil || string(twice) != string(written) {
			t.Errorf("%q was written, read, and written as %q, %v", written, twice, err)
		}
	})
}
