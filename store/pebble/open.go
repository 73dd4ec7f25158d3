package pebble

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// At names the directory of a store, which is created when it is opened for
// the first time. At most one Options may be given.
func At(dir string, options ...Options) store.Opener {
	o := opener{dir: dir, extra: len(options) > 1}
	if len(options) > 0 {
		o.opt = options[0]
	}
	return o
}

type opener struct {
	dir   string
	opt   Options
	extra bool
}

// OpenStore opens the directory. The errors that are for the operator:
// store.ErrLocked, another process has it open; store.ErrCorrupt, something
// that was stored is not there or not what it was; store.ErrBroken, the device
// failed.
func (o opener) OpenStore(ctx context.Context) (store.Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.extra {
		return nil, fmt.Errorf("open the store in %s: more than one Options were given", o.dir)
	}
	st, err := open(o.dir, o.opt)
	if err != nil {
		return nil, fmt.Errorf("open the store in %s: %w", o.dir, err)
	}
	return st, nil
}

// open takes the directory's lock, finds out what the directory is, recovers
// the database, and checks that what it recovered is what there was.
func open(dir string, opt Options) (*Store, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	opt = opt.withDefaults()
	dir, lock, err := lockDir(dir, opt)
	if err != nil {
		return nil, err
	}
	st := &Store{opt: opt, dir: dir, lock: lock, failed: newFailure(opt.Fatal)}
	if err := st.start(); err != nil {
		return nil, errors.Join(err, st.abandon())
	}
	return st, nil
}

// abandon gives up what start left. When the device failed that is nothing:
// Pebble may still be at work, and keeps the lock until the process ends.
func (st *Store) abandon() error {
	if st.failed.broken() != nil {
		return nil
	}
	var err error
	if st.db != nil {
		err = st.failed.attempt(st.db.Close)
	}
	return errors.Join(err, st.lock.Close())
}

func (st *Store) start() error {
	st.folds = newFolder(st)
	m, err := inspect(st.opt.fs(), st.dir)
	if err != nil {
		return err
	}
	if m.state == stateCreating {
		m, err = st.create()
	} else {
		err = st.recover(m)
	}
	if err != nil {
		return err
	}
	st.clean = m.state == stateClosed
	st.wake = make(chan message.Shard, max(64, 4*len(st.shards)))
	st.mark = newWatermark(st.opt.markEvery, st.writeWatermark)
	// From here on a crash is a crash: the next start is not a clean one.
	if err := writeMark(st.opt.fs(), st.dir, st.watermark(stateRunning)); err != nil {
		return err
	}
	st.failed.armed.Store(true)
	if err := st.failed.broken(); err != nil {
		return err // it failed in the background before it could end the process
	}
	go st.mark.run()
	go st.folds.run()
	return nil
}

// lockDir makes the directory if need be and takes its lock. It returns the
// directory's one true name: the lock on a second name of the same directory
// would be another lock.
func lockDir(dir string, opt Options) (string, *pebble.Lock, error) {
	if dir == "" {
		return "", nil, errors.New("no directory was given")
	}
	fsys := opt.fs()
	if opt.FS == nil {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", nil, err
		}
		dir = abs
	}
	if err := makeDir(fsys, dir); err != nil {
		return "", nil, err
	}
	if opt.FS == nil {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return "", nil, err
		}
		dir = real
	}
	lock, err := pebble.LockDirectory(dir, fsys)
	var path *fs.PathError
	if err != nil && !errors.As(err, &path) { // not a file that could not be made
		return "", nil, fmt.Errorf("%w: %s is locked (%w); stop the process that has it, or give this one a directory of its own", store.ErrLocked, dir, err)
	}
	return dir, lock, err
}

