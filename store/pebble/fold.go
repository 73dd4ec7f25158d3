package pebble

import (
	"context"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/message"
)

// foldPrefix begins the names of tables on their way into the LSM. What a
// crash leaves of them is removed at the next start.
const foldPrefix = "SEMEL.fold."

// foldMax is how many bytes of units begin a fold at the latest. Twice as many,
// at which admit holds commits back, and one unit more are a segment, whose
// offsets have 32 bits.
const foldMax = 512 << 20

var _ [math.MaxUint32 - (2*foldMax + unitMax)]struct{} // or this does not compile

// folder moves what the memories hold into the LSM, all shards' at once, when
// it has become too much. Its steps, and why in this order:
//
//  1. Freeze the memories: what is committed from now on is the next fold's.
//  2. Sync the log: what follows must not outlive the units that it is of.
//  3. Write the valid entries, sorted, as tables, and ingest them. Nobody else
//     writes rows of the front tables, so that nothing is overtaken. When this
//     returns it is durable and visible.
//  4. Delete the unit rows and say in the shard's folded row up to where, in
//     one batch. Nobody waits for its sync: if it is lost, the units' rows are
//     read back over the same rows, or older ones, in the LSM.
//  5. Drop the frozen memories.
//
// Commits go on throughout, until there is another fold's worth.
type folder struct {
	store *Store
	limit int64 // how many bytes of units begin a fold
	full  atomic.Int64

	// keep is held by whoever needs the unit rows to stay. With mu it is only
	// tried.
	keep sync.Mutex
	// mu is held through a fold.
	mu     sync.Mutex
	files  int
	number uint64 // of the last fold in the LSM

	roomMu sync.Mutex
	room   chan struct{} // closed when memories are frozen

	wake chan struct{}
	stop chan struct{}
	done chan struct{}
}

