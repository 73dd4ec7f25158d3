package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// A shard of another part reads an outbox here and commits there, so nothing of it
// falls with this database. In one database a reader's unit follows the sender's in
// one log, and no failover keeps the first without the second. Here that is made
// up for in two ways:
//
//  1. Reading writes how far it has come (semel_given), in one statement. Its commit
//     follows in the log whatever was read, and waits for the synchronous standby as
//     a unit does: a message of a unit that a crashed primary had still to replicate
//     is not given before it is replicated.
//  2. What is written is never behind a reader's cursor, unless the database went
//     back in time: perhaps to before anything was written, so that nothing is as
//     much as 0. Then the source's shard is marked as lost: its node would give the
//     numbers of lost messages to others, which the reader would pass over. When a
//     person has accepted that, a row for anybody has readers taken at their word.

// givenSQL is how far the source $1 was given to the reader $2.
const givenSQL = `COALESCE((SELECT position FROM {s}.semel_given WHERE source = $1::integer AND reader = $2::integer),
	(SELECT position FROM {s}.semel_given WHERE source = $1::integer AND reader = -1), 0)`

const outboxSQL = `WITH given AS (
	SELECT ` + givenSQL + ` AS position
), found AS (
	SELECT key, value FROM {s}.semel_row
	WHERE shard = $1::integer AND tbl = $4::smallint AND key >= $5::bytea AND key < $6::bytea AND NOT gone ORDER BY key LIMIT $7::bigint
), noted AS (
	INSERT INTO {s}.semel_given AS g (source, reader, position)
	SELECT $1::integer, $2::integer, $3::bigint + count(*) FROM found
	WHERE NOT EXISTS (SELECT 1 FROM given WHERE position < $3::bigint) HAVING count(*) > 0
	ON CONFLICT (source, reader) DO UPDATE SET position = GREATEST(g.position, excluded.position)
)
SELECT s.epoch, s.seq, s.era, s.lost, EXISTS (SELECT 1 FROM given WHERE position < $3::bigint), f.key, f.value
FROM {s}.semel_shard s LEFT JOIN found f ON true WHERE s.shard = $1::integer ORDER BY f.key`

// Outbox returns what a shard sent to one of another part.
func (st *Store) Outbox(ctx context.Context, reader message.Shard, from message.Cursor, max int) ([]message.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if int(from.Source) >= st.shards {
		return nil, fmt.Errorf("outbox of shard %d: the store has %d shards", from.Source, st.shards)
	}
	if err := st.enter(); err != nil {
		return nil, fmt.Errorf("outbox of shard %d: %w", from.Source, err)
	}
	defer st.leave()
	if max <= 0 || from.Position >= 1<<63-1 {
		return nil, nil
	}
	out, err := st.give(ctx, outbox{from: from.Source, to: reader}, from.Position, max)
	if err != nil {
		return nil, fmt.Errorf("outbox of shard %d for shard %d: %w", from.Source, reader, err)
	}
	return out, nil
}

func (st *Store) give(ctx context.Context, o outbox, position uint64, max int) ([]message.Delivery, error) {
	var out []message.Delivery
	var epoch, seq, era, lost int64
	var behind, here bool
	var gap error
	f, err := st.run(ctx, &query{
		sql: st.sql.with(outboxSQL),
		args: []any{int32(o.from), int32(o.to), int64(position), int16(message.TableOutbox),
			outboxKey(o.to, position+1), append(outboxKey(o.to, ^uint64(0)), 0), int64(max)},
		begin: func() { out, gap, here = nil, nil, false },
		row: func(r pgx.Rows) error {
			var key, value []byte
			here = true
			if err := r.Scan(&epoch, &seq, &era, &lost, &behind, &key, &value); err != nil || key == nil || gap != nil {
				return err
			}
			next := position + uint64(len(out)) + 1
			if len(key) != outboxKeyLen || binary.BigEndian.Uint64(key[2:]) != next {
				gap = fmt.Errorf("%w: position %d is missing; the next row is %x", store.ErrCorrupt, next, key)
				return nil
			}
			out = append(out, message.Delivery{Source: o.from, Position: next, Data: value})
			return nil
		},
		harmless: true,
	})
	switch err := st.harmlessError(ctx, f, err); {
	case err != nil:
		return nil, err
	case !here:
		return nil, fmt.Errorf("%w: table semel_shard has no row for the shard", store.ErrCorrupt)
	case lost > seq:
		return nil, &store.LostError{Shard: o.from, Had: message.Seq(lost), Has: message.Seq(seq)}
	case behind:
		return nil, st.setBack(ctx, o, position)
	case gap != nil:
		return nil, gap
	}
	if len(out) > 0 { // and so it is as safe as what was acknowledged
		st.remember(o.from, remembered{era: era, epoch: message.Epoch(epoch), seq: message.Seq(seq)})
	}
	return out, nil
}

