package sim

import (
	"strings"
	"testing"
)

// Planted bugs of the store and of its driver are found, and what finds them
// can be made smaller. (Those of the core are planted by a build tag.)
func TestBrokenIsFound(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		broken Broken
		faults Kinds  // that it takes
		says   string // one of its failures
	}{
		{"the store compares epochs alone", Broken{IgnoreVersion: true}, Kinds{TwiceSent, Cancel}, "is accepted after"},
		{"the store compares sequences alone", Broken{IgnoreEpoch: true}, Kinds{Suspend, Pause, Reopen}, "a unit of epoch"},
		{"the driver answers before the commit", Broken{AckBeforeDurable: true}, Kinds{Crash}, "durable"},
		{"a former owner refuses without asking", Broken{TrustLease: true}, Kinds{Suspend, Duplicate}, ""},
		{"a former owner reads on", Broken{ReadsUnfenced: true}, Kinds{Suspend, Pause, Duplicate}, ""},
		{"a session outlives a failover", Broken{SurviveFailover: true}, Kinds{Failover, Crash, LostHint, Cancel, Delay, Duplicate}, ""},
	}
	if raced {
		cases = cases[:3] // the others take many seeds, and have one goroutine too
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			found := findBug(t, 1, c.broken, c.faults, c.says)
			small := Shrink(found, int(few(120)))
			for range 2 { // one that needs all of its few faults may be as small as it gets
				if small.smallerThan(found) {
					break
				}
				found = findBug(t, found.Options.Seed+1, c.broken, c.faults, c.says)
				small = Shrink(found, int(few(120)))
			}
			t.Logf("seed %d; %d ops and %d faults became %d and %d\n%s", found.Options.Seed, found.Options.Ops, len(found.Strikes),
				small.Options.Ops, len(small.Strikes), small.Report())
			if small.Failure == "" {
				t.Error("what it shrank to does not fail")
			}
			if !small.smallerThan(found) {
				t.Errorf("%d ops and %d faults did not become fewer", found.Options.Ops, len(found.Strikes))
			}
			// The command's options run the same way.
			if again := Run(small.Options); again.Hash != small.Hash || again.Failure != small.Failure {
				t.Errorf("the shrunk run is not repeated: %q, then %q", small.Failure, again.Failure)
			}
		})
	}
}

func (r *Result) smallerThan(other *Result) bool {
	return r.Options.Ops < other.Options.Ops || len(r.Strikes) < len(other.Strikes)
}

// findBug runs seeds, from the first on, until one fails.
func findBug(t *testing.T, first uint64, broken Broken, faults Kinds, says string) *Result {
	t.Helper()
	for seed := first; seed < first+500; seed++ {
		r := Run(Options{Seed: seed, Broken: broken, Faults: faults})
		if r.Failure == "" {
			continue
		}
		if sound := Run(Options{Seed: seed, Faults: faults}); sound.Failure != "" {
			t.Fatalf("seed %d fails without the bug: %s", seed, sound.Failure)
		}
		if says != "" && !strings.Contains(r.Failure, says) {
			t.Fatalf("seed %d found something else: %s", seed, r.Failure)
		}
		return r
	}
	t.Fatal("no seed found it")
	return nil
}

// Faults that are skipped leave the others where they are.
func TestSkipShiftsNothing(t *testing.T) {
	t.Parallel()
	at := func(skip Skips) (hits []int) {
		s := &Sim{opt: Options{}, seed: 5}
		s.chaos = newChaos(5, true, nil, skip)
		s.chaos.on[Crash] = true
		for i := range 20_000 {
			if s.strike(Crash) {
				hits = append(hits, i)
			}
		}
		return hits
	}
	all, some := at(nil), at(Skips{Crash: {1, 3}})
	if len(all) < 5 || len(some) != len(all)-2 || some[0] != all[0] || some[1] != all[2] || some[2] != all[4] {
		t.Errorf("strikes at %v; without two of them at %v", all, some)
	}
}

// What a failure prints is what the flags take.
func TestSkipsRoundTrip(t *testing.T) {
	t.Parallel()
	const text = "crash:3,5;delay:1-4,9"
	got, err := ParseSkips(text)
	if err != nil || got.String() != text {
		t.Errorf("%q became %q: %v", text, got, err)
	}
	for _, bad := range []string{"crash", "crash:x", "flood:1"} {
		if _, err := ParseSkips(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	ks, err := ParseKinds("crash,partition")
	if err != nil || ks.String() != "crash,partition" {
		t.Errorf("kinds became %q: %v", ks, err)
	}
	if ks, err = ParseKinds("none"); err != nil || ks == nil || len(ks) != 0 {
		t.Errorf("none became %v: %v", ks, err)
	}
}
