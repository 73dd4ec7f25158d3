package crashfs_test

import (
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/semel-dev/semel/internal/sim/crashfs"
)

func write(fsys vfs.FS, path, text string) error {
	f, err := fsys.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(t *testing.T, fsys vfs.FS) {
	t.Helper()
	dir, err := fsys.OpenDir("/")
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A crash keeps what was synced, also from whom crashes again, and of the rest
// what it was told to.
func TestCrash(t *testing.T) {
	t.Parallel()
	d := crashfs.New()
	if err := write(d, "synced", "1"); err != nil {
		t.Fatal(err)
	}
	syncDir(t, d)
	if err := write(d, "unsynced", "2"); err != nil {
		t.Fatal(err)
	}
	for percent, want := range map[int]int{0: 1, 100: 2} {
		names, err := d.Crash(percent, 1).Crash(0, 2).List("/")
		if err != nil || len(names) != want {
			t.Errorf("of %d%% of the unsynced data there are %v, %v; want %d", percent, names, err, want)
		}
	}
}

// Crashes come between any two operations, and no operation or crash waits for
// ever: vfs.MemFS by itself does in most runs of this test.
func TestCrashBesideEveryOperation(t *testing.T) {
	t.Parallel()
	d := crashfs.New()
	if err := write(d, "a", "1"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	var wg sync.WaitGroup
	work := func(do func() error) {
		wg.Go(func() {
			for range 2000 {
				if err := do(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	work(func() error { return errors.Join(d.Link("a", "b"), d.Remove("b")) })
	old, next := "c", "d"
	if err := write(d, old, "1"); err != nil {
		t.Fatal(err)
	}
	work(func() error {
		f, err := d.ReuseForWrite(old, next, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		old, next = next, old
		return f.Close()
	})
	work(func() error {
		l, err := d.Lock("lock")
		if err != nil {
			return err
		}
		return l.Close()
	})
	go func() {
		wg.Wait()
		close(ended)
	}()
	for seed := uint64(0); ; seed++ {
		select {
		case <-ended:
			return
		default:
			d.Crash(50, seed)
		}
	}
}

// Before numbers what changes the disk and nothing else, and what it sees is
// the disk without that change.
func TestBefore(t *testing.T) {
	t.Parallel()
	d := crashfs.New()
	var kinds []errorfs.OpKind
	fsys := d.Before(func(n int64, op errorfs.Op) {
		kinds = append(kinds, op.Kind)
		if int(n) != len(kinds) {
			t.Errorf("operation %d has number %d", len(kinds), n)
		}
		if names, err := d.Crash(100, 1).List("/"); err != nil || (n == 1) != (len(names) == 0) {
			t.Errorf("before operation %d there are %v, %v", n, names, err)
		}
	})
	if err := write(fsys, "a", "1"); err != nil {
		t.Fatal(err)
	}
	f, err := fsys.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(f); err != nil || string(b) != "1" {
		t.Errorf("read %q, %v", b, err)
	}
	if len(kinds) != 3 {
		t.Errorf("operations %v, want create, write and sync", kinds)
	}
}

func TestFail(t *testing.T) {
	t.Parallel()
	for _, dead := range []bool{false, true} {
		f := crashfs.New().Fail(4, dead)
		for i, ok := range []bool{true, false, !dead} { // three operations count in each
			if err := write(f, "a", "1"); (err == nil) != ok {
				t.Errorf("dead=%v: file %d: %v", dead, i, err)
			}
			if what, hit := f.Failed(); hit != (i > 0) || hit == (what == "") {
				t.Errorf("dead=%v: after file %d: %q, %v", dead, i, what, hit)
			}
		}
		f.Mend()
		if err := write(f, "a", "1"); err != nil {
			t.Errorf("mended: %v", err)
		}
	}
}
