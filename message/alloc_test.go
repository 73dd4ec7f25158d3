//go:build !race

package message

import "testing"

// Under the race detector sync.Pool forgets at random; hence the build tag.
// Not parallel: AllocsPerRun counts what everyone allocates.
func TestHotPathDoesNotAllocate(t *testing.T) {
	a := Agent{DefaultTenant, "account", "alice"}
	for _, bb := range benchBodies {
		if len(bb.body) > 1000 {
			continue
		}
		if n := testing.AllocsPerRun(1000, func() {
			if _, err := FingerprintOf(a, "transfer", bb.body); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("FingerprintOf(%s): %v allocations", bb.name, n)
		}
	}
	for _, v := range keyTimes {
		if n := testing.AllocsPerRun(100, func() { KeyTime(v.key) }); n != 0 {
			t.Errorf("KeyTime(%s): %v allocations", v.key, n)
		}
	}
}
