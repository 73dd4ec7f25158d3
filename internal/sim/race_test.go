//go:build race

package sim

// raced says that the race detector is on. A run has one goroutine, so it only
// has to see that runs share nothing: a few are enough.
const raced = true
