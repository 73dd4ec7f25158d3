package core

import (
	"flag"
	"fmt"
	"sync"
	"testing"
)

var (
	flagSeed  = flag.Uint64("seed", 0, "run this one seed, with its trace")
	flagSeeds = flag.Uint64("seeds", 300, "how many seeds TestSeeds runs")
	flagFirst = flag.Uint64("first", 1, "the first of them")
	flagOps   = flag.Int("ops", 150, "operations of clients in each seed")
	flagTrace = flag.Int("lines", 200, "lines of the trace to print when -seed fails")
)

func runSeed(seed uint64, keep bool) *sim {
	s := newSim(seed, *flagOps)
	s.keep = keep
	func() {
		defer func() {
			if v := recover(); v != nil {
				if keep {
					fmt.Println(s.tail(*flagTrace))
					panic(v)
				}
				s.fail("panic: %v", v)
			}
		}()
		s.run(2_000_000)
	}()
	return s
}

func report(t *testing.T, s *sim) {
	if s.failure != "" {
		t.Errorf("seed %d: %s\nrerun: go test ./internal/core -run TestSeeds -seed=%d -ops=%d", s.seed, s.failure, s.seed, *flagOps)
	}
}

// Everything at once, from many seeds: FAULTS 1-4, 6, 8, 16, 17, 19, 21, 30,
// 34, 35, 53, 54.
func TestSeeds(t *testing.T) {
	t.Parallel()
	if *flagSeed != 0 {
		s := runSeed(*flagSeed, true)
		if s.failure != "" {
			t.Log(s.tail(*flagTrace))
		}
		report(t, s)
		t.Logf("%+v, %d ops, config %+v, hash %x", s.stats, len(s.clients.ops), s.cfg, s.hash.Sum64())
		return
	}
	var mu sync.Mutex
	var total simStats
	next, failed := *flagFirst, 0
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				stop := seed >= *flagFirst+*flagSeeds || failed >= 10
				mu.Unlock()
				if stop {
					return
				}
				s := runSeed(seed, false)
				mu.Lock()
				report(t, s)
				if s.failure != "" {
					failed++
				}
				total.add(s.stats)
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	t.Logf("%+v", total)
}

func (a *simStats) add(b simStats) {
	a.events += b.events
	a.units += b.units
	a.crashes += b.crashes
	a.kills += b.kills
	a.steps += b.steps
	a.calls += b.calls
	a.dead += b.dead
	a.doubts += b.doubts
	a.answers += b.answers
	a.rushes += b.rushes
	a.reopened += b.reopened
	a.late += b.late
	a.conflicts += b.conflicts
	a.probing += b.probing
	a.passed += b.passed
	a.changes += b.changes
	a.forgotten += b.forgotten
}

// The same seed runs the same way, or no failure could be looked into.
func TestSeedsRepeat(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= 5; seed++ {
		a, b := runSeed(seed, false), runSeed(seed, false)
		if a.hash.Sum64() != b.hash.Sum64() || a.stats != b.stats {
			t.Errorf("seed %d ran in two ways: %+v, %+v", seed, a.stats, b.stats)
		}
	}
}
