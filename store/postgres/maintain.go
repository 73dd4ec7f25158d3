package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// upkeep remembers what was removed, so that a call with nothing to do costs
// little. It is forgotten with the process; removing again is harmless.
type upkeep struct {
	mu      sync.Mutex
	dropped map[message.Shard]message.Generation
	purged  map[outbox]uint64
}

// forget makes the next calls for a shard look again: a failover may have brought
// back what was removed.
func (up *upkeep) forget(shard message.Shard) {
	up.mu.Lock()
	defer up.mu.Unlock()
	delete(up.dropped, shard)
	for o := range up.purged {
		if o.to == shard {
			delete(up.purged, o)
		}
	}
}

// outbox names the messages of one shard for another.
type outbox struct{ from, to message.Shard }

// Maintain forgets dedup generations, consumed messages, and the marks that
// deleted rows left behind, in statements of few rows each. No fence is asked:
// what is forgotten is below bounds that only grow, whoever names them, and a
// mark is removed only if it is one at that moment. An asynchronous failover sets
// bounds back, and a purge of before it may then remove what is needed again: the
// guide says to stop the nodes first.
func (st *Store) Maintain(ctx context.Context, r store.Retention) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if int(r.Shard) >= st.shards {
		return fmt.Errorf("maintain shard %d: the store has %d shards", r.Shard, st.shards)
	}
	for _, c := range r.Consumed {
		if int(c.Source) >= st.shards {
			return fmt.Errorf("maintain shard %d: there is no source shard %d", r.Shard, c.Source)
		}
	}
	if err := st.enter(); err != nil {
		return fmt.Errorf("maintain shard %d: %w", r.Shard, err)
	}
	defer st.leave()
	if err := st.maintain(ctx, r); err != nil {
		return fmt.Errorf("maintain shard %d: %w", r.Shard, err)
	}
	return nil
}

func (st *Store) maintain(ctx context.Context, r store.Retention) error {
	if err := st.forget(ctx, r.Shard, r.Below); err != nil {
		return err
	}
	for _, c := range r.Consumed {
		if err := st.purge(ctx, outbox{from: c.Source, to: r.Shard}, c.Position); err != nil {
			return err
		}
	}
	return st.sweep(ctx, r.Shard)
}

// forget advances the shard's bound, and drops what is below every shard's.
func (st *Store) forget(ctx context.Context, shard message.Shard, below message.Generation) error {
	up := &st.upkeep
	up.mu.Lock()
	known := up.dropped[shard]
	up.mu.Unlock()
	if below <= known {
		return nil
	}
	if err := st.exec(ctx, st.sql.with("UPDATE {s}.semel_retention SET below = $2::bigint WHERE shard = $1::integer AND below < $2::bigint"), int32(shard), int64(below)); err != nil {
		return err
	}
	if err := st.dropGenerations(ctx); err != nil {
		return err
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	if up.dropped == nil {
		up.dropped = make(map[message.Shard]message.Generation)
	}
	up.dropped[shard] = max(up.dropped[shard], below)
	return nil
}

// dropGenerations drops the tables that every shard has done with.
func (st *Store) dropGenerations(ctx context.Context) error {
	var below int64
	f, err := st.run(ctx, &query{
		sql:      st.sql.with("SELECT min(below) FROM {s}.semel_retention"),
		row:      func(r pgx.Rows) error { return r.Scan(&below) },
		harmless: true,
	})
	if err := st.harmlessError(ctx, f, err); err != nil || below == 0 {
		return err
	}
	gens, err := st.listGenerations(ctx)
	if err != nil {
		return err
	}
	for _, gen := range gens {
		if int64(gen) >= below {
			continue
		}
		if err := st.dropGeneration(ctx, gen); err != nil {
			return err
		}
		st.forgetGenerations([]message.Generation{gen})
	}
	return nil
}

// dropGeneration drops a table unless somebody is at it, as a dump of the
// database may be for hours: then a later call does.
func (st *Store) dropGeneration(ctx context.Context, gen message.Generation) error {
	c, err := st.pool.Acquire(ctx)
	if err != nil {
		return unreachable(err)
	}
	defer c.Release()
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '1s'"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, fmt.Sprintf("DROP TABLE IF EXISTS %s.%s%d", st.opt.Schema, dedupName, gen))
		return err
	})
	var said *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &said) && (said.Code == "55P03" || again(said) || racing(err)):
		return nil
	}
	return unreachable(err)
}

const purgeSQL = `DELETE FROM {s}.semel_row
WHERE shard = $1::integer AND tbl = $2::smallint AND key >= $3::bytea AND key <= $4::bytea`

// purge deletes the messages of an outbox up to a position.
func (st *Store) purge(ctx context.Context, o outbox, position uint64) error {
	up := &st.upkeep
	up.mu.Lock()
	last, known := up.purged[o]
	up.mu.Unlock()
	if position <= last {
		return nil
	}
	if !known {
		first, err := st.firstMessage(ctx, o, position)
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
		if err := st.exec(ctx, st.sql.with(purgeSQL),
			int32(o.from), int16(message.TableOutbox), outboxKey(o.to, last+1), outboxKey(o.to, to)); err != nil {
			return err
		}
		last = to
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	if up.purged == nil {
		up.purged = make(map[outbox]uint64)
	}
	up.purged[o] = max(up.purged[o], position)
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
