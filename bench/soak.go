package bench

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

// Sample is the process's memory at one moment of a soak.
type Sample struct {
	At         time.Duration `json:"at_ns"`
	Operations int           `json:"operations"`
	RSSBytes   uint64        `json:"rss_bytes"`
	HeapBytes  uint64        `json:"heap_bytes"`
}

// Soak calls with 64 callers for a time and samples memory every tenth of a
// minute. Retention is short, so that generations turn and drop meanwhile.
func (p Plan) Soak(b *Bench, total time.Duration) ([]Sample, error) {
	var samples []Sample
	start := time.Now()
	ops := 0
	for time.Since(start) < total {
		r, err := b.Run(Load{Callers: 64, Group: 1, For: 6 * time.Second, Agents: p.Agents}, b.Exactly)
		if err != nil {
			return samples, err
		}
		ops += r.Ops
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		s := Sample{At: time.Since(start), Operations: ops, HeapBytes: ms.HeapInuse, RSSBytes: rss()}
		samples = append(samples, s)
		p.Progress(fmt.Sprintf("%4.0f s  %9d operations  RSS %4d MiB  heap %4d MiB", s.At.Seconds(), s.Operations, s.RSSBytes>>20, s.HeapBytes>>20))
	}
	return samples, nil
}

// rss is the resident memory of this process; zero where /proc does not say.
func rss() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}
