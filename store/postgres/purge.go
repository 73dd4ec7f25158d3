package postgres

import (
	"context"
	"encoding/binary"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/message"
)

// outbox names the messages of one shard for another.
type outbox struct{ from, to message.Shard }

// consumer begins a statement that removes what a shard has done with. Its row is
// there as long as the session that says so has the shard, with every unit that
// was acknowledged to it: those say what is done with. A database that went back in
// time has messages that are needed again, or will be given others of the same
// numbers.
//
// The messages are of another shard, the source, whose fence is not asked. One log
// has both shards, so a database that has the unit by which a message was consumed
// has the one by which it was sent; and if the source is marked for units that it
// lost, those came after.
const consumer = `WITH fence AS (
	SELECT 1 FROM {s}.semel_shard WHERE shard = $1::integer AND session = $2::uuid AND seq >= $3::bigint AND lost <= seq
), `

// consumerArgs are $1 to $3, and what follows.
func (s *session) consumerArgs(more ...any) []any {
	return append([]any{int32(s.shard), s.token, int64(s.seen())}, more...)
}

// onBehalf runs a statement that begins with consumer and ends with whether the
// fence was the session's. It may be repeated.
func (s *session) onBehalf(ctx context.Context, sql string, more ...any) (fenced bool, err error) {
	mine := false
	f, err := s.store.run(ctx, &query{
		sql: s.store.sql.with(consumer + sql + ` SELECT EXISTS (SELECT 1 FROM fence)`), args: s.consumerArgs(more...),
		begin:    func() { mine = false },
		row:      func(r pgx.Rows) error { return r.Scan(&mine) },
		harmless: true,
	})
	return !mine, s.store.harmlessError(ctx, f, err)
}

const purgeSQL = `purged AS (
	DELETE FROM {s}.semel_row
	WHERE shard = $4::integer AND tbl = $5::smallint AND key >= $6::bytea AND key <= $7::bytea AND EXISTS (SELECT 1 FROM fence)
)`

// purge deletes the messages that the session's shard has consumed of an outbox,
// up to a position. A session that lost the shard deletes nothing.
func (s *session) purge(ctx context.Context, o outbox, position uint64) error {
	s.mu.Lock()
	last, known := s.upkeep.purged[o]
	s.mu.Unlock()
	if position <= last {
		return nil
	}
	if !known {
		first, err := s.store.firstMessage(ctx, o, position)
		if err != nil {
			return err
		}
		last = first - 1
	}
	for last < position {
		to := min(position, last+sweepRows)
		if to < last { // beyond the last position there is
			to = position
		}
		fenced, err := s.onBehalf(ctx, purgeSQL, int32(o.from), int16(message.TableOutbox), outboxKey(o.to, last+1), outboxKey(o.to, to))
		if err != nil || fenced {
			return err
		}
		last = to
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.upkeep.purged == nil {
		s.upkeep.purged = make(map[outbox]uint64)
	}
	s.upkeep.purged[o] = max(s.upkeep.purged[o], position)
	return nil
}

// firstMessage is the first position of an outbox up to a position, or the one
// after that when there is none.
func (st *Store) firstMessage(ctx context.Context, o outbox, position uint64) (uint64, error) {
	first := position + 1
	f, err := st.run(ctx, &query{
		sql: st.sql.with(`SELECT key FROM {s}.semel_row
			WHERE shard = $1::integer AND tbl = $2::smallint AND key >= $3::bytea AND key <= $4::bytea ORDER BY key LIMIT 1`),
		args:  []any{int32(o.from), int16(message.TableOutbox), outboxKey(o.to, 0), outboxKey(o.to, position)},
		begin: func() { first = position + 1 },
		row: func(r pgx.Rows) error {
			var key []byte
			if err := r.Scan(&key); err != nil {
				return err
			}
			if len(key) == outboxKeyLen {
				first = binary.BigEndian.Uint64(key[2:])
			}
			return nil
		},
		harmless: true,
	})
	return first, st.harmlessError(ctx, f, err)
}
