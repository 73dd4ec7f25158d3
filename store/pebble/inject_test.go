package pebble

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/semel-dev/semel/internal/sim/crashfs"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// FAULTS 9, 10: one operation of the device fails, at every place in turn.
// Nothing is acknowledged that a crash right afterwards would lose, and after
// the failure nothing is acknowledged at all.
func TestFailAtEveryOperation(t *testing.T) {
	t.Parallel()
	for _, dead := range []bool{false, true} {
		t.Run(fmt.Sprintf("dead=%v", dead), func(t *testing.T) {
			t.Parallel()
			step, failed := every(5*2), 0
			for n := 1; ; n += step {
				if !failOnce(t, int64(n), dead) {
					break
				}
				failed++
			}
			if failed < 20 {
				t.Errorf("only %d operations could fail", failed)
			}
			t.Logf("failed %d operations", failed)
		})
	}
}

// failOnce runs the workload on a device that fails at operation n. It is
// false when the workload has fewer operations.
func failOnce(t *testing.T, n int64, dead bool) bool {
	disk := crashfs.New()
	d := disk.Fail(n, dead)
	fatal := make(chan error, 2)
	m := &machine{opt: testOptions(t, d)}
	m.opt.Shards, m.opt.MemTableBytes, m.opt.CacheBytes = crashShards, 64<<10, 64<<10
	m.opt.Fatal = func(err error) {
		fatal <- err
		select {} // as good as the end of the process: nothing behind it goes on
	}
	var p progress
	done := make(chan error, 1)
	go func() { done <- workload(m, &p) }()
	var err error
	select {
	case err = <-done:
	case err = <-fatal:
		if !errors.Is(err, store.ErrBroken) {
			t.Errorf("operation %d (%v): Fatal was told %v, which is not ErrBroken", n, failedOp(d), err)
		}
	}
	after := p.now()
	clone := disk.Crash(0, 1)
	d.Mend()
	if _, hit := d.Failed(); !hit {
		if err != nil {
			t.Errorf("nothing failed, and the workload: %v", err)
		}
		return false
	}
	if err := recovered(clone, after, testOptions(t, nil)); err != nil {
		t.Errorf("operation %d (%v) failed, and then a crash: %v", n, failedOp(d), err)
	}
	return true
}

func failedOp(d *crashfs.Device) string {
	what, _ := d.Failed()
	return what
}

// FAULTS 9: after a failed sync of the log nothing is acknowledged, not even
// what comes to be written and synced well; Fatal hears of it once; reads and
// the order of Close go on without a panic.
func TestFailedSyncIsFinal(t *testing.T) {
	t.Parallel()
	disk := crashfs.New()
	var fail atomic.Bool
	inject := func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) && fail.Swap(false) {
			return errorfs.ErrInjected // once: the next sync of the device would succeed
		}
		return nil
	}
	m := &machine{opt: testOptions(t, errorfs.Wrap(disk, errorfs.InjectorFunc(inject)))}
	var told atomic.Int64
	m.opt.Fatal = func(error) { told.Add(1) }
	st := mustOpen(t, m)
	o := own(t, st, 0)
	if err := o.submit(10).Wait(); err != nil {
		t.Fatal(err)
	}
	good := o.at.Seq
	fail.Store(true)
	first, second := o.submit(10), o.submit(10)
	for i, p := range []store.Pending{first, second, o.submit(10)} {
		if err := p.Wait(); !errors.Is(err, store.ErrBroken) {
			t.Errorf("commit %d after the failed sync: %v, want ErrBroken", i, err)
		}
	}
	if _, err := st.Open(background, 1, "test"); !errors.Is(err, store.ErrBroken) {
		t.Errorf("Open: %v, want ErrBroken", err)
	}
	if err := st.Backup(background, "backup"); !errors.Is(err, store.ErrBroken) {
		t.Errorf("Backup: %v, want ErrBroken", err)
	}
	if err := st.Close(); !errors.Is(err, store.ErrBroken) {
		t.Errorf("Close: %v, want ErrBroken", err)
	}
	if n := told.Load(); n != 1 {
		t.Errorf("Fatal was called %d times, want once", n)
	}
	m.opt = testOptions(t, disk.Crash(0, 1))
	again := mustOpen(t, m)
	if again.CleanStart() {
		t.Error("the start after a failure is clean")
	}
	if err := verify(own(t, again, 0), good); err != nil {
		t.Error(err)
	}
	mustClose(t, again)
}

// A commit under way when the device fails is not acknowledged, though its own
// sync succeeded: the process is to end.
func TestNoAcknowledgementAfterFailure(t *testing.T) {
	t.Parallel()
	opt := testOptions(t, vfs.NewMem())
	opt.Fatal = func(error) {}
	st := mustOpen(t, &machine{opt: opt})
	o := own(t, st, 0)
	p := o.submit(10)
	_ = st.failed.fail(errors.New("the disk is on fire"))
	if err := p.Wait(); !errors.Is(err, store.ErrBroken) {
		t.Errorf("Wait: %v, want ErrBroken", err)
	}
	if got := st.shards[0].durable.load(); got != (message.Version{Epoch: o.at.Epoch}) {
		t.Errorf("the watermark would say %+v", got)
	}
}
