package mutants

import (
	"path/filepath"
	"testing"
)

const root = "../.."

// Every mutant can still be planted: its old text is in its file, once, and what
// comes out is Go. And who is to find it exists.
func TestMutantsCanBePlanted(t *testing.T) {
	t.Parallel()
	tests := make(map[string]map[string]bool)
	names := make(map[string]bool)
	for _, m := range All() {
		if names[m.Name] {
			t.Errorf("there are two mutants %s", m.Name)
		}
		names[m.Name] = true
		if m.Old == m.New || m.Fault == "" {
			t.Errorf("mutant %s changes nothing, or does not say what goes wrong", m.Name)
		}
		if _, err := m.Mutated(root); err != nil {
			t.Error(err)
		}
		detectors := m.By
		if m.Simulated() {
			detectors = by(Simulation, SimulationTest)
		}
		for _, d := range detectors {
			if tests[d.Package] == nil {
				found, err := TestsOf(filepath.Join(root, d.Package))
				if err != nil {
					t.Fatal(err)
				}
				tests[d.Package] = found
			}
			for _, name := range d.Tests {
				if !tests[d.Package][name] {
					t.Errorf("mutant %s is to be found by %s of %s, and there is no such test", m.Name, name, d.Package)
				}
			}
		}
	}
	if len(names) < 24 {
		t.Errorf("there are only %d mutants", len(names))
	}
}

// A sample of each day comes to all of them in turn.
func TestTurn(t *testing.T) {
	t.Parallel()
	all := All()
	seen := make(map[string]int)
	for day := range (len(all) + perDay - 1) / perDay {
		turned := Turn(all, day)
		if len(turned) != len(all) {
			t.Fatalf("day %d has %d of %d mutants", day, len(turned), len(all))
		}
		for _, m := range turned[:perDay] {
			seen[m.Name]++
		}
	}
	for _, m := range all {
		if seen[m.Name] == 0 {
			t.Errorf("no day begins with %s", m.Name)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		seeds []uint64
		want  uint64
	}{
		{nil, 0}, {[]uint64{0}, 0}, {[]uint64{7}, 7}, {[]uint64{3, 0, 1}, 3}, {[]uint64{0, 0, 1}, 0}, {[]uint64{9, 2, 5, 0, 1}, 5},
	} {
		if got := median(c.seeds); got != c.want {
			t.Errorf("the median of %v is %d, want %d", c.seeds, got, c.want)
		}
	}
}

// The lowest seed counts, in whatever order they were told.
func TestFirstSeed(t *testing.T) {
	t.Parallel()
	out := []byte("    seeds_test.go:37: seed 12: lost\n        rerun: …\n    seeds_test.go:37: seed 9: twice\n")
	if got := firstSeed(out, 5, 20); got != 9 {
		t.Errorf("the first seed is %d", got)
	}
	if got := firstSeed([]byte("panic: test timed out"), 5, 20); got != 24 {
		t.Errorf("without a seed it is %d", got)
	}
}
