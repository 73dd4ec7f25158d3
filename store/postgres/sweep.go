package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/message"
)

// A row that was deleted leaves a mark, which a scan passes by one by one. Timers
// that fire and messages that are done leave theirs where the next scan begins. So
// marks are swept soon after they are made, beside the units and in statements of
// few rows, for all shards of the process together; as rows that are deleted for
// good, they cost a scan next to nothing from the second time on.

// sweepRows is how many rows one statement removes: few enough that a unit that
// meets it waits milliseconds.
const sweepRows = 1000

// sweepMost is how many such statements are made in a row for the marks, which go
// on coming.
const sweepMost = 100

// sweepEvery is how long a mark stays, when there are few. When a shard's units
// have made sweepAt, they are swept at once.
const (
	sweepEvery = time.Second
	sweepAt    = sweepRows
)

// marked counts the marks that a unit makes, at least.
func (s *session) marked(ch *changes) {
	n := len(ch.bounded) + len(ch.endless)
	for _, value := range ch.values {
		if value == nil {
			n++
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.marks += n; s.marks >= sweepAt {
		select {
		case s.store.full <- struct{}{}:
		default:
		}
	}
}

// takeMarks returns the shards that have marks, as far as this process knows, and
// counts anew.
func (st *Store) takeMarks() (of []*session, shards []int32) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, s := range st.sessions {
		s.mu.Lock()
		if s.marks > 0 {
			s.marks = 0
			of, shards = append(of, s), append(shards, int32(s.shard))
		}
		s.mu.Unlock()
	}
	return of, shards
}

// keepSwept sweeps until the store is closed, which waits for one statement at
// most. If a sweep fails, nothing is lost: it is made again.
func (st *Store) keepSwept() {
	defer st.running.Done()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-st.full:
		case <-st.sweeping.Done():
			return
		}
		of, shards := st.takeMarks()
		if len(shards) == 0 {
			continue
		}
		if all, err := st.sweep(st.sweeping, shards); all && err == nil {
			continue
		}
		for _, s := range of {
			s.mu.Lock()
			s.marks++
			s.mu.Unlock()
		}
	}
}

const sweepSQL = `WITH swept AS (
	DELETE FROM {s}.semel_row WHERE gone AND (shard, tbl, key) IN (
		SELECT shard, tbl, key FROM {s}.semel_row WHERE shard = ANY($1::integer[]) AND gone LIMIT $2::bigint FOR UPDATE SKIP LOCKED)
	RETURNING 1
) SELECT count(*) FROM swept`

// sweep removes the marks of deleted rows, and says whether these were all. It
// passes by those that a unit is putting back at the moment: a statement that
// waits for no lock is in no deadlock with a unit. No fence is asked: a mark is
// removed only if it is one at that moment.
func (st *Store) sweep(ctx context.Context, shards []int32) (all bool, err error) {
	for range sweepMost {
		var swept int64
		f, err := st.run(ctx, &query{
			sql: st.sql.with(sweepSQL), args: []any{shards, int64(sweepRows)},
			row:      func(r pgx.Rows) error { return r.Scan(&swept) },
			harmless: true,
		})
		if err := st.harmlessError(ctx, f, err); err != nil {
			return false, err
		}
		if swept < sweepRows {
			return true, nil
		}
	}
	return false, nil
}

// sweepOne sweeps a shard for Maintain. More marks than a call may remove are left
// to the next.
func (st *Store) sweepOne(ctx context.Context, shard message.Shard) error {
	_, err := st.sweep(ctx, []int32{int32(shard)})
	return err
}
