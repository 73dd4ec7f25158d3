package pebble

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/semel-dev/semel/internal/sim/crashfs"
	"github.com/semel-dev/semel/store"
)

// logBytes is how long the log is that is cut at every byte.
const logBytes = 64 << 10

// named are the specimen's files whose names end so, in order.
func (sp *specimen) named(end string) (names []string) {
	for name := range sp.files {
		if strings.HasSuffix(name, end) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// cutOptions are options with room for a whole log in memory.
func cutOptions(t testing.TB, fsys vfs.FS) Options {
	opt := testOptions(t, fsys)
	opt.Shards, opt.markEvery = crashShards, time.Hour
	opt.MemTableBytes = 1 << 20
	return opt
}

// openQuiet opens a store that writes its mark when it is opened and closed,
// and not in between unless the test does.
func openQuiet(t *testing.T, opt Options) *Store {
	t.Helper()
	st := mustOpen(t, &machine{opt: opt})
	st.mark.close()
	st.mark = newWatermark(time.Hour, func() error { return nil })
	go st.mark.run()
	return st
}

// fill writes units until the log is long enough.
func (w *writer) fill(size int) {
	for n, at := 0, 0; at < size; n++ {
		w.next(n * n % 5 % crashShards) // in no order that repeats soon
		_, at = w.log()
	}
}

// running is a store that died with units in its log, which did something when
// a third of them was there.
func running(t *testing.T, size int, then func(*Store) error) *specimen {
	t.Helper()
	sp := new(specimen)
	fsys := vfs.NewMem()
	st := openQuiet(t, cutOptions(t, fsys))
	w := sp.write(t, st)
	w.fill(size / 3)
	if err := then(st); err != nil {
		t.Fatal(err)
	}
	w.fill(size)
	sp.take(t, fsys)
	mustClose(t, st)
	sp.prove(t)
	return sp
}

// closed is a store that was closed in order.
func closed(t *testing.T, size int) *specimen {
	t.Helper()
	sp := new(specimen)
	fsys := vfs.NewMem()
	st := openQuiet(t, cutOptions(t, fsys))
	sp.write(t, st).fill(size)
	mustClose(t, st)
	sp.take(t, fsys)
	sp.prove(t)
	return sp
}

// twoLogs is a store that died while what is in one log was being written into
// tables, and it went on with a second log. The first one ends with units of a
// shard that has none in the second.
func twoLogs(t *testing.T, size int) *specimen {
	t.Helper()
	sp := new(specimen)
	mem := vfs.NewMem()
	hold, free := make(chan struct{}), make(chan struct{})
	var opened atomic.Bool
	var held sync.Once
	st := openQuiet(t, cutOptions(t, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") && opened.Load() {
			held.Do(func() { close(hold) })
			<-free
		}
		return nil
	}))))
	opened.Store(true)
	w := sp.write(t, st)
	w.fill(size)
	for range 5 {
		w.next(1)
	}
	if _, err := st.db.AsyncFlush(); err != nil {
		t.Fatal(err)
	}
	<-hold
	for range 20 {
		w.next(0)
	}
	sp.take(t, mem)
	close(free)
	mustClose(t, st)
	sp.prove(t)
	return sp
}

// cuts counts what became of the cuts of a log.
type cuts struct {
	mu                                sync.Mutex
	positions, whole, opened, refused int
	lost                              int // units that nothing could tell of
}

// cutEverywhere cuts a log at every byte, or a sample of them, and judges what
// a start makes of each: judge has how many units the log still has in it.
func cutEverywhere(t *testing.T, sp *specimen, log string, each int, judge func(at int, kept [crashShards]int, f found) error) *cuts {
	t.Helper()
	total, size := new(cuts), len(sp.files[log])
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for at := range next {
				disk, err := sp.disk(log, sp.files[log][:at])
				if err != nil {
					t.Error(err)
					continue
				}
				f := sp.look(disk, cutOptions(t, nil))
				total.count(sp, f)
				if err := judge(at, sp.whole(log, at), f); err != nil {
					t.Errorf("%s of %d bytes, cut at byte %d: %v\nrerun: SEMEL_SOAK=1 go test ./store/pebble -run '^%s$'", log, size, at, err, t.Name())
				}
			}
		})
	}
	for at := 0; at <= size && !t.Failed(); at++ {
		if at%each == 0 || at == size || nearEnd(sp.ends[log], at) {
			next <- at
		}
	}
	close(next)
	workers.Wait()
	t.Logf("%s of %d bytes (%d units acknowledged, %v of the shards marked) was cut at %d places: %d opened with everything, %d with the first units, %d were refused; %d units lost in the window that nothing tells of",
		log, size, sp.units[0]+sp.units[1], sp.marked, total.positions, total.whole, total.opened, total.refused, total.lost)
	return total
}

// nearEnd says whether a cut is so close to the end of a unit that no sample
// should leave it out; of every tenth unit, unless all are cut.
func nearEnd(ends []ended, at int) bool {
	i, _ := slices.BinarySearchFunc(ends, at-1, func(e ended, at int) int { return e.bytes - at })
	return (i%10 == 0 || i > len(ends)-4) && i < len(ends) && ends[i].bytes-at <= 1 && at-ends[i].bytes <= 1
}

