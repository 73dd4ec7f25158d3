package saga

import (
	"fmt"
	"time"
)

// Retry is how often a step is asked for when it is not done, and how long is
// waited in between: Base, twice as long each time, at most Max, of which a
// random half is taken off. Each try is another effect, or another message, with
// another key; within an effect, its own Attempts come first.
//
// A step before the pivot, or the pivot, is asked for once if nothing else is
// said, and is tried again only when it is not done. A rejection is final there,
// and what is unknown is never tried again. A step behind the pivot and a
// compensation are tried again also when they are rejected, by default 10 times;
// then the saga is parked, and Resume gives them as many tries again.
type Retry struct {
	Attempts int           // 0 means the default
	Base     time.Duration // 0 means 1 s
	Max      time.Duration // 0 means 1 min, or Base if that is longer
}

const (
	defaultBase     = time.Second
	defaultMax      = time.Minute
	defaultAttempts = 10 // where there is no way back
)

// complete fills in the defaults.
func (r Retry) complete(attempts int) (Retry, error) {
	if r.Attempts < 0 || r.Base < 0 || r.Max < 0 {
		return r, fmt.Errorf("the retry %+v has negative values", r)
	}
	if r.Attempts == 0 {
		r.Attempts = attempts
	}
	if r.Base == 0 {
		r.Base = defaultBase
	}
	if r.Max == 0 {
		r.Max = max(defaultMax, r.Base)
	}
	if r.Max < r.Base {
		return r, fmt.Errorf("the longest wait (%v) is shorter than the first (%v)", r.Max, r.Base)
	}
	return r, nil
}

// wait is how long to wait after so many tries. jitter is of [0,1).
func (r Retry) wait(tries int, jitter float64) time.Duration {
	d := r.Base
	for n := 1; n < tries && d < r.Max; n++ {
		d *= 2
		if d <= 0 {
			break // it overflowed
		}
	}
	if d <= 0 || d > r.Max {
		d = r.Max
	}
	return d - time.Duration(jitter*float64(d/2))
}
