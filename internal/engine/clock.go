package engine

import (
	"time"

	"github.com/semel-dev/semel/message"
)

// clock is the engine's time: it begins at the wall clock, or where the last
// session ended if the wall clock went back, and follows the monotonic clock
// from there, whatever happens to the wall clock (FAULTS 30).
type clock struct {
	began time.Time // with its monotonic reading
	base  message.Time
}

func (c *clock) start(now time.Time, atLeast message.Time) {
	c.began = time.Now()
	c.base = max(message.Time(now.UnixNano()), atLeast)
}

func (c *clock) now() message.Time { return c.base + message.Time(time.Since(c.began)) }
