package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Store is an open store: one process's connections to the database.
type Store struct {
	opt         Options
	pool        *pgxpool.Pool
	leases      *pgxpool.Pool // for leases alone
	timeline    string        // SQL, see findTimeline
	sql         *sqlCache
	shards      int
	incarnation message.Incarnation
	clean       bool

	running  sync.WaitGroup  // senders of sessions, operations, and sweeps
	sweeping context.Context // of sweeps that nobody asked for
	stop     context.CancelFunc
	full     chan struct{} // a shard has many marks to be swept

	mu       sync.Mutex
	closed   bool
	known    map[message.Shard]remembered
	sessions map[message.Shard]*session // the last of each shard that is not closed
	terms    map[holding]int64          // of the last claims

	generations generations

	holds    []message.Shard // as a part of a divided store
	charter  []byte          // under which this process opened it; with mu
	consumed consumed
}

var (
	_ store.Store        = (*Store)(nil)
	_ store.LossAccepter = (*Store)(nil)
	_ store.Glancer      = (*Store)(nil)
)

// Profile says what the store can do. A session sends one unit at a time, so
// one more is worth having ready while it is under way. Sending the next one
// before the answer would save a round trip a unit, which is little beside what
// the server does for 512 steps, and would make each serialization failure fence
// all that was sent behind it.
func (st *Store) Profile() store.Profile {
	return store.Profile{Name: "postgres", UnitsInFlight: 2, MaxUnitBytes: st.opt.MaxUnitBytes, Lease: st.opt.Lease}
}

// Incarnation tells this store from any other. A database that was restored
// from a backup still has that of the backup.
func (st *Store) Incarnation() message.Incarnation { return st.incarnation }

// Shards is the number of shards.
func (st *Store) Shards() int { return st.shards }

// Wake is nil: nothing in the database tells a node of another node's commits
// that would work behind a pooler.
func (st *Store) Wake() <-chan message.Shard { return nil }

// CleanStart says whether, when the store was opened, no shard had a session
// that was not closed in order. While another node has shards it is false, and
// whether the shard itself was left in order is Session.Clean.
func (st *Store) CleanStart() bool { return st.clean }

// enter begins an operation, which Close waits for; leave ends it.
func (st *Store) enter() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return store.ErrClosed
	}
	st.running.Add(1)
	return nil
}

func (st *Store) leave() { st.running.Done() }

// Open begins a session. It waits for a unit of an older session that holds the
// shard's row, and leaves no room for one that does not hold it yet.
func (st *Store) Open(ctx context.Context, shard message.Shard, owner string) (store.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if int(shard) >= st.shards {
		return nil, fmt.Errorf("open shard %d: the store has %d shards", shard, st.shards)
	}
	if err := st.enter(); err != nil {
		return nil, fmt.Errorf("open shard %d: %w", shard, err)
	}
	defer st.leave()
	s, err := st.take(ctx, shard, owner)
	if errors.Is(err, store.ErrLost) {
		return nil, err // it names the shard
	}
	if err != nil {
		return nil, fmt.Errorf("open shard %d: %w", shard, err)
	}
	return s, nil
}

// take makes the fence the new session's. Every try draws a token of its own: a
// try whose answer was lost may come to the server after a later one.
func (st *Store) take(ctx context.Context, shard message.Shard, owner string) (*session, error) {
	had := st.remembered(shard)
	q := query{harmless: true, sql: st.sql.with(`UPDATE {s}.semel_shard
		SET epoch = GREATEST(epoch, $2::bigint) + 1, former = session, session = $3::uuid, owner = $4::text, held = true, clean = NOT held
		WHERE shard = $1::integer AND lost <= seq AND (era > $5::bigint OR era = $5::bigint AND seq >= $6::bigint) AND ` + sameStore + `$7::uuid)
			AND EXISTS (SELECT 1 FROM {s}.semel_store WHERE id = 1 AND charter IS NOT DISTINCT FROM $8::bytea)
		RETURNING epoch, seq, era, clean, COALESCE(former::text, '')`)}
	var s *session
	q.begin = func() {
		s = nil
		token := uuid.NewString()
		q.args = []any{int32(shard), int64(had.epoch), token, owner, had.era, int64(had.seq), st.incarnationText(), st.underCharter()}
		q.row = func(r pgx.Rows) error {
			s = newSession(st, shard, token)
			return r.Scan(&s.version.Epoch, &s.version.Seq, &s.era, &s.clean, &s.former)
		}
	}
	f, err := st.run(ctx, &q)
	if err := st.harmlessError(ctx, f, err); err != nil {
		return nil, err
	}
	if s == nil {
		if is, err := st.askCharter(ctx); err != nil || !bytes.Equal(is, st.underCharter()) {
			return nil, errors.Join(err, fmt.Errorf("%w: the parts of the store were changed (its charter) since this process opened it; restart it", store.ErrLocked))
		}
		return nil, st.lost(ctx, shard, had)
	}
	st.remember(shard, remembered{era: s.era, epoch: s.version.Epoch, seq: s.version.Seq})
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return nil, store.ErrClosed
	}
	st.sessions[shard] = s
	return s, nil
}

// Close waits for the units under way, gives the shards up in order and closes
// the connections. If the database cannot be told, the next start is not clean.
func (st *Store) Close() error {
	st.mu.Lock()
	if st.closed {
		st.mu.Unlock()
		return nil
	}
	st.closed = true
	open := st.sessions
	st.sessions = nil
	st.mu.Unlock()
	st.stop()

	var errs []error
	shut := make(chan error, len(open))
	for _, s := range open { // at once: each may take as long as the store's patience
		go func() { shut <- s.shut() }()
	}
	for range open {
		errs = append(errs, <-shut)
	}
	st.running.Wait()
	st.pool.Close()
	st.leases.Close()
	return errors.Join(errs...)
}
