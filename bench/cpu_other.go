//go:build !unix

package bench

import "time"

// cpuTime is zero: the figures of processor time are not measured here.
func cpuTime() time.Duration { return 0 }
