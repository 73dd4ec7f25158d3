package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

var _ store.Leaser = (*Store)(nil)

// Keep renews a node's lease, and returns all leases that are not over. They are
// read at the statement's beginning, without what it writes, so the node itself
// is added.
func (st *Store) Keep(ctx context.Context, n store.Node) (store.Roster, error) {
	if err := st.markLosses(ctx); err != nil {
		return store.Roster{}, err
	}
	roster := store.Roster{Nodes: []store.Node{n}, Holders: make([]string, st.shards)}
	err := st.lease(ctx, "keep a lease", &query{
		sql: `WITH kept AS (
			INSERT INTO {s}.semel_node (id, name, address, leaving, until) VALUES ($1::text, $2::text, $3::text, $4::boolean, now() + $5::interval)
			ON CONFLICT (id) DO UPDATE SET leaving = excluded.leaving, until = excluded.until
			RETURNING id
		)
		SELECT id, name, address, leaving, -1 AS shard FROM {s}.semel_node WHERE until > now() AND id <> (SELECT id FROM kept)
		UNION ALL
		SELECT holder, '', '', false, shard FROM {s}.semel_lease`,
		args:  []any{n.ID, n.Name, n.Address, n.Leaving, st.opt.Lease},
		begin: func() { roster.Nodes = roster.Nodes[:1] },
		row: func(r pgx.Rows) error {
			var n store.Node
			var shard int
			if err := r.Scan(&n.ID, &n.Name, &n.Address, &n.Leaving, &shard); err != nil {
				return err
			}
			switch {
			case shard < 0:
				roster.Nodes = append(roster.Nodes, n)
			case shard < st.shards:
				roster.Holders[shard] = n.ID
			}
			return nil
		},
	})
	slices.SortFunc(roster.Nodes, func(a, b store.Node) int { return strings.Compare(a.ID, b.ID) })
	return roster, err
}

// markLosses marks shards whose rows are behind what this node remembers, whoever
// has them now: after a failover another node may be the first to open them.
func (st *Store) markLosses(ctx context.Context) error {
	var shards []int32
	var eras, seqs []int64
	st.mu.Lock()
	for shard, k := range st.known {
		shards, eras, seqs = append(shards, int32(shard)), append(eras, k.era), append(seqs, int64(k.seq))
	}
	st.mu.Unlock()
	if len(shards) == 0 {
		return nil
	}
	return st.lease(ctx, "look for losses", &query{
		sql: `UPDATE {s}.semel_shard AS s SET lost = GREATEST(s.lost, k.seq)
			FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS k(shard, era, seq)
			WHERE s.shard = k.shard AND s.era = k.era AND s.seq < k.seq`,
		args: []any{shards, eras, seqs},
	})
}

// Claim makes the node the holder of a shard whose holder is nobody, itself, or a
// node whose lease is over. Of several that claim it at once one finds it free:
// the others wait for the row, and see it as it is then.
func (st *Store) Claim(ctx context.Context, node string, shard message.Shard) (c store.Claim, ok bool, err error) {
	if int(shard) >= st.shards {
		return c, false, fmt.Errorf("claim shard %d: the store has %d shards", shard, st.shards)
	}
	err = st.lease(ctx, "claim a shard", &query{
		sql: `WITH swept AS (
				DELETE FROM {s}.semel_node WHERE until < now() - interval '1 day' -- of those that never left in order
			)
			UPDATE {s}.semel_lease AS l SET holder = $1::text, clean = clean AND holder IN ('', $1::text)
			WHERE shard = $2::integer AND (holder IN ('', $1::text)
				OR NOT EXISTS (SELECT 1 FROM {s}.semel_node AS n WHERE n.id = l.holder AND n.until > now()))
			RETURNING clean`,
		args:  []any{node, int32(shard)},
		begin: func() { ok = false },
		row: func(r pgx.Rows) error {
			ok = true
			return r.Scan(&c.Clean)
		},
	})
	return c, ok && err == nil, err
}

// Release gives a shard up.
func (st *Store) Release(ctx context.Context, node string, shard message.Shard, clean bool) error {
	return st.lease(ctx, "release a shard", &query{
		sql:  "UPDATE {s}.semel_lease SET holder = '', clean = $3::boolean WHERE shard = $2::integer AND holder = $1::text",
		args: []any{node, int32(shard), clean},
	})
}

// Leave ends a node's lease.
func (st *Store) Leave(ctx context.Context, node string) error {
	return st.lease(ctx, "end a lease", &query{
		sql: `WITH left_ AS (
			UPDATE {s}.semel_lease SET holder = '', clean = false WHERE holder = $1::text
		)
		DELETE FROM {s}.semel_node WHERE id = $1::text`,
		args: []any{node},
	})
}

// lease runs one of these statements. All may be repeated.
func (st *Store) lease(ctx context.Context, what string, q *query) error {
	if err := st.enter(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer st.leave()
	q.sql, q.harmless = st.sql.with(q.sql), true
	f, err := st.run(ctx, q)
	if err := st.harmlessError(ctx, f, err); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