func (c *cuts) count(sp *specimen, f found) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.positions++
	switch lost := sp.missing(f.units); {
	case f.stage != opened:
		c.refused++
	case lost == 0:
		c.whole++
	default:
		c.opened++
		c.lost += lost
	}
}

// judgeTail is for the log that was being written. Nothing after a cut can tell
// of what it took, so the mark and the folds decide: what is whole is there,
// and a start is refused if, and only if, they tell of more than that.
func (sp *specimen) judgeTail(_ int, kept [crashShards]int, f found) error {
	switch {
	case f.stage == silent:
		return f.err
	case f.stage == refusedAtRead:
		return fmt.Errorf("it opened, and then: %w", f.err)
	case atLeast(kept, sp.proven):
		if f.stage != opened || f.units != kept {
			return fmt.Errorf("the log has %v units, and of %v is proof; found %v, %v", kept, sp.proven, f.units, f.err)
		}
		return nil
	case f.stage == opened:
		return fmt.Errorf("the log has %v units, and %v were opened, though there is proof of %v", kept, f.units, sp.proven)
	}
	return namesLoss(f.err)
}

func namesLoss(err error) error {
	if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "missing") || !strings.Contains(err.Error(), "restore a backup") {
		return fmt.Errorf("the refusal does not say what is missing: %w", err)
	}
	return nil
}

// FAULTS 11: the log of a store that died is cut at any byte.
func TestCutLog(t *testing.T) {
	t.Parallel()
	sp := running(t, logBytes, (*Store).writeWatermark)
	c := cutEverywhere(t, sp, sp.log(), crashfs.Every(211, 997), sp.judgeTail)
	if c.refused == 0 || c.opened == 0 || c.whole == 0 {
		t.Errorf("of %d cuts %d were refused, %d opened with less, %d whole: the mark was not put to the test", c.positions, c.refused, c.opened, c.whole)
	}
}

// FAULTS 11: after an orderly end the mark tells of everything, so no loss
// passes unseen.
func TestCutLogAfterClose(t *testing.T) {
	t.Parallel()
	sp := closed(t, logBytes/4)
	c := cutEverywhere(t, sp, sp.log(), crashfs.Every(211, 997), sp.judgeTail)
	if c.opened != 0 || c.refused == 0 {
		t.Errorf("%d cuts were refused, and %d opened with less than there was", c.refused, c.opened)
	}
}

// FAULTS 11: what folds moved into tables is of units that the log had. If the
// log lost them, the tables tell, which no mark does yet.
func TestCutLogOfFolds(t *testing.T) {
	t.Parallel()
	sp := running(t, logBytes/2, func(st *Store) error { return st.folds.fold() })
	if atLeast(sp.marked, sp.proven) {
		t.Fatalf("the mark tells of %v units and the folds of %v: they prove nothing", sp.marked, sp.proven)
	}
	c := cutEverywhere(t, sp, sp.log(), crashfs.Every(211, 997), sp.judgeTail)
	if c.refused == 0 || c.opened == 0 {
		t.Errorf("of %d cuts %d were refused and %d opened with less: the folds were not put to the test", c.positions, c.refused, c.opened)
	}
}

// FAULTS 11: a log after which there is another one was synced to its end. What
// cannot be seen is a log that ends with a whole record too early, if no unit
// behind it is of the same shard: then only the mark can tell.
func TestCutOlderLog(t *testing.T) {
	t.Parallel()
	sp := twoLogs(t, logBytes/4)
	logs := sp.named(".log")
	logs = logs[len(logs)-2:] // before them there is one that is not needed any more
	if len(sp.ends[logs[0]]) == 0 || len(sp.ends[logs[1]]) == 0 {
		t.Fatalf("not both of %v have units", logs)
	}
	c := cutEverywhere(t, sp, logs[0], crashfs.Every(211, 997), func(at int, kept [crashShards]int, f found) error {
		switch {
		case f.stage == silent:
			return f.err
		case f.stage != opened:
			if !errors.Is(f.err, store.ErrCorrupt) {
				return f.err
			}
			return nil
		case sp.missing(f.units) == 0:
			return nil
		}
		afterUnit := slices.ContainsFunc(sp.ends[logs[0]], func(e ended) bool { return e.bytes == at })
		if !afterUnit || f.units[0] != sp.units[0] || f.units[1] != kept[1] || !atLeast(f.units, sp.marked) {
			return fmt.Errorf("the log has %v units, and %v of %v were opened", kept, f.units, sp.units)
		}
		return nil
	})
	if c.opened == 0 {
		t.Error("the log was not cut at the end of a unit of the shard that has none behind it")
	}
	if c = cutEverywhere(t, sp, logs[1], crashfs.Every(211, 997), sp.judgeTail); c.opened == 0 {
		t.Errorf("of %d cuts of the last log none opened", c.positions)
	}
}
