package crashfs

import (
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Device is a disk of which one operation fails with errorfs.ErrInjected, or
// all from one on. Closing a file never does.
type Device struct {
	vfs.FS
	n    int64
	dead bool
	ops  atomic.Int64
	mend atomic.Bool
	what atomic.Pointer[string]
}

// Fail returns the disk such that the n-th operation that changes it fails,
// counted from 1; and all after it too, if it is dead from then on.
func (d *Disk) Fail(n int64, dead bool) *Device {
	f := &Device{n: n, dead: dead}
	f.FS = errorfs.Wrap(d, errorfs.InjectorFunc(f.inject))
	return f
}

func (f *Device) inject(op errorfs.Op) error {
	if !changes(op) || op.Kind == errorfs.OpFileClose || f.mend.Load() {
		return nil
	}
	if at := f.ops.Add(1); at == f.n || f.dead && at > f.n {
		what := fmt.Sprintf("%v %s", op.Kind, op.Path)
		f.what.CompareAndSwap(nil, &what)
		return errorfs.ErrInjected
	}
	return nil
}

// Failed names the operation that failed first; hit is false as long as none
// did.
func (f *Device) Failed() (what string, hit bool) {
	if p := f.what.Load(); p != nil {
		return *p, true
	}
	return "", false
}

// Mend makes every operation from now on succeed.
func (f *Device) Mend() { f.mend.Store(true) }
