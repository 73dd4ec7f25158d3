package pebble

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Backup copies the store into a directory that must not exist yet. On the
// same file system tables are linked, not copied. Until it ends, folds leave
// their unit rows, a start after a crash has them to fold again, and Maintain
// drops no generations. The context is looked at before a copy begins. A copy
// is read before it is called a backup, and made again if it cannot be: Pebble
// copies a log that is written meanwhile over an older one, so that the copy may
// have a hole. A backup that did not end has no file SEMEL, and Restore refuses
// it. A backup cannot be opened: it is to be restored.
func (st *Store) Backup(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := st.enter(); err != nil {
		return fmt.Errorf("back up %s: %w", st.dir, err)
	}
	defer st.leave()
	// Read before the copy, so that the copy has at least this.
	m := st.watermark(stateBackup)
	if err := st.failed.broken(); err != nil {
		return fmt.Errorf("back up %s: %w", st.dir, err)
	}
	// The checkpoint takes the log after it took the tables: with a fold in
	// between, the unit rows would be gone and the tables not there yet.
	st.folds.keep.Lock()
	defer st.folds.keep.Unlock()
	advice := "choose a directory that does not exist yet, on a device with room"
	var err error
	for range backupTries {
		var again bool
		if again, err = st.copyInto(dir, m); !again {
			break
		}
		if e := ctx.Err(); e != nil {
			return e
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrCorrupt):
		advice = "the copy cannot be read; try when less is written, and if that does not help, look at the device"
	}
	return fmt.Errorf("back up %s into %s: %w; %s", st.dir, dir, err, advice)
}

// backupTries bounds the copies of one backup. Under a load that does nothing
// but write, one copy in a thousand had a hole.
const backupTries = 10

// copyInto makes a backup of the store as it is now. A copy that is no backup
// does not stay; again says that it is gone, and that another may be one.
func (st *Store) copyInto(dir string, m mark) (again bool, err error) {
	if err := st.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return false, corruption(err)
	}
	if err = st.checkCopy(dir, m); err == nil {
		err = writeMark(st.opt.fs(), dir, m)
	}
	if err == nil {
		return false, nil
	}
	removing := st.opt.fs().RemoveAll(dir)
	return removing == nil && errors.Is(err, store.ErrCorrupt), errors.Join(err, removing)
}

// checkCopy reads a copy as a restore would, without changing it.
func (st *Store) checkCopy(dir string, m mark) (err error) {
	opt := st.opt
	opt.CacheBytes = 1 << 20 // it is read once
	t := Tuning(opt)
	t.ReadOnly = true
	t.FS = opt.fs()
	// What is wrong with a copy is no failure of the store.
	t.Logger = logger{log: slog.New(slog.DiscardHandler), fail: func(err error) error { return err }}
	db, err := pebble.Open(dir, t)
	if err != nil {
		return corruption(err)
	}
	defer func() { err = errors.Join(err, corruption(db.Close())) }()
	_, err = m.header(db)
	return err
}

// header is the header row of a copy that is what its mark says.
func (m mark) header(db *pebble.DB) (header, error) {
	head, versions, err := readRows(db)
	if err != nil {
		return head, err
	}
	if head.incarnation != m.incarnation || head.shards != len(m.versions) {
		return head, fmt.Errorf("%w: the backup's header row is not of the store that its file %s names", store.ErrCorrupt, markName)
	}
	return head, m.missing(versions)
}

// Restore makes a new store of a backup, in a directory that is empty or does
// not exist. It is a new incarnation: what was handed out before is not valid
// in it. The first start is not a clean one, since what was copied was
// running. A restore that did not end leaves a directory that is refused. Of
// the options, FS and those about memory matter.
func Restore(ctx context.Context, backupDir, dataDir string, options ...Options) error {
	var opt Options
	if len(options) > 0 {
		opt = options[0]
	}
	if err := restore(ctx, backupDir, dataDir, opt); err != nil {
		return fmt.Errorf("restore %s into %s: %w", backupDir, dataDir, err)
	}
	return nil
}

func restore(ctx context.Context, backupDir, dataDir string, opt Options) (err error) {
	if err := opt.validate(); err != nil {
		return err
	}
	opt = opt.withDefaults()
	fsys := opt.fs()
	m, found, err := readMark(fsys, backupDir)
	switch {
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("%s is not a whole backup: it has no file %s; take another one", backupDir, markName)
	case m.state != stateBackup:
		return fmt.Errorf("%s is not a backup but a store; back it up first", backupDir)
	}
	dataDir, lock, err := lockDir(dataDir, opt)
	if err != nil {
		return err
	}
	st := &Store{opt: opt, dir: dataDir, lock: lock, failed: newFailure(opt.Fatal)}
	defer func() { err = errors.Join(err, st.abandon()) }()
	if err := requireEmpty(fsys, dataDir); err != nil {
		return err
	}
	var fresh message.Incarnation
	if _, err := rand.Read(fresh[:]); err != nil {
		return err
	}
	n := mark{state: stateRestoring, incarnation: fresh, versions: m.versions}
	if err := writeMark(fsys, dataDir, n); err != nil {
		return err
	}
	if err := copyFiles(ctx, fsys, backupDir, dataDir); err != nil {
		return err
	}
	if err := st.rename(m, fresh); err != nil {
		return err
	}
	n.state = stateRunning
	return writeMark(fsys, dataDir, n)
}

func requireEmpty(fsys vfs.FS, dir string) error {
	names, err := foreign(fsys, dir)
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("the directory is not empty: it contains %s; choose an empty or a new one", names[0])
	}
	return err
}

// copyFiles copies a backup's files, which are all in one directory.
func copyFiles(ctx context.Context, fsys vfs.FS, from, to string) error {
	names, err := foreign(fsys, from)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if name == markName {
			continue
		}
		if err := vfs.Copy(fsys, fsys.PathJoin(from, name), fsys.PathJoin(to, name)); err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	return syncDir(fsys, to)
}

// rename opens the copy, checks that it is what the backup's mark says, and
// gives it its new incarnation. It closes the copy, unless it fails.
func (st *Store) rename(m mark, fresh message.Incarnation) error {
	if err := st.openDB(true); err != nil {
		return st.diagnose(err)
	}
	head, err := m.header(st.db)
	if err != nil {
		return err
	}
	st.head = head
	st.head.incarnation = fresh
	if err := st.writeHeader(); err != nil {
		return err
	}
	db := st.db
	st.db = nil
	return st.failed.attempt(db.Close)
}