func newFolder(st *Store) *folder {
	return &folder{store: st, limit: min(st.opt.foldBytes, foldMax), room: make(chan struct{}),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
}

// grew says that there are more bytes to fold.
func (f *folder) grew(n int) {
	if f.full.Add(int64(n)) >= f.limit {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// admit holds a commit back while twice of what begins a fold is waiting for
// it, which bounds the memory at twice that and again twice that, frozen.
func (f *folder) admit() error {
	for f.full.Load() >= 2*f.limit {
		f.roomMu.Lock()
		room := f.room
		f.roomMu.Unlock()
		if f.full.Load() < 2*f.limit {
			break
		}
		select {
		case <-room:
		case <-f.store.failed.happened:
			return f.store.failed.broken()
		}
	}
	return nil
}

// run folds until close is called or the device fails.
func (f *folder) run() {
	defer close(f.done)
	for {
		select {
		case <-f.wake:
		case <-f.stop:
			return
		}
		for f.full.Load() >= f.limit {
			if err := f.fold(); err != nil {
				return // told to Fatal by then
			}
		}
	}
}

// close ends run and waits for it. After a failure of the device it does not
// wait, since Pebble may never answer.
func (f *folder) close() {
	close(f.stop)
	select {
	case <-f.done:
	case <-f.store.failed.happened:
	}
}

// settle sees to it that no unit row of a shard has rows of generations below a
// bound, which would bring them back after a crash. It is false when somebody
// keeps the unit rows: that may take hours, and is not waited for.
func (f *folder) settle(n message.Shard, below message.Generation) (bool, error) {
	holds := f.store.shards[n].memory.holds(below)
	lags, kept := f.look(n)
	if !holds && !lags {
		return true, nil
	}
	if kept {
		return false, nil // and no fold for nothing
	}
	if err := f.fold(); err != nil {
		return false, err
	}
	lags, _ = f.look(n)
	return !lags, nil
}

// look says whether a shard has unit rows that are folded and not forgotten,
// and whether somebody keeps them. It waits for the fold under way.
func (f *folder) look(n message.Shard) (lags, kept bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if kept = !f.keep.TryLock(); !kept {
		f.keep.Unlock()
	}
	sh := &f.store.shards[n]
	return sh.forgotten != sh.folded, kept
}

// folding is one shard's part of a fold.
type folding struct {
	shard message.Shard
	from  *segment
}

// fold does one fold. While somebody keeps the unit rows they stay until the
// next one.
func (f *folder) fold() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.store
	if err := st.failed.broken(); err != nil {
		return err // what is frozen may still be: nothing may take its place
	}
	parts := f.freeze()
	if len(parts) > 0 {
		if err := st.failed.write(func() error { return st.db.LogData(nil, pebble.Sync) }); err != nil {
			return err
		}
		if err := st.failed.write(func() error { return f.ingest(parts) }); err != nil {
			return err
		}
		for _, p := range parts {
			st.shards[p.shard].folded = p.from.through
		}
	}
	if f.keep.TryLock() {
		err := st.failed.write(f.forget)
		f.keep.Unlock()
		if err != nil {
			return err
		}
	}
	for _, p := range parts {
		st.shards[p.shard].memory.thaw()
	}
	return nil
}

// freeze freezes the memories of all shards and lets held-back commits go on.
func (f *folder) freeze() []folding {
	var parts []folding
	freed := int64(0)
	for i := range f.store.shards {
		if s := f.store.shards[i].memory.freeze(); s != nil {
			parts = append(parts, folding{message.Shard(i), s})
			freed += s.cost
		}
	}
	f.full.Add(-freed)
	f.roomMu.Lock()
	close(f.room)
	f.room = make(chan struct{})
	f.roomMu.Unlock()
	return parts
}

// ingest writes a table for each span and puts all of them into the LSM.
func (f *folder) ingest(parts []folding) error {
	bySpan := map[span][]*run{}
	for _, p := range parts {
		runs(p.shard, p.from, bySpan)
	}
	var paths []string
	for _, at := range slices.SortedFunc(maps.Keys(bySpan), span.compare) {
		path, err := f.write(at, bySpan[at])
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		paths = append(paths, path)
	}
	path, err := f.writeTable(func(w *sstable.Writer) error {
		if err := w.Set(ingestKey, encodeFolded(ingestKey, 0, f.number+1)); err != nil {
			return err
		}
		for _, p := range parts { // in the order of their shards
			sh := &f.store.shards[p.shard]
			// A start folds older units over those of folds before it.
			sh.reached = max(sh.reached, p.from.through)
			key := reachKey(p.shard)
			if err := w.Set(key, encodeFolded(key, sh.reached, f.number+1)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := f.store.db.Ingest(context.Background(), append(paths, path)); err != nil {
		return err
	}
	f.number++
	return nil
}

// write writes the table of a span. The runs are in the order of their shards.
func (f *folder) write(at span, rs []*run) (string, error) {
	return f.writeTable(func(w *sstable.Writer) error {
		var key []byte
		for _, r := range rs {
			key = appendKey(key[:0], r.shard, at.table, at.gen, nil)
			prefix := len(key)
			for i := range r.items {
				giveWay(i)
				e := r.entry(&r.items[i])
				key = append(key[:prefix], e.key...)
				var err error
				if e.deleted {
					err = w.Delete(key)
				} else {
					err = w.Set(key, e.value)
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// giveWay is called for every row that a fold works at, and lets those run that
// are ready to, now and then: they serve somebody who waits, a fold does not,
// and without it would keep a processor for ten milliseconds at a time.
func giveWay(i int) {
	if i%1024 == 1023 {
		runtime.Gosched()
	}
}

// writeTable writes and syncs one table.
func (f *folder) writeTable(fill func(*sstable.Writer) error) (string, error) {
	st := f.store
	f.files++
	path := st.tuning.FS.PathJoin(st.dir, fmt.Sprintf("%s%d", foldPrefix, f.files))
	file, err := st.tuning.FS.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return path, err
	}
	// Written back as it grows: a large write at the end would hold up the log's.
	file = vfs.NewSyncingFile(file, vfs.SyncingFileOptions{BytesPerSync: 512 << 10})
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(file), st.tuning.MakeWriterOptions(0, st.db.TableFormat()))
	if err := fill(w); err != nil {
		_ = w.Close() // returns the same error
		return path, err
	}
	return path, w.Close()
}

// forget deletes the rows of the units that are folded.
func (f *folder) forget() error {
	b := f.store.db.NewBatch()
	for i := range f.store.shards {
		sh, n := &f.store.shards[i], message.Shard(i)
		if sh.forgotten == sh.folded {
			continue
		}
		if err := b.DeleteRange(unitKey(n, sh.forgotten+1), unitKey(n, sh.folded+1), nil); err != nil {
			return err
		}
		key := foldedKey(n)
		if err := b.Set(key, encodeFolded(key, sh.folded, f.number), nil); err != nil {
			return err
		}
	}
	if !b.Empty() {
		if err := f.store.db.Apply(b, pebble.NoSync); err != nil {
			return err
		}
	}
	for i := range f.store.shards {
		f.store.shards[i].forgotten = f.store.shards[i].folded
	}
	return b.Close()
}

// removeFolds removes tables that never got into the LSM.
func removeFolds(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, foldPrefix) })
	for _, name := range names {
		if err := fsys.Remove(fsys.PathJoin(dir, name)); err != nil {
			return fmt.Errorf("remove what a fold left: %w", err)
		}
	}
	return nil
}
