package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/semel-dev/semel/internal/sim/crashfs"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// A backup has every unit that was durable when it was begun, while commits go
// on.
func TestBackupBesideCommits(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	opt := testOptions(t, fsys)
	opt.MemTableBytes = 64 << 10
	st := mustOpen(t, At("data", opt))
	o := own(t, st, 0)
	var mu sync.Mutex
	var acked message.Seq
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := o.submit(3000).Wait(); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			acked = o.at.Seq
			mu.Unlock()
		}
	}()
	for i := range 5 {
		backup, data := "backup"+string(rune('0'+i)), "restored"+string(rune('0'+i))
		mu.Lock()
		want := acked
		mu.Unlock()
		restored := mustOpen(t, backupAndRestore(t, st, opt, backup, data))
		if err := verify(own(t, restored, 0), want); err != nil {
			t.Errorf("backup %d: %v", i, err)
		}
		mustClose(t, restored)
	}
	close(stop)
	<-ended
	mustClose(t, st)
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	opt := testOptions(t, fsys)
	st := mustOpen(t, At("data", opt))
	if err := st.Backup(background, "backup"); err != nil {
		t.Fatal(err)
	}
	wantError(t, "a backup over a backup", st.Backup(background, "backup"), nil, "backup", "does not exist yet")
	wantError(t, "opening a backup", openError(t, At("backup", opt)), nil, "is a backup; restore it")
	wantError(t, "restoring over the store", Restore(background, "backup", "data", opt), store.ErrLocked)
	mustClose(t, st)
	wantError(t, "restoring over the closed store", Restore(background, "backup", "data", opt), nil, "data", "not empty")
	wantError(t, "restoring a store", Restore(background, "data", "new", opt), nil, "not a backup")
	wantError(t, "restoring nothing", Restore(background, "nowhere", "new", opt), nil, "no file SEMEL")
	canceled, cancel := context.WithCancel(background)
	cancel()
	if err := Restore(canceled, "backup", "half", opt); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled restore: %v", err)
	}
	wantError(t, "opening a restore that did not end", openError(t, At("half", opt)), nil, "restore again")
	wantError(t, "restoring over it", Restore(background, "backup", "half", opt), nil, "not empty")
}

// FAULTS 9: a restore in which the device fails keeps the lock, since Pebble may
// still be at work in the directory; any other that fails gives it back.
func TestFailedRestoreKeepsTheLock(t *testing.T) {
	t.Parallel()
	disk := crashfs.New()
	opt := testOptions(t, disk)
	st := mustOpen(t, At("data", opt))
	if err := st.Backup(background, "backup"); err != nil {
		t.Fatal(err)
	}
	mustClose(t, st)
	locked, free := 0, 0
	for n := int64(1); ; n++ {
		data := fmt.Sprintf("restored%d", n)
		failing := opt
		device := disk.Fail(n, true)
		failing.FS = device
		err := Restore(background, "backup", data, failing)
		if _, hit := device.Failed(); !hit {
			break
		}
		lock, lockErr := disk.Lock(disk.PathJoin(data, "LOCK"))
		switch {
		case err == nil:
			t.Errorf("operation %d failed, and the restore did not", n)
		case errors.Is(err, store.ErrBroken):
			locked++
			if lockErr == nil {
				t.Errorf("operation %d failed: the lock is free: %v", n, err)
			}
		case lockErr == nil:
			free++
			if err := lock.Close(); err != nil {
				t.Fatal(err)
			}
		case !errors.Is(lockErr, fs.ErrNotExist):
			t.Errorf("operation %d failed: the lock is kept (%v): %v", n, lockErr, err)
		}
	}
	if locked == 0 || free == 0 {
		t.Errorf("of the restores that failed %d kept the lock, %d did not", locked, free)
	}
}

