package pebble

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// soak says whether to run every case instead of a sample.
var soak = os.Getenv("SEMEL_SOAK") != ""

// every is 1 in a long run, n in a normal one and more in a short one.
func every(n int) int {
	switch {
	case soak:
		return 1
	case testing.Short():
		return 4 * n
	}
	return n
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

const crashShards = 2

// workload opens a store and commits units to two shards, a few in flight at a
// time, enough of them to flush and to change the log; it drops generations,
// changes owners, closes the store and opens it again. acked counts what Wait
// acknowledged. It returns the first error.
func workload(m *machine, acked *[crashShards]atomic.Uint64) error {
	for range 2 {
		s, err := m.OpenStore(background)
		if err != nil {
			return err
		}
		st := s.(*Store)
		for range 2 {
			if err := workShards(st, acked); err != nil {
				return err
			}
		}
		if err := st.Close(); err != nil {
			return err
		}
	}
	return nil
}

func workShards(st *Store, acked *[crashShards]atomic.Uint64) error {
	for shard := range message.Shard(crashShards) {
		s, err := st.Open(background, shard, "workload")
		if err != nil {
			return err
		}
		o := &owner{Session: s, at: s.Version()}
		for batch := range 4 {
			var waits []store.Pending
			for i := range 3 {
				waits = append(waits, o.submit(300+5000*i*batch))
			}
			for i, p := range waits {
				if err := p.Wait(); err != nil {
					return err
				}
				acked[shard].Store(uint64(o.at.Seq) - uint64(len(waits)-1-i))
			}
		}
		if err := st.Maintain(background, store.Retention{Shard: shard, Below: 1}); err != nil {
			return err
		}
	}
	return nil
}

// recovered opens what a crash left and checks both shards.
func recovered(fsys vfs.FS, acked [crashShards]uint64, opt Options) error {
	opt.FS = fsys
	for range 2 { // FAULTS 6: recovery that was cut short and begins again ends the same
		s, err := At("data", opt).OpenStore(background)
		if err != nil {
			return err
		}
		for shard := range message.Shard(crashShards) {
			session, err := s.Open(background, shard, "recovery")
			if err != nil {
				return err
			}
			if err := verify(session, message.Seq(acked[shard])); err != nil {
				return fmt.Errorf("shard %d: %w", shard, err)
			}
		}
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}

func load(acked *[crashShards]atomic.Uint64) (n [crashShards]uint64) {
	for i := range n {
		n[i] = acked[i].Load()
	}
	return n
}

// FAULTS 1, 2, 4, 11: the machine loses its power before every operation that
// changes the file system. Whatever part of the unsynced data survives, what
// was acknowledged is there, and units are whole, in order and without gaps.
func TestCrashAtEveryOperation(t *testing.T) {
	t.Parallel()
	crashAtEveryOperation(t, 0)
}

// The same with folds all the time, also while recovering.
func TestCrashAtEveryOperationOfFolds(t *testing.T) {
	t.Parallel()
	crashAtEveryOperation(t, 8<<10)
}

func crashAtEveryOperation(t *testing.T, foldBytes int64) {
	options := func(t testing.TB, fsys vfs.FS) Options {
		opt := testOptions(t, fsys)
		opt.foldBytes = foldBytes
		return opt
	}
	for _, unsynced := range []int{0, 50, 100} {
		t.Run(fmt.Sprintf("unsynced=%d%%", unsynced), func(t *testing.T) {
			t.Parallel()
			disk := vfs.NewCrashableMem()
			var acked [crashShards]atomic.Uint64
			var mu sync.Mutex
			ops, checked := 0, 0
			hook := func(op errorfs.Op) error {
				if !changes(op) {
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				ops++
				if t.Failed() || (ops+unsynced/50)%every(5*3) != 0 {
					return nil
				}
				checked++
				// Read before the clone: what is acknowledged now must be in it.
				n := load(&acked)
				if err := recovered(crash(disk, unsynced, uint64(ops)), n, options(t, nil)); err != nil {
					t.Errorf("a crash before operation %d (%v %s) with %d%% of the unsynced data: %v", ops, op.Kind, op.Path, unsynced, err)
				}
				return nil
			}
			m := &machine{opt: options(t, errorfs.Wrap(linkFS{disk}, errorfs.InjectorFunc(hook)))}
			m.opt.Shards, m.opt.MemTableBytes = crashShards, 64<<10
			if err := workload(m, &acked); err != nil {
				t.Fatal(err)
			}
			if err := recovered(crash(disk, unsynced, 1), load(&acked), options(t, nil)); err != nil {
				t.Errorf("after the workload: %v", err)
			}
			t.Logf("checked %d crashes of %d", checked, ops)
		})
	}
}