// makeDir makes a directory and those above it, and sees to it that they are
// not lost together with what will be synced inside: each is an entry of its
// parent. Its own parent is always synced, since an earlier start may have
// died between the two.
func makeDir(fsys vfs.FS, dir string) error {
	parents := []string{fsys.PathDir(dir)}
	_, err := fsys.Stat(dir)
	existed := err == nil
	for !existed {
		last := parents[len(parents)-1]
		if _, err := fsys.Stat(last); err == nil || fsys.PathDir(last) == last {
			break
		}
		parents = append(parents, fsys.PathDir(last))
	}
	if err := fsys.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, parent := range parents {
		// A directory that somebody else made may lie where we cannot read.
		if err := syncDir(fsys, parent); err != nil && !(existed && errors.Is(err, fs.ErrPermission)) {
			return err
		}
	}
	return nil
}

// inspect finds out what the directory is. An empty one, or one in which
// making a store did not end, is stateCreating.
func inspect(fsys vfs.FS, dir string) (mark, error) {
	m, found, err := readMark(fsys, dir)
	if err != nil {
		return mark{}, err
	}
	if found {
		switch m.state {
		case stateBackup:
			return mark{}, errors.New("the directory is a backup; restore it into a directory of its own and open that one")
		case stateRestoring:
			return mark{}, errors.New("a restore into the directory did not end; empty it and restore again")
		}
		return m, nil
	}
	names, err := foreign(fsys, dir)
	if err != nil {
		return mark{}, err
	}
	for _, name := range names {
		if strings.HasPrefix(name, "MANIFEST-") {
			return mark{}, fmt.Errorf("%w: the directory has a database and no file %s; if it is another program's, choose another directory, and if the file was removed, restore a backup", store.ErrCorrupt, markName)
		}
	}
	if len(names) > 0 {
		return mark{}, fmt.Errorf("the directory is not a store: it contains %s; choose an empty or a new one", names[0])
	}
	return mark{state: stateCreating}, nil
}

// foreign lists what is in a directory beyond what a start by itself leaves
// there, and what a new file system has.
func foreign(fsys vfs.FS, dir string) ([]string, error) {
	all, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range all {
		if name != "LOCK" && name != markTempName && name != "lost+found" {
			names = append(names, name)
		}
	}
	return names, nil
}

// create makes a new store. Its order makes every crash harmless: the mark
// that says "creating" comes first and is taken off last, and what lies beside
// it is thrown away, since a crash may have kept any part of it.
func (st *Store) create() (mark, error) {
	st.head = header{shards: st.opt.Shards, created: time.Now()}
	if st.head.shards == 0 {
		st.head.shards = DefaultShards()
	}
	if _, err := rand.Read(st.head.incarnation[:]); err != nil {
		return mark{}, err
	}
	st.shards = makeShards(st.head.shards)
	if err := writeMark(st.opt.fs(), st.dir, mark{state: stateCreating, incarnation: st.head.incarnation}); err != nil {
		return mark{}, err
	}
	if err := clean(st.opt.fs(), st.dir); err != nil {
		return mark{}, err
	}
	if err := st.openDB(false); err != nil {
		return mark{}, err
	}
	if err := st.newLog(); err != nil {
		return mark{}, err
	}
	return mark{state: stateClosed}, nil // new is clean
}

// clean removes what an earlier attempt at making the store left.
func clean(fsys vfs.FS, dir string) error {
	names, err := foreign(fsys, dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == markName {
			continue
		}
		if err := fsys.Remove(fsys.PathJoin(dir, name)); err != nil {
			return fmt.Errorf("remove what an earlier start left: %w", err)
		}
	}
	return syncDir(fsys, dir)
}

func (st *Store) writeHeader() error {
	return st.failed.attempt(func() error { return st.db.Set(headerKey, st.head.encode(), pebble.Sync) })
}

// newLog begins a new log, with the header row in tables: for a store whose
// formats Pebble has raised to the present version. It opened the log before it
// did, in the format of before, whose records do not say up to where the log
// was synced: nothing could tell of a hole in it, see hole_test.go.
func (st *Store) newLog() error {
	if err := st.writeHeader(); err != nil { // an empty log is not changed for another
		return err
	}
	return st.failed.attempt(st.db.Flush)
}