// setBack marks a shard that has given a reader less than the reader has. How many
// units are gone nobody knows: one at least.
func (st *Store) setBack(ctx context.Context, o outbox, position uint64) error {
	err := st.exec(ctx, st.sql.with(`UPDATE {s}.semel_shard SET lost = GREATEST(lost, seq + 1), session = NULL
		WHERE shard = $1::integer AND `+givenSQL+` < $3::bigint AND `+sameStore+`$4::uuid)`),
		int32(o.from), int32(o.to), int64(position), st.incarnationText())
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: it has given up to %d, and now it has less", store.ErrLost, position)
}

// forgetGiven has the readers of a shard that is marked as lost taken at their word
// again, once a person has accepted the loss.
func (st *Store) forgetGiven(ctx context.Context, shard message.Shard) error {
	const gone = " WHERE shard = $1::integer AND lost > seq"
	if err := st.exec(ctx, st.sql.with(takenAtTheirWord+gone+" ON CONFLICT DO NOTHING"), int32(shard)); err != nil {
		return err
	}
	return st.exec(ctx, st.sql.with("DELETE FROM {s}.semel_given WHERE source = $1::integer AND reader >= 0 AND EXISTS (SELECT 1 FROM {s}.semel_shard"+gone+")"), int32(shard))
}

// takenAtTheirWord begins the statement that has readers of shards that have no row
// of their own taken at their word.
const takenAtTheirWord = "INSERT INTO {s}.semel_given (source, reader, position) SELECT shard, -1, 9223372036854775807 FROM {s}.semel_shard"

// consumedRows is how many messages one statement removes.
const consumedRows = 1000

// consumed remembers what was removed for readers of other parts, so that the dead
// entries of the index before it are not gone through again.
type consumed struct {
	mu sync.Mutex
	to map[outbox]uint64
}

// Consumed removes the messages that a shard of another part has consumed.
func (st *Store) Consumed(ctx context.Context, reader message.Shard, upTo message.Cursor) error {
	if int(upTo.Source) >= st.shards {
		return fmt.Errorf("outbox of shard %d: the store has %d shards", upTo.Source, st.shards)
	}
	if err := st.enter(); err != nil {
		return fmt.Errorf("outbox of shard %d: %w", upTo.Source, err)
	}
	defer st.leave()
	o := outbox{from: upTo.Source, to: reader}
	c := &st.consumed
	c.mu.Lock()
	last := c.to[o]
	c.mu.Unlock()
	for more := upTo.Position > last; more; {
		more = false
		f, err := st.run(ctx, &query{
			sql: st.sql.with(`WITH batch AS (
				SELECT shard, tbl, key FROM {s}.semel_row
				WHERE shard = $1::integer AND tbl = $2::smallint AND key >= $3::bytea AND key <= $4::bytea ORDER BY key LIMIT $5::bigint
			), removed AS (
				DELETE FROM {s}.semel_row AS r USING batch AS b WHERE r.shard = b.shard AND r.tbl = b.tbl AND r.key = b.key
			) SELECT count(*) = $5::bigint FROM batch`),
			args: []any{int32(o.from), int16(message.TableOutbox), outboxKey(o.to, last+1), outboxKey(o.to, upTo.Position), int64(consumedRows)},
			row:  func(r pgx.Rows) error { return r.Scan(&more) }, harmless: true,
		})
		if err := st.harmlessError(ctx, f, err); err != nil {
			return fmt.Errorf("remove what shard %d consumed of shard %d: %w", reader, upTo.Source, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.to == nil {
		c.to = make(map[outbox]uint64)
	}
	c.to[o] = max(c.to[o], upTo.Position)
	return nil
}
