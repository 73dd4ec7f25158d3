// Package bench measures the engine on this machine, through the public API,
// beside what the same disk and the same storage engine do without it. Ratios
// between rows of one run mean something; absolute figures from two machines,
// or two runs on a noisy one, do not.
//
// `go run ./bench/cmd` prints the table.
package bench

import (
	"slices"
	"sync"
	"syscall"
	"time"
)

// Load is how a workload is offered.
type Load struct {
	Callers int           // at once
	Group   int           // operations submitted together by a caller; 1 for single calls
	For     time.Duration // how long
	Agents  int           // chosen uniformly
}

// Result is what was measured of one row.
type Result struct {
	Ops      int           `json:"operations"`
	Elapsed  time.Duration `json:"elapsed_ns"`
	P50      time.Duration `json:"p50_ns"` // of a call, or of a whole group
	P99      time.Duration `json:"p99_ns"`
	P999     time.Duration `json:"p999_ns"`
	PerSec   float64       `json:"operations_per_second"`
	CPU      time.Duration `json:"cpu_ns_per_operation"` // of the whole process, callers and compactions included
	cpu      time.Duration
	rounds   []float64
	latences []time.Duration
}

// run offers a load: do performs one group for a caller and is timed.
func run(l Load, do func(caller, n int) error) (Result, error) {
	var (
		mu       sync.Mutex
		r        Result
		firstErr error
		wg       sync.WaitGroup
	)
	start, cpu := time.Now(), cpuTime()
	for c := range l.Callers {
		wg.Go(func() {
			var mine []time.Duration
			var err error
			for n := 0; err == nil && time.Since(start) < l.For; n++ {
				began := time.Now()
				err = do(c, n)
				mine = append(mine, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			r.latences = append(r.latences, mine...)
			r.Ops += len(mine) * l.Group
			if firstErr == nil {
				firstErr = err
			}
		})
	}
	wg.Wait()
	r.Elapsed, r.cpu = time.Since(start), cpuTime()-cpu
	r.rounds = []float64{float64(r.Ops) / r.Elapsed.Seconds()}
	return r, firstErr
}

// merge adds a round to a row.
func (r *Result) merge(more Result) {
	r.Ops += more.Ops
	r.Elapsed += more.Elapsed
	r.cpu += more.cpu
	r.rounds = append(r.rounds, more.rounds...)
	r.latences = append(r.latences, more.latences...)
}

// finish computes the row: the median round's throughput, and the quantiles of
// all calls.
func (r *Result) finish() {
	slices.Sort(r.latences)
	slices.Sort(r.rounds)
	q := func(p float64) time.Duration {
		if len(r.latences) == 0 {
			return 0
		}
		return r.latences[min(int(p*float64(len(r.latences))), len(r.latences)-1)]
	}
	r.P50, r.P99, r.P999 = q(0.50), q(0.99), q(0.999)
	if n := len(r.rounds); n > 0 {
		r.PerSec = r.rounds[n/2]
	}
	r.latences = nil
	r.CPU = r.cpu / time.Duration(max(r.Ops, 1))
}

// cpuTime is what this process has used of all processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