// recover opens an existing store and checks it against its mark.
func (st *Store) recover(m mark) error {
	if n := len(m.versions); st.opt.Shards != 0 && st.opt.Shards != n {
		return fmt.Errorf("the store has %d shards, for ever, and the options ask for %d; ask for none to take what it has", n, st.opt.Shards)
	}
	if err := removeFolds(st.opt.fs(), st.dir); err != nil {
		return err
	}
	if err := st.openDB(true); err != nil {
		return st.diagnose(err)
	}
	head, versions, err := readRows(st.db)
	if err != nil {
		return err
	}
	if head.incarnation != m.incarnation || head.shards != len(m.versions) {
		return fmt.Errorf("%w: the header row says incarnation %x and %d shards, the file %s says %x and %d: the directory mixes two stores; restore a backup",
			store.ErrCorrupt, head.incarnation, head.shards, markName, m.incarnation, len(m.versions))
	}
	if err := m.missing(versions); err != nil {
		return err
	}
	st.head = head
	if st.upgraded {
		if err := st.newLog(); err != nil {
			return err
		}
	}
	st.shards = makeShards(head.shards)
	for i, v := range versions {
		st.shards[i].version = v
		// Recovery has flushed what it read, so all of it is durable.
		st.shards[i].durable.raise(v)
	}
	return st.replay()
}

// openDB opens Pebble's part of the directory. Where there must be a database
// and is none, because the file that names its manifest is gone, Pebble would
// make a new one, over the files of the old.
func (st *Store) openDB(exists bool) error {
	t := Tuning(st.opt)
	t.ErrorIfNotExists = exists
	t.Logger = logger{log: st.opt.Logger, fail: st.failed.fail}
	t.EventListener = listen(st.opt.Logger, st.failed.fail)
	t.EventListener.FormatUpgrade = func(pebble.FormatMajorVersion) { st.upgraded = true }
	t.Lock = st.lock
	t.FS = deviceFS{FS: st.opt.fs(), dir: st.dir, failed: st.failed}
	if st.opt.FS == nil {
		t.WithFSDefaults() // watches how slow the disk is
	}
	// A table that overlaps what a memtable has, as those of a fold may with
	// dropped generations, could come in by the log instead of the manifest:
	// against replay.go, and in two steps, between which a backup might begin.
	// So the memtable is flushed first.
	t.Experimental.DisableIngestAsFlushable = func() bool { return true }
	t.EnsureDefaults()
	st.tuning = t
	// An error in the background of the opening is no error of Open's, but
	// what was not flushed is not durable: attempt looks at both.
	return corruption(st.failed.attempt(func() (err error) {
		st.db, err = pebble.Open(st.dir, t)
		return err
	}))
}

// readRows reads the store's own rows.
func readRows(db *pebble.DB) (header, []message.Version, error) {
	row, err := readRow(db, headerKey)
	if err != nil {
		return header{}, nil, fmt.Errorf("the store's header row: %w", err)
	}
	if row == nil {
		return header{}, nil, fmt.Errorf("%w: the store's header row is missing; restore a backup", store.ErrCorrupt)
	}
	head, err := parseHeader(row)
	if err != nil {
		return header{}, nil, err
	}
	versions := make([]message.Version, head.shards)
	for i := range versions {
		row, err := readRow(db, versionKey(message.Shard(i)))
		if err != nil {
			return header{}, nil, fmt.Errorf("the version row of shard %d: %w", i, err)
		}
		if row == nil {
			continue // never opened; the mark knows better if it was
		}
		if versions[i], err = parseVersion(message.Shard(i), row); err != nil {
			return header{}, nil, err
		}
	}
	return head, versions, nil
}

// readRow returns a copy of a row, nil when there is none.
func readRow(db *pebble.DB, key []byte) ([]byte, error) {
	value, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, corruption(err)
	}
	row := append([]byte{}, value...)
	return row, closer.Close()
}
