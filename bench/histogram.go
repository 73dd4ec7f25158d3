package bench

import (
	"math"
	"math/bits"
	"time"
)

// The buckets of a Histogram: every duration below 2·perOctave ns has its own,
// and each power of two from there on is divided into perOctave of equal width.
// So a bucket is never wider than 1/perOctave of what it holds (the idea of
// Gil Tene's HdrHistogram).
const (
	octaveBits = 7
	perOctave  = 1 << octaveBits
	buckets    = (40-octaveBits)*perOctave + perOctave // up to 2^40 ns, 18 minutes
)

// Histogram counts durations in a fixed room, however many there are, with
// quantiles that are wrong by less than 1 %. The zero value is empty. It is not
// safe for concurrent use.
type Histogram struct {
	counts   []uint64
	total    uint64
	sum      float64 // in nanoseconds
	min, max time.Duration
}

// Add counts a duration. One that is longer than 18 minutes counts as that
// long, except in Max and Mean.
func (h *Histogram) Add(d time.Duration) {
	if h.counts == nil {
		h.counts = make([]uint64, buckets)
	}
	d = max(d, 0)
	if h.total == 0 || d < h.min {
		h.min = d
	}
	h.max = max(h.max, d)
	h.sum += float64(d)
	h.total++
	h.counts[bucketOf(d)]++
}

// Merge adds what another histogram counted.
func (h *Histogram) Merge(more *Histogram) {
	if more.total == 0 {
		return
	}
	if h.counts == nil {
		h.counts = make([]uint64, buckets)
	}
	if h.total == 0 || more.min < h.min {
		h.min = more.min
	}
	h.max = max(h.max, more.max)
	h.sum += more.sum
	h.total += more.total
	for i, n := range more.counts {
		h.counts[i] += n
	}
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 { return h.total }

// Min, Max and Mean are exact; zero if there are none.
func (h *Histogram) Min() time.Duration { return h.min }

// Max is the longest duration.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean is the arithmetic mean.
func (h *Histogram) Mean() time.Duration {
	if h.total == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.total))
}

// Quantile is the duration that the share p of all, 0 to 1, do not exceed (the
// nearest rank). Within a bucket the durations are taken to be spread evenly.
func (h *Histogram) Quantile(p float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := min(max(uint64(math.Ceil(p*float64(h.total))), 1), h.total)
	switch rank {
	case 1:
		return h.min
	case h.total:
		return h.max
	}
	var before uint64
	for i, n := range h.counts {
		if before+n < rank {
			before += n
			continue
		}
		low, high := bucketBounds(i)
		within := (float64(rank-before) - 0.5) / float64(n)
		d := low + time.Duration(within*float64(high-low))
		return min(max(d, h.min), h.max)
	}
	return h.max
}

// Enough says whether a quantile stands on at least ten durations beyond it.
// With fewer, one hiccup of the machine decides what it is.
func (h *Histogram) Enough(p float64) bool { return float64(h.total)*(1-p) >= 10 }

// Bucket is a part of a distribution: how many durations were below UpTo and
// not below the bucket before.
type Bucket struct {
	UpTo  time.Duration `json:"below_ns"`
	Count uint64        `json:"count"`
}

// Coarse is the distribution in fewer buckets, 16 for each power of two, of
// which the empty ones are left out.
func (h *Histogram) Coarse() []Bucket {
	const together = perOctave / 16
	var out []Bucket
	for i := 0; i < len(h.counts); i += together {
		var n uint64
		for _, c := range h.counts[i : i+together] {
			n += c
		}
		if n > 0 {
			_, high := bucketBounds(i + together - 1)
			out = append(out, Bucket{UpTo: high, Count: n})
		}
	}
	return out
}

func bucketOf(d time.Duration) int {
	v := uint64(d)
	if v < perOctave {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - octaveBits
	return min(shift<<octaveBits+int(v>>shift), buckets-1)
}

// bucketBounds are the first duration in a bucket and the first after it.
func bucketBounds(i int) (low, high time.Duration) {
	shift := max(i>>octaveBits-1, 0)
	low = time.Duration(i-shift<<octaveBits) << shift
	return low, low + 1<<shift
}
