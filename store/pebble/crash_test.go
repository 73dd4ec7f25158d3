package pebble

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/semel-dev/semel/internal/sim/crashfs"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// every is of how many cases one is run: n in a normal run.
func every(n int) int { return crashfs.Every(n, 4*n) }

const crashShards = 2

// progress is how far a workload is with each shard, for who looks while it
// goes on.
type progress [crashShards]struct {
	acked atomic.Uint64 // units that Wait acknowledged
	below atomic.Uint64 // the generation that Maintain was told to begin with
}

// reached is progress at one moment.
type reached [crashShards]struct {
	acked message.Seq
	below message.Generation
}

func (p *progress) now() (r reached) {
	for i := range p {
		r[i].acked, r[i].below = message.Seq(p[i].acked.Load()), message.Generation(p[i].below.Load())
	}
	return r
}

// workload opens a store and commits units to two shards, a few in flight at a
// time, enough of them to flush and to change the log; it drops generations,
// changes owners, closes the store and opens it again. It returns the first
// error.
func workload(m *machine, p *progress) error {
	for range 2 {
		s, err := m.OpenStore(background)
		if err != nil {
			return err
		}
		st := s.(*Store)
		for range 2 {
			if err := workShards(st, p); err != nil {
				return err
			}
		}
		if err := st.Close(); err != nil {
			return err
		}
	}
	return nil
}

func workShards(st *Store, p *progress) error {
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
			for i, pending := range waits {
				if err := pending.Wait(); err != nil {
					return err
				}
				p[shard].acked.Store(uint64(o.at.Seq) - uint64(len(waits)-1-i))
			}
		}
		below := generationOf(o.at.Seq)
		p[shard].below.Store(uint64(below))
		if err := st.Maintain(background, store.Retention{Shard: shard, Below: below}); err != nil {
			return err
		}
	}
	return nil
}

// recovered opens what a crash left and checks both shards.
func recovered(fsys vfs.FS, was reached, opt Options) error {
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
			if err := verifyFrom(session, was[shard].acked, was[shard].below); err != nil {
				return fmt.Errorf("shard %d: %w", shard, err)
			}
		}
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}

// dropped checks that what was to be dropped of both shards is gone.
func dropped(fsys vfs.FS, was reached, opt Options) error {
	opt.FS = fsys
	s, err := At("data", opt).OpenStore(background)
	if err != nil {
		return err
	}
	for shard := range message.Shard(crashShards) {
		session, err := s.Open(background, shard, "recovery")
		if err != nil {
			return err
		}
		if was[shard].below < 2 {
			return fmt.Errorf("nothing of shard %d was to be dropped", shard)
		}
		gen := was[shard].below - 1 // the last of them
		rows, err := session.Scan(background, store.Range{Table: message.TableDedup, Gen: gen}, 1<<20)
		if err != nil {
			return err
		}
		if len(rows) > 0 {
			return fmt.Errorf("generation %d of shard %d was to be dropped, and has %d rows", gen, shard, len(rows))
		}
	}
	return s.Close()
}

// FAULTS 1, 2, 4, 8, 11: the machine loses its power before every operation that
// changes the file system. Whatever part of the unsynced data survives, what
// was acknowledged is there, and units are whole, in order and without gaps. A
// generation that was to be dropped is there or not, never a part of it.
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
			disk := crashfs.New()
			var done progress
			ops, checked := int64(0), 0
			m := &machine{opt: options(t, disk.Before(func(at int64, op errorfs.Op) {
				ops = at
				if t.Failed() || (at+int64(unsynced/50))%int64(every(5*3)) != 0 {
					return
				}
				checked++
				// Read before the crash: what is acknowledged now must be in it.
				was := done.now()
				if err := recovered(disk.Crash(unsynced, uint64(at)), was, options(t, nil)); err != nil {
					t.Errorf("a crash before operation %d (%v %s) with %d%% of the unsynced data: %v", at, op.Kind, op.Path, unsynced, err)
				}
			}))}
			m.opt.Shards, m.opt.MemTableBytes = crashShards, 64<<10
			if err := workload(m, &done); err != nil {
				t.Fatal(err)
			}
			if err := recovered(disk.Crash(unsynced, 1), done.now(), options(t, nil)); err != nil {
				t.Errorf("after the workload: %v", err)
			}
			if err := dropped(disk.Crash(0, 1), done.now(), options(t, nil)); err != nil {
				t.Errorf("after the workload: %v", err)
			}
			if least := int(ops)/every(5*3) - 1; ops < 100 || checked < least {
				t.Errorf("of %d operations only %d had a crash before them, and no fewer than %d were to", ops, checked, least)
			}
			t.Logf("%d operations, %d crashes with %d%% of the unsynced data kept, %d starts after which every row of both shards was compared",
				ops, checked, unsynced, 2*(checked+1))
		})
	}
}
