package pebble

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logFS tells of the first failure of an operation on a log file, or of the
// sync of a directory, before Pebble hears of it. When Pebble fails to close a
// log or to make the next one it panics with a mutex in a state that the Go
// runtime ends the process for, so there is no later moment to say what
// happened. Pebble recovers from failures on other files, or reports them by
// its events.
type logFS struct {
	vfs.FS
	failed *failure
}

// isLog says whether a path is that of a log of Pebble's.
func isLog(path string) bool { return strings.HasSuffix(path, ".log") }

func (f logFS) check(op, path string, err error) error {
	if err != nil {
		f.failed.hold(fmt.Errorf("%s %s: %w", op, path, err))
	}
	return err
}

func (f logFS) Create(path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(path, c)
	return f.watch("create", path, file, err)
}

func (f logFS) ReuseForWrite(old, path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(old, path, c)
	return f.watch("reuse", path, file, err)
}

func (f logFS) watch(op, path string, file vfs.File, err error) (vfs.File, error) {
	if !isLog(path) {
		return file, err
	}
	if err := f.check(op, path, err); err != nil {
		return nil, err
	}
	return &logFile{File: file, fs: f, path: path}, nil
}

func (f logFS) OpenDir(path string) (vfs.File, error) {
	dir, err := f.FS.OpenDir(path)
	if err != nil {
		return nil, err
	}
	return &logFile{File: dir, fs: f, path: path}, nil
}

// Unwrap is for vfs.Root.
func (f logFS) Unwrap() vfs.FS { return f.FS }

// logFile is a log that is being written, or its directory. What is advisory
// is not watched.
type logFile struct {
	vfs.File
	fs   logFS
	path string
}

func (f *logFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.fs.check("write", f.path, err)
}

func (f *logFile) WriteAt(p []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(p, at)
	return n, f.fs.check("write", f.path, err)
}

func (f *logFile) Sync() error { return f.fs.check("sync", f.path, f.File.Sync()) }

func (f *logFile) SyncData() error { return f.fs.check("sync", f.path, f.File.SyncData()) }

func (f *logFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.fs.check("sync", f.path, err)
}

func (f *logFile) Close() error { return f.fs.check("close", f.path, f.File.Close()) }
