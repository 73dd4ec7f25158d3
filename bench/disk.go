package bench

import (
	"os"
	"path/filepath"
)

// Disk measures the floor under everything: one 4 KiB write into a
// preallocated file and an fdatasync, by one caller.
func Disk(dir string, l Load) (Result, error) {
	const block, blocks = 4096, 16384
	f, err := os.Create(filepath.Join(dir, "append"))
	if err != nil {
		return Result{}, err
	}
	defer f.Close()
	buf := make([]byte, block)
	for range blocks {
		if _, err := f.Write(buf); err != nil {
			return Result{}, err
		}
	}
	if err := f.Sync(); err != nil {
		return Result{}, err
	}
	l.Callers, l.Group = 1, 1
	return run(l, func(_, n int) error {
		buf[0] = byte(n)
		if _, err := f.WriteAt(buf, int64(n%blocks)*block); err != nil {
			return err
		}
		return syncData(f)
	})
}
