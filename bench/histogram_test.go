package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsLeaveNothingOut(t *testing.T) {
	t.Parallel()
	var next time.Duration
	for i := range buckets {
		low, high := bucketBounds(i)
		if low != next || high <= low {
			t.Fatalf("bucket %d is [%d, %d), after %d", i, low, high, next)
		}
		if bucketOf(low) != i || bucketOf(high-1) != i {
			t.Fatalf("bucket %d does not hold its own bounds", i)
		}
		if width := high - low; low >= perOctave && width*perOctave > low {
			t.Fatalf("bucket %d is %d wide, which is more than 1/%d of %d", i, width, perOctave, low)
		}
		next = high
	}
	if next < time.Duration(1)<<40 || bucketOf(math.MaxInt64) != buckets-1 {
		t.Errorf("the last bucket ends at %v and does not hold what is longer", next)
	}
}

// The quantiles of a million durations of all sizes, against the sorted list.
func TestQuantiles(t *testing.T) {
	t.Parallel()
	const seed = 1
	random := rand.New(rand.NewPCG(seed, seed))
	var h, a, b Histogram
	var all []time.Duration
	for i := range 200_000 {
		d := time.Duration(math.Exp(5 + 3*random.NormFloat64()))
		all = append(all, d)
		h.Add(d)
		if i%3 == 0 {
			a.Add(d)
		} else {
			b.Add(d)
		}
	}
	a.Merge(&b)
	slices.Sort(all)
	for _, p := range []float64{0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1} {
		want := all[max(int(math.Ceil(p*float64(len(all)))), 1)-1]
		got := h.Quantile(p)
		if off := math.Abs(float64(got - want)); off > max(1, 0.01*float64(want)) {
			t.Errorf("seed %d: quantile %v is %d, not %d", seed, p, got, want)
		}
		if merged := a.Quantile(p); merged != got {
			t.Errorf("seed %d: quantile %v is %d when merged, not %d", seed, p, merged, got)
		}
	}
	if h.Min() != all[0] || h.Max() != all[len(all)-1] || a.Count() != uint64(len(all)) || a.Mean() != h.Mean() && a.Mean()-h.Mean() > 1 {
		t.Errorf("min %v, max %v, count %d, means %v and %v", h.Min(), h.Max(), a.Count(), a.Mean(), h.Mean())
	}
	var n uint64
	last := time.Duration(-1)
	for _, c := range h.Coarse() {
		if c.UpTo <= last {
			t.Errorf("coarse buckets are not in order: %v after %v", c.UpTo, last)
		}
		last, n = c.UpTo, n+c.Count
	}
	if n != h.Count() {
		t.Errorf("the coarse buckets hold %d of %d", n, h.Count())
	}
}

func TestAnEmptyHistogram(t *testing.T) {
	t.Parallel()
	var h Histogram
	h.Merge(&Histogram{})
	if h.Quantile(0.5) != 0 || h.Mean() != 0 || h.Count() != 0 || h.Coarse() != nil || h.Enough(0.5) {
		t.Error("an empty histogram has something in it")
	}
}

func TestQuantilesNeedEnough(t *testing.T) {
	t.Parallel()
	var h Histogram
	for range 1000 {
		h.Add(time.Millisecond)
	}
	if !h.Enough(0.99) || h.Enough(0.999) {
		t.Errorf("of 1000, ten are beyond the 99 %% and one beyond the 99.9 %%: %v, %v", h.Enough(0.99), h.Enough(0.999))
	}
	if q := h.Quantile(0.99); q != time.Millisecond {
		t.Errorf("the quantile of equal durations is %v", q)
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	rounds := []float64{3, 1, 10}
	if m := median(rounds); m != 3 || rounds[0] != 3 {
		t.Errorf("the median of three is %v, and they are now %v", m, rounds)
	}
	if m := median([]float64{4, 1, 2, 9}); m != 3 {
		t.Errorf("the median of four is %v", m)
	}
	if m := median(nil); m != 0 {
		t.Errorf("the median of nothing is %v", m)
	}
}
