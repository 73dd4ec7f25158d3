// Package mem is a store in memory, for tests and for simulation. It keeps the
// contract of package store to the letter, including its failures: a Disk
// outlives the stores that are opened on it, knows which commits are durable,
// and can crash.
//
// All commits of all shards go into one ordered log. The rows always show the
// whole log (reads see what is applied); the part of it behind the durable
// watermark is what a crash keeps. Commits beyond the watermark carry what
// they replaced, so that a crash can take them back.
//
// The package has no clock, no goroutine and no randomness: the same calls in
// the same order give the same results.
//
// Start with New, then read Disk.
package mem
