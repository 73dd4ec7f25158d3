package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	flagSeed   = flag.Uint64("seed", 0, "run this one seed, with its trace")
	flagSeeds  = flag.Uint64("seeds", 0, "how many seeds TestSeeds runs; 0: as many as it takes for its steps")
	flagFirst  = flag.Uint64("first", 1, "the first of them")
	flagOps    = flag.Int("ops", DefaultOps, "operations of clients in each seed")
	flagFaults = flag.String("faults", "", "with -seed: these kinds of faults, with commas between them, or none; else those that the seed turns on")
	flagSkip   = flag.String("skip", "", "with -seed: strikes to leave out, like crash:3,5;delay:1")
	flagLines  = flag.Int("lines", 200, "lines of the trace to print when -seed fails")
)

// Runs make garbage fast and keep little of it.
func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// Steps of a sweep: what continuous integration has time for, a tenth of it,
// and the long search.
const (
	usualSteps = 5_000_000
	shortSteps = usualSteps / 10
	racedSteps = usualSteps / 100
	soakSteps  = 200_000_000
)

// TestSeeds runs everything at once, from many seeds: FAULTS 1-4, 6, 8, 13, 16, 17, 19,
// 21, 22, 24-32, 34, 35, 38, 42-45, 47, 51, 53, 54.
func TestSeeds(t *testing.T) {
	t.Parallel()
	if *flagSeed != 0 {
		one(t)
		return
	}
	w := sweep{seeds: *flagSeeds, next: *flagFirst, steps: usualSteps}
	switch {
	case os.Getenv("SEMEL_SOAK") != "":
		w.steps = soakSteps
	case raced:
		w.steps = racedSteps
	case testing.Short():
		w.steps = shortSteps
	}
	began := time.Now()
	w.run(t)
	took := time.Since(began)
	t.Logf("%d seeds, %d steps in %v, %.0f steps/s; %d events, %d units, %d answers, %d calls", w.done, w.total.Steps,
		took.Round(time.Millisecond), float64(w.total.Steps)/took.Seconds(), w.total.Events, w.total.Units, w.total.Answers, w.total.Calls)
	t.Log(w.total.text())
	var missing []string
	if w.seeds == 0 && w.steps >= shortSteps {
		missing = w.total.MissingKinds()
	}
	if w.seeds == 0 && w.steps >= usualSteps { // what is rare needs more than a short one
		missing = append(missing, w.total.MissingPaths()...)
	}
	if len(missing) > 0 && !t.Failed() {
		t.Errorf("this sweep proves nothing of what never happened in it: %s", strings.Join(missing, ", "))
	}
}

// one runs the seed of the flags.
func one(t *testing.T) {
	faults, err := ParseKinds(*flagFaults)
	if err != nil {
		t.Fatal(err)
	}
	skip, err := ParseSkips(*flagSkip)
	if err != nil {
		t.Fatal(err)
	}
	r := Run(Options{Seed: *flagSeed, Ops: *flagOps, Faults: faults, Skip: skip, Trace: true})
	if r.Failure != "" {
		t.Logf("%s", r.Tail(*flagLines))
		t.Error(r.Report())
	}
	t.Logf("%s\nhash %x, %d events, %d steps\n%s", r.Config, r.Hash, r.Counts.Events, r.Counts.Steps, r.Counts.text())
}

// text lists kinds and paths with how often each occurred.
func (c *Counts) text() string {
	var b strings.Builder
	b.WriteString("faults:")
	for k, n := range c.Strikes {
		fmt.Fprintf(&b, " %s %d", Kind(k), n)
	}
	b.WriteString("\npaths:")
	for p, n := range c.Paths {
		fmt.Fprintf(&b, " %s %d", Path(p), n)
	}
	return b.String()
}

// longestRun bounds a run by the wall clock, far above what any takes. Within a
// run events are counted, but one that never ends is not, and the test binary's
// own timeout names no seed.
const longestRun = 3 * time.Minute

// sweep runs seeds side by side.
type sweep struct {
	mu     sync.Mutex
	seeds  uint64 // how many; zero: until there are enough steps
	steps  int64
	next   uint64
	done   uint64
	failed int
	total  Counts
}

func (w *sweep) run(t *testing.T) {
	var wait sync.WaitGroup
	first := w.next
	for range 2 {
		wait.Go(func() {
			for {
				w.mu.Lock()
				seed := w.next
				enough := w.seeds > 0 && seed >= first+w.seeds || w.seeds == 0 && w.total.Steps >= w.steps
				if enough || w.failed >= 5 {
					w.mu.Unlock()
					return
				}
				w.next++
				w.mu.Unlock()
				stuck := time.AfterFunc(longestRun, func() {
					panic(fmt.Sprintf("seed %d: an event of this run does not end", seed))
				})
				r := Run(Options{Seed: seed, Ops: *flagOps})
				stuck.Stop()
				w.mu.Lock()
				w.total.Add(&r.Counts)
				w.done++
				if r.Failure != "" {
					w.failed++
				}
				w.mu.Unlock()
				if r.Failure != "" {
					t.Errorf("%s\n%s", r.Report(), r.Smaller(200))
				}
			}
		})
	}
	wait.Wait()
}

// few is a number of runs that the race detector has time for too.
func few(n uint64) uint64 {
	if raced {
		return max(n/5, 1)
	}
	return n
}

// The same seed runs the same way, or no failure could be looked into.
func TestSeedsRepeat(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= few(10); seed++ {
		a, b := Run(Options{Seed: seed}), Run(Options{Seed: seed, Trace: true})
		if a.Hash != b.Hash || a.Counts != b.Counts {
			t.Errorf("seed %d ran in two ways: %x %+v, %x %+v", seed, a.Hash, a.Counts, b.Hash, b.Counts)
		}
	}
}
