//go:build !linux

package bench

import "time"

// familyTime is zero: other processes' processor time is not measured here.
func familyTime(int) time.Duration { return 0 }

// processTime is zero, and nobody's child.
func processTime(int) (time.Duration, int) { return 0, 0 }
