// Package crashfs is a disk in memory that loses its power, or fails, at a
// chosen operation. It is for the tests of whatever keeps its data on a
// vfs.FS: run a workload on Disk.Before, take a Crash before each operation,
// and recover on what that left; or run it on a Device, whose n-th operation
// fails. It is for tests only and imports nothing of this module.
package crashfs

import (
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Soak says that every case is to be run instead of a sample.
var Soak = os.Getenv("SEMEL_SOAK") != ""

// Every is of how many cases one is run: 1 in a soak, else what is given for a
// normal run and for a short one.
func Every(normal, short int) int {
	switch {
	case Soak:
		return 1
	case testing.Short():
		return short
	}
	return normal
}

// Disk is a crashable vfs.MemFS. It keeps crashes apart from the operations in
// which MemFS takes the lock that CrashClone wants for reading twice: with
// CrashClone in between, both would wait for ever.
type Disk struct {
	*vfs.MemFS
	twice sync.RWMutex // held for reading during such an operation
}

// New returns an empty disk.
func New() *Disk { return &Disk{MemFS: vfs.NewCrashableMem()} }

// Crash returns what is on the disk if the power fails now: all that was
// synced, and about so much of what was not. A seed makes it repeatable. The
// disk itself goes on.
func (d *Disk) Crash(unsyncedPercent int, seed uint64) *Disk {
	d.twice.Lock()
	defer d.twice.Unlock()
	return &Disk{MemFS: d.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsyncedPercent, RNG: rand.New(rand.NewPCG(seed, seed))})}
}

// Link implements vfs.FS.
func (d *Disk) Link(old, path string) error {
	d.twice.RLock()
	defer d.twice.RUnlock()
	return d.MemFS.Link(old, path)
}

// ReuseForWrite implements vfs.FS.
func (d *Disk) ReuseForWrite(old, path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.twice.RLock()
	defer d.twice.RUnlock()
	return d.MemFS.ReuseForWrite(old, path, c)
}

// Lock implements vfs.FS.
func (d *Disk) Lock(path string) (io.Closer, error) {
	d.twice.RLock()
	defer d.twice.RUnlock()
	return d.MemFS.Lock(path)
}

// Before returns the disk such that do is called before every operation that
// changes it, which waits for it: one at a time, numbered from 1. do may Crash
// the disk, and must not use what Before returned.
func (d *Disk) Before(do func(n int64, op errorfs.Op)) vfs.FS {
	var mu sync.Mutex
	var n int64
	return errorfs.Wrap(d, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if changes(op) {
			mu.Lock()
			defer mu.Unlock()
			n++
			do(n, op)
		}
		return nil
	}))
}

// changes says whether an operation changes the file system or syncs it.
func changes(op errorfs.Op) bool {
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpLink, errorfs.OpRemove, errorfs.OpRemoveAll, errorfs.OpRename,
		errorfs.OpReuseForWrite, errorfs.OpMkdirAll, errorfs.OpFilePreallocate, errorfs.OpFileWrite,
		errorfs.OpFileWriteAt, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpFileFlush, errorfs.OpFileClose:
		return true
	}
	return false
}
