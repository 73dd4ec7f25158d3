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
	"time"
)

// Load is how a workload is offered: each caller makes its next call when the
// one before is answered.
type Load struct {
	Callers int             // at once
	Group   int             // operations submitted together by a caller; 1 for single calls
	For     time.Duration   // how long
	Agents  int             // chosen uniformly
	Stop    <-chan struct{} // ends it early when closed; nil for never
}

// Result is what was measured of one row.
type Result struct {
	Ops     int           `json:"operations"`
	Elapsed time.Duration `json:"elapsed_ns"`
	P50     time.Duration `json:"p50_ns"` // of a call, or of a whole group
	P99     time.Duration `json:"p99_ns"`
	P999    time.Duration `json:"p999_ns"`
	PerSec  float64       `json:"operations_per_second"`
	CPU     time.Duration `json:"cpu_ns_per_operation"` // of the whole process, callers and compactions included
	cpu     time.Duration
	rounds  []float64 // operations per second, in the order of the rounds
	latency Histogram
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
			var mine Histogram
			var err error
			for n, began := 0, start; err == nil && began.Sub(start) < l.For && !l.stopped(); n++ {
				began = time.Now()
				if err = do(c, n); err == nil {
					mine.Add(time.Since(began))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			r.latency.Merge(&mine)
			r.Ops += int(mine.Count()) * l.Group
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

func (l Load) stopped() bool {
	select {
	case <-l.Stop:
		return true
	default:
		return false
	}
}

// merge adds a round to a row.
func (r *Result) merge(more Result) {
	r.Ops += more.Ops
	r.Elapsed += more.Elapsed
	r.cpu += more.cpu
	r.rounds = append(r.rounds, more.rounds...)
	r.latency.Merge(&more.latency)
}

// finish computes the row: the median round's throughput, and the quantiles of
// all calls.
func (r *Result) finish() {
	r.P50, r.P99, r.P999 = r.latency.Quantile(0.50), r.latency.Quantile(0.99), r.latency.Quantile(0.999)
	r.PerSec = median(r.rounds)
	r.CPU = r.cpu / time.Duration(max(r.Ops, 1))
}

// median is the middle value, or the mean of the two in the middle; zero of
// nothing.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
