package main

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"
)

// progress shows on a terminal how much a directory has grown, out of a total
// if that is known, until stop is called; without a directory, for how long it
// has been going on. Elsewhere it shows nothing.
func (p *printer) progress(what, dir string, total int64) (stop func()) {
	if p.json || !terminal(p.err) {
		return func() {}
	}
	end, began := make(chan struct{}), time.Now()
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-end:
				fmt.Fprint(p.err, "\r\x1b[K")
				return
			case <-tick.C:
				how := time.Since(began).Round(time.Second).String()
				if dir != "" {
					how = amount(sizeOf(dir), total)
				}
				fmt.Fprintf(p.err, "\r\x1b[K%s: %s", what, how)
			}
		}
	})
	return func() {
		close(end)
		done.Wait()
	}
}

// amount words how much is there.
func amount(have, total int64) string {
	const mib = 1 << 20
	if total <= 0 {
		return fmt.Sprintf("%d MiB", have/mib)
	}
	return fmt.Sprintf("%d of %d MiB (%d %%)", have/mib, total/mib, min(have*100/total, 100))
}

// sizeOf is the size of a directory's files, of those that can be seen.
func sizeOf(dir string) (n int64) {
	// What cannot be read is not counted: this is for a progress line only.
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}