// FAULTS 6, 14: whenever a restore is cut short, what it leaves is refused, or
// is nothing, or is the whole store; and a backup that was cut short is never
// restored.
func TestCrashWhileRestoring(t *testing.T) {
	t.Parallel()
	disk := crashfs.New()
	opt := testOptions(t, disk)
	st := mustOpen(t, At("data", opt))
	o := own(t, st, 0)
	for range 10 {
		if err := o.submit(100).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	ops, whole := int64(0), 0
	restorable := func(fsys *crashfs.Disk, data string) {
		restored, err := At(data, testOptions(t, fsys)).OpenStore(background)
		if err != nil {
			return
		}
		whole++
		if err := verify(own(t, restored, 0), 10); err != nil {
			t.Errorf("at operation %d: %v", ops, err)
		}
		if restored.Incarnation() == st.Incarnation() {
			t.Errorf("at operation %d the restored store has the old incarnation", ops)
		}
		mustClose(t, restored.(*Store))
	}
	each := func(check func(clone *crashfs.Disk)) vfs.FS {
		return disk.Before(func(n int64, _ errorfs.Op) {
			ops = n
			for _, unsynced := range []int{0, 50, 100} {
				check(disk.Crash(unsynced, uint64(n)))
			}
		})
	}
	if err := st.Backup(background, "backup"); err != nil {
		t.Fatal(err)
	}
	restoring := opt
	restoring.FS = each(func(clone *crashfs.Disk) {
		if _, found, _ := readMark(clone, "restored"); found { // without a mark there is nothing yet
			restorable(clone, "restored")
		}
	})
	if err := Restore(background, "backup", "restored", restoring); err != nil {
		t.Fatal(err)
	}
	if whole != 0 {
		t.Logf("%d of the crashes came after the end", whole)
	}
	restorable(disk.Crash(0, 1), "restored")
	if whole == 0 {
		t.Error("the restore that ended is refused")
	}
	mustClose(t, st)

	// The same of the backup itself, taken from a store on a watched device.
	watched := opt
	watched.FS = each(func(clone *crashfs.Disk) {
		if err := Restore(background, "backup2", "restored2", testOptions(t, clone)); err == nil {
			restorable(clone, "restored2")
		}
	})
	again := mustOpen(t, At("data", watched))
	if err := again.Backup(background, "backup2"); err != nil {
		t.Fatal(err)
	}
	mustClose(t, again)
}

// holed makes holes in the copies of logs, as a copy that is made while the
// log is written over an older one may have them: what comes behind them says
// that it was synced after them.
type holed struct {
	vfs.FS
	left atomic.Int32 // so many copies
	made atomic.Int32
}

type holedFile struct {
	vfs.File
	written int
}

func (h *holed) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := h.FS.Create(name, category)
	if err != nil || !strings.HasPrefix(name, "backup/") || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	if h.left.Add(-1) < 0 {
		return f, nil
	}
	h.made.Add(1)
	return &holedFile{File: f}, nil
}

func (f *holedFile) Write(p []byte) (int, error) {
	p = bytes.Clone(p)
	if f.written == 0 && len(p) > 200 {
		clear(p[100:120])
	}
	n, err := f.File.Write(p)
	f.written += n
	return n, err
}

// A copy that cannot be read is made again, and is never called a backup.
func TestBackupIsReadBeforeItIsOne(t *testing.T) {
	t.Parallel()
	for _, holes := range []int{0, 1, 3, 100} {
		fsys := &holed{FS: vfs.NewMem()}
		opt := testOptions(t, fsys)
		st := mustOpen(t, At("data", opt))
		o := own(t, st, 0)
		for range 50 {
			if err := o.submit(3000).Wait(); err != nil {
				t.Fatal(err)
			}
		}
		fsys.left.Store(int32(holes))
		err := st.Backup(background, "backup")
		if n := int(fsys.made.Load()); n != min(holes, backupTries) {
			t.Errorf("of %d holes %d were made", holes, n)
		}
		if holes > backupTries {
			wantError(t, "a backup with a hole", err, store.ErrCorrupt)
			if _, err := fsys.Stat("backup"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is still there: %v", err)
			}
			mustClose(t, st)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := Restore(background, "backup", "restored", opt); err != nil {
			t.Fatal(err)
		}
		restored := mustOpen(t, At("restored", opt))
		if err := verify(own(t, restored, 0), o.at.Seq); err != nil {
			t.Error(err)
		}
		mustClose(t, restored)
		mustClose(t, st)
	}
}
