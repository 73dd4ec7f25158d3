//go:build !linux

package bench

import "os"

// syncData waits until what was written to a file is durable.
func syncData(f *os.File) error { return f.Sync() }
