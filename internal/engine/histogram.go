package engine

import "sync/atomic"

// Histogram is how often a value was at most each of some bounds.
type Histogram struct {
	Bounds []float64 // shared: not to be changed
	Counts []uint64  // of the values up to each bound
	Count  uint64    // of all values
	Sum    float64
}

func newHistogram(bounds []float64) Histogram {
	return Histogram{Bounds: bounds, Counts: make([]uint64, len(bounds))}
}

// The bounds of the engine's histograms.
var (
	unitSizes   = []float64{256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20}
	commitTimes = []float64{100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10}
)

// histogram counts whole numbers. One goroutine observes, any may read.
type histogram struct {
	counts [17]atomic.Uint64 // in each bucket, the last without a bound
	sum    atomic.Uint64
	max    atomic.Int64
}

// observe counts a value. A unit of it is so much of the bounds.
func (h *histogram) observe(value int64, bounds []float64, unit float64) {
	i := 0
	for x := float64(value) * unit; i < len(bounds) && x > bounds[i]; i++ {
	}
	h.counts[i].Add(1)
	h.sum.Add(uint64(value))
	if value > h.max.Load() {
		h.max.Store(value)
	}
}

// addTo adds the histogram to one that is in the unit of the bounds.
func (h *histogram) addTo(to *Histogram, unit float64) {
	var n uint64
	for i := range to.Bounds {
		n += h.counts[i].Load()
		to.Counts[i] += n
	}
	to.Count += n + h.counts[len(to.Bounds)].Load()
	to.Sum += float64(h.sum.Load()) * unit
}
