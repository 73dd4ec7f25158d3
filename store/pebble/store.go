package pebble

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Store is an open directory. Its methods are those of store.Store,
// store.Backuper, store.Sizer and store.Spacer.
type Store struct {
	opt    Options
	dir    string
	head   header
	clean  bool
	failed *failure
	db     *pebble.DB
	lock   *pebble.Lock
	shards []shard
	wake   chan message.Shard
	mark   *watermark
	tuning *pebble.Options
	folds  *folder

	// upgraded: Pebble raised the version of its formats in this start.
	upgraded bool

	// life is held for reading by whoever uses db, so that Close, which takes
	// it for writing, ends nothing under anybody's hands.
	life   sync.RWMutex
	closed bool

	upkeep upkeep
}

// shard is the fence of one shard, and what it has in memory.
type shard struct {
	mu      sync.Mutex
	version message.Version // of the last unit in the log; under mu
	durable durable
	memory  memory

	// Up to these units the unit rows are in the LSM's tables, and are gone.
	// They belong to whoever folds.
	folded, forgotten message.Seq
	reached           message.Seq // the highest of all folds'

	_ [64]byte // shards are worked on by different cores
}

func makeShards(n int) []shard {
	shards := make([]shard, n)
	seed := rand.Uint64() // nobody can choose keys that collide
	for i := range shards {
		shards[i].memory = newMemory(seed)
	}
	return shards
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Backuper = (*Store)(nil)
	_ store.Sizer    = (*Store)(nil)
	_ store.Spacer   = (*Store)(nil)
)

// Profile says what the store can do.
func (st *Store) Profile() store.Profile {
	return store.Profile{
		Name:          "pebble",
		UnitsInFlight: st.opt.UnitsInFlight,
		MaxUnitBytes:  st.opt.MaxUnitBytes,
		SharedLog:     true,
		LocalReads:    true,
		Exclusive:     true,
	}
}

// Incarnation tells this life of the store from that of any backup of it.
func (st *Store) Incarnation() message.Incarnation { return st.head.incarnation }

// Shards is the number of shards the store was created with.
func (st *Store) Shards() int { return st.head.shards }

// Wake hints at shards that a commit sent messages to. Nobody but this process
// can commit, so no other hint is needed; one is lost when the channel is full.
func (st *Store) Wake() <-chan message.Shard { return st.wake }

// CleanStart says whether the directory was new or had been closed in order.
func (st *Store) CleanStart() bool { return st.clean }

// enter is called by whoever is about to use the database; leave follows it,
// unless it failed.
func (st *Store) enter() error {
	st.life.RLock()
	if st.closed {
		st.life.RUnlock()
		return store.ErrClosed
	}
	return nil
}

func (st *Store) leave() { st.life.RUnlock() }

// Open begins a session. The raised epoch is durable when it returns.
func (st *Store) Open(ctx context.Context, n message.Shard, _ string) (store.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if int(n) >= len(st.shards) {
		return nil, fmt.Errorf("open shard %d: the store has %d shards", n, len(st.shards))
	}
	if err := st.enter(); err != nil {
		return nil, fmt.Errorf("open shard %d: %w", n, err)
	}
	defer st.leave()
	s := &session{store: st, number: n, shard: &st.shards[n]}
	// The mutex is held through the sync: no commit, of an older session or of
	// this one, gets between the version read and the version written.
	s.shard.mu.Lock()
	defer s.shard.mu.Unlock()
	v := s.shard.version
	v.Epoch++
	var key [versionKeyLen]byte
	var value [versionSize + sealSize]byte
	putVersion(key[:], value[:], n, v)
	if err := st.failed.write(func() error { return st.db.Set(key[:], value[:], pebble.Sync) }); err != nil {
		return nil, fmt.Errorf("open shard %d: %w", n, err)
	}
	s.shard.version, s.version = v, v
	s.shard.durable.raise(v)
	st.mark.touch()
	return s, nil
}

// Close ends the store in order. Waits that are under way get their answers.
// A second Close does nothing. After a failure of the device the files are
// left as they are, for recovery to judge, and the failure is returned.
func (st *Store) Close() error {
	st.life.Lock()
	defer st.life.Unlock()
	if st.closed {
		return nil
	}
	st.closed = true
	st.mark.close()
	st.folds.close()
	if err := st.failed.broken(); err != nil {
		return fmt.Errorf("close %s: %w", st.dir, err)
	}
	// Closing the database syncs its log, so afterwards every version is
	// durable and the mark may say so.
	err := st.failed.write(st.db.Close)
	if err == nil {
		m := mark{state: stateClosed, incarnation: st.head.incarnation}
		for i := range st.shards {
			m.versions = append(m.versions, st.shards[i].version)
		}
		err = writeMark(st.opt.fs(), st.dir, m)
	}
	if err = errors.Join(err, st.lock.Close()); err != nil {
		return fmt.Errorf("close %s: %w", st.dir, err)
	}
	return nil
}

// writeWatermark writes what is durable by now.
func (st *Store) writeWatermark() error {
	if err := writeMark(st.opt.fs(), st.dir, st.watermark(stateRunning)); err != nil {
		return st.failed.fail(fmt.Errorf("write the watermark: %w", err))
	}
	return nil
}

func (st *Store) watermark(state markState) mark {
	m := mark{state: state, incarnation: st.head.incarnation, versions: make([]message.Version, len(st.shards))}
	for i := range st.shards {
		m.versions[i] = st.shards[i].durable.load()
	}
	return m
}

// Size is the room that the database takes, in bytes.
func (st *Store) Size() (int64, error) {
	if err := st.enter(); err != nil {
		return 0, fmt.Errorf("size of %s: %w", st.dir, err)
	}
	defer st.leave()
	return int64(st.db.Metrics().DiskSpaceUsage()), nil
}

// Free is the room left on the device, in bytes.
func (st *Store) Free() (uint64, error) {
	usage, err := st.opt.fs().GetDiskUsage(st.dir)
	if err != nil {
		return 0, fmt.Errorf("free space of %s: %w", st.dir, err)
	}
	return usage.AvailBytes, nil
}
