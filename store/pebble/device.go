package pebble

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// deviceFS is the file system that Pebble works on. It tells of the first
// write or sync in the store's directory that fails, before Pebble hears of
// it, because Pebble's own answers come too late or not at all:
//
//   - When it fails to close a log or to make the next one, or to sync the
//     directory, it panics, in part with a mutex in a state for which the Go
//     runtime ends the process without a chance to say why.
//   - When its opening fails half-way, work that it began in the background may
//     run into what the opening has torn down already.
//   - Other failures in the background it tries again for ever.
//
// Outside of the directory lie backups, whose failure is nobody's but theirs.
type deviceFS struct {
	vfs.FS
	dir    string
	failed *failure
}

func (f deviceFS) check(op, path string, err error) error {
	if err != nil && (path == f.dir || f.PathDir(path) == f.dir) {
		f.failed.hold(fmt.Errorf("%s %s: %w", op, path, err))
	}
	return err
}

// Create makes sure, besides, that a marker, the file whose name says which
// manifest counts, is not in the directory before that manifest is: Pebble
// syncs the directory after it made both. Common file systems keep the order
// by themselves, but nothing obliges them to.
func (f deviceFS) Create(path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(f.PathBase(path), "marker.") {
		if err := f.check("sync", f.PathDir(path), syncDir(f.FS, f.PathDir(path))); err != nil {
			return nil, err
		}
	}
	file, err := f.FS.Create(path, c)
	return f.watch("create", path, file, err)
}

func (f deviceFS) ReuseForWrite(old, path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(old, path, c)
	return f.watch("reuse", path, file, err)
}

func (f deviceFS) Rename(old, path string) error {
	return f.check("rename to", path, f.FS.Rename(old, path))
}

func (f deviceFS) OpenDir(path string) (vfs.File, error) {
	dir, err := f.FS.OpenDir(path)
	if err != nil {
		return nil, err
	}
	return &deviceFile{File: dir, fs: f, path: path}, nil
}

// Unwrap is for vfs.Root.
func (f deviceFS) Unwrap() vfs.FS { return f.FS }

func (f deviceFS) watch(op, path string, file vfs.File, err error) (vfs.File, error) {
	if err := f.check(op, path, err); err != nil {
		return nil, err
	}
	return &deviceFile{File: file, fs: f, path: path}, nil
}

// deviceFile is a file that is being written, or a directory. What is merely
// advisory is not watched.
type deviceFile struct {
	vfs.File
	fs   deviceFS
	path string
}

func (f *deviceFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.fs.check("write", f.path, err)
}

func (f *deviceFile) WriteAt(p []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(p, at)
	return n, f.fs.check("write", f.path, err)
}

func (f *deviceFile) Sync() error { return f.fs.check("sync", f.path, f.File.Sync()) }

func (f *deviceFile) SyncData() error { return f.fs.check("sync", f.path, f.File.SyncData()) }

func (f *deviceFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.fs.check("sync", f.path, err)
}

func (f *deviceFile) Close() error { return f.fs.check("close", f.path, f.File.Close()) }
