package sim

import (
	"math/bits"
	"time"

	"github.com/semel-dev/semel/message"
)

// rng is splitmix64 (Steele, Lea, Flood 2014): a few instructions per number,
// and a stream for each purpose, so that one draw more here shifts nothing
// there.
type rng struct{ state uint64 }

func newRNG(seed uint64, stream uint64) *rng { return &rng{mix64(seed ^ mix64(stream+1))} }

func mix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (r *rng) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	x := r.state
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// intn returns a number in [0, n).
func (r *rng) intn(n int) int {
	hi, _ := bits.Mul64(r.next(), uint64(n))
	return int(hi)
}

// oneIn is true once in n times.
func (r *rng) oneIn(n int) bool { return r.intn(n) == 0 }

// between returns a time in [lo, hi].
func (r *rng) between(lo, hi time.Duration) message.Time {
	return message.Time(lo) + message.Time(r.intn(int(hi-lo)+1))
}

func pick[T any](r *rng, list ...T) T { return list[r.intn(len(list))] }
