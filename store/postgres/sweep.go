package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/message"
)

// sweepRows is how many rows one statement removes: few enough that a unit that
// meets it waits milliseconds.
const sweepRows = 1000

// sweepMost is how many such statements a call makes for the marks of deleted
// rows, which go on coming.
const sweepMost = 100

// sweepAt is how many rows a shard's units delete until they are swept. The
// engine lets go of generations and messages seldom, and not every shard has
// messages; but effects and timers come and go all the time.
const sweepAt = 4 * sweepRows

// sweepAfter counts what a unit has deleted, and begins a sweep beside the units
// when it is much. Close does not wait for it longer than for a statement. If it
// fails, nothing is lost: it is made again, at the latest by Maintain.
func (s *session) sweepAfter(ch *changes) {
	n := len(ch.bounded) + len(ch.endless)
	for _, value := range ch.values {
		if value == nil {
			n++
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks += n
	if s.marks < sweepAt || s.swept || s.store.enter() != nil {
		return
	}
	s.marks, s.swept = 0, true
	go func() {
		defer s.store.leave()
		_ = s.store.sweep(s.store.sweeping, s.shard)
		s.mu.Lock()
		s.swept = false
		s.mu.Unlock()
	}()
}

const sweepSQL = `WITH swept AS (
	DELETE FROM {s}.semel_row WHERE shard = $1::integer AND gone AND (tbl, key) IN (
		SELECT tbl, key FROM {s}.semel_row WHERE shard = $1::integer AND gone LIMIT $2::bigint FOR UPDATE SKIP LOCKED)
	RETURNING 1
) SELECT count(*) FROM swept`

// sweep removes the marks of deleted rows. It passes by those that a unit is
// putting back at the moment: a statement that waits for no lock is in no deadlock
// with a unit.
func (st *Store) sweep(ctx context.Context, shard message.Shard) error {
	for range sweepMost {
		var swept int64
		f, err := st.run(ctx, &query{
			sql: st.sql.with(sweepSQL), args: []any{int32(shard), int64(sweepRows)},
			row:      func(r pgx.Rows) error { return r.Scan(&swept) },
			harmless: true,
		})
		if err := st.harmlessError(ctx, f, err); err != nil {
			return err
		}
		if swept == 0 {
			return nil
		}
	}
	return nil
}
