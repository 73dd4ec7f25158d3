package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// upkeep remembers what a session has had removed, so that a call with nothing to
// do costs little. The next session looks again: a failover may have brought back
// what was removed.
type upkeep struct {
	dropped message.Generation
	purged  map[outbox]uint64
}

// Maintain forgets dedup generations, consumed messages, and the marks that
// deleted rows left behind, in statements of few rows each. It does so on the word
// of the session that gave leave, and each statement makes sure that the shard is
// that session's still, with all of its units: after a failover of the database,
// the bounds of a session of before are beyond what the database has. A shard
// whose session is not open here, or is another by now, is left to whoever has it.
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
	s := st.consenting(r)
	if s == nil {
		return nil
	}
	if err := s.maintain(ctx, r); err != nil {
		return fmt.Errorf("maintain shard %d: %w", r.Shard, err)
	}
	return nil
}

// consenting is the session that gave leave, if it is open. Within a process no
// two sessions of a shard have the same epoch.
func (st *Store) consenting(r store.Retention) *session {
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.sessions[r.Shard]
	if s == nil || r.Epoch != 0 && r.Epoch != s.version.Epoch {
		return nil
	}
	return s
}

func (s *session) maintain(ctx context.Context, r store.Retention) error {
	if err := s.forget(ctx, r.Below); err != nil {
		return err
	}
	for _, c := range r.Consumed {
		if err := s.purge(ctx, outbox{from: c.Source, to: s.shard}, c.Position); err != nil {
			return err
		}
	}
	return s.store.sweepOne(ctx, s.shard)
}

const forgetSQL = `advanced AS (
	UPDATE {s}.semel_retention SET below = $4::bigint WHERE shard = $1::integer AND below < $4::bigint AND EXISTS (SELECT 1 FROM fence)
)`

// forget advances the shard's bound, and drops what is below every shard's.
func (s *session) forget(ctx context.Context, below message.Generation) error {
	s.mu.Lock()
	known := s.upkeep.dropped
	s.mu.Unlock()
	if below <= known {
		return nil
	}
	if fenced, err := s.onBehalf(ctx, forgetSQL, int64(below)); err != nil || fenced {
		return err
	}
	if err := s.store.dropGenerations(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.upkeep.dropped = max(s.upkeep.dropped, below)
	return nil
}

// dropGenerations drops the tables that every shard has done with.
func (st *Store) dropGenerations(ctx context.Context) error {
	var below int64
	f, err := st.run(ctx, &query{
		sql:      st.sql.with(belowSQL),
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

const belowSQL = "SELECT min(below) FROM {s}.semel_retention"

// dropGeneration drops a table unless somebody is at it, as a dump of the
// database may be for hours: then a later call does. The same transaction sees
// that every shard has done with it: the database may be another one than it was
// when the tables were listed, with bounds that went back.
func (st *Store) dropGeneration(ctx context.Context, gen message.Generation) error {
	limited, cancel := context.WithTimeout(ctx, st.opt.Patience)
	defer cancel()
	c, err := st.pool.Acquire(limited)
	if err == nil {
		defer c.Release()
		err = pgx.BeginFunc(limited, c, func(tx pgx.Tx) error {
			var below int64
			if err := tx.QueryRow(limited, st.sql.with(belowSQL)).Scan(&below); err != nil || below <= int64(gen) {
				return err
			}
			if _, err := tx.Exec(limited, "SET LOCAL lock_timeout = '1s'"); err != nil {
				return err
			}
			_, err := tx.Exec(limited, fmt.Sprintf("DROP TABLE IF EXISTS %s.%s%d", st.opt.Schema, dedupName, gen))
			return err
		})
	}
	var said *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &said) && (said.Code == noLock || again(said) || racing(err)):
		return nil
	}
	return unreachable(err)
}
