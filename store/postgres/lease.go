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

// holding names a claim: of a node, to a shard.
type holding struct {
	node  string
	shard message.Shard
}

// Keep renews a node's lease, and returns all leases that are not over. When it
// finds that another server took over, it notes that first, see timeline.go.
func (st *Store) Keep(ctx context.Context, n store.Node) (store.Roster, error) {
	if err := st.markLosses(ctx); err != nil {
		return store.Roster{}, err
	}
	k, err := st.keep(ctx, n)
	if err == nil && k.promoted {
		if err = st.notePromotion(ctx); err == nil {
			k, err = st.keep(ctx, n)
		}
	}
	switch {
	case err != nil:
		return store.Roster{}, err
	case k.promoted: // and another one again
		return store.Roster{}, fmt.Errorf("keep a lease: %w: the database's servers take over from each other", store.ErrUnavailable)
	case !k.kept:
		return store.Roster{}, fmt.Errorf("keep a lease: %w", ErrRenewed)
	}
	return k.roster, nil
}

// keeping is what came of renewing a lease.
type keeping struct {
	roster   store.Roster
	kept     bool
	promoted bool // another server took over, and nobody has noted it; then it is not kept
}

// keep renews a lease. The others are read at the statement's beginning, without
// what it writes, so the node itself is added.
func (st *Store) keep(ctx context.Context, n store.Node) (keeping, error) {
	var k keeping
	err := st.lease(ctx, "keep a lease", &query{
		sql: `WITH kept AS (
			INSERT INTO {s}.semel_node (id, name, address, leaving, until)
			SELECT $1::text, $2::text, $3::text, $4::boolean, now() + $5::interval
			WHERE ` + sameStore + `$6::uuid AND ` + st.sameTimeline() + `)
			ON CONFLICT (id) DO UPDATE SET leaving = excluded.leaving, until = excluded.until
			RETURNING id
		)
		SELECT id, name, address, leaving, -1 AS shard FROM {s}.semel_node WHERE until > now() AND id <> $1::text
		UNION ALL
		SELECT holder, '', '', false, shard FROM {s}.semel_lease
		UNION ALL
		SELECT id, '', '', false, -2 FROM kept
		UNION ALL
		SELECT '', '', '', false, -3 FROM {s}.semel_store WHERE id = 1 AND NOT ` + st.sameTimeline(),
		args:  []any{n.ID, n.Name, n.Address, n.Leaving, st.opt.Lease, st.incarnationText()},
		begin: func() { k = keeping{roster: store.Roster{Nodes: []store.Node{n}, Holders: make([]string, st.shards)}} },
		row: func(r pgx.Rows) error {
			var n store.Node
			var shard int
			if err := r.Scan(&n.ID, &n.Name, &n.Address, &n.Leaving, &shard); err != nil {
				return err
			}
			switch {
			case shard == -3:
				k.promoted = true
			case shard == -2:
				k.kept = true
			case shard == -1:
				k.roster.Nodes = append(k.roster.Nodes, n)
			case shard < st.shards:
				k.roster.Holders[shard] = n.ID
			}
			return nil
		},
	})
	slices.SortFunc(k.roster.Nodes, func(a, b store.Node) int { return strings.Compare(a.ID, b.ID) })
	return k, err
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
			WHERE s.shard = k.shard AND s.era = k.era AND s.seq < k.seq AND ` + sameStore + `$4::uuid)`,
		args: []any{shards, eras, seqs, st.incarnationText()},
	})
}

// Claim makes the node the holder of a shard whose holder is nobody, itself, or a
// node whose lease is over. Of several that claim it at once one finds it free:
// the others wait for the row, and see it as it is then.
func (st *Store) Claim(ctx context.Context, node string, shard message.Shard) (c store.Claim, ok bool, err error) {
	if int(shard) >= st.shards {
		return c, false, fmt.Errorf("claim shard %d: the store has %d shards", shard, st.shards)
	}
	var term int64
	err = st.lease(ctx, "claim a shard", &query{
		sql: `WITH swept AS (
				DELETE FROM {s}.semel_node WHERE until < now() - interval '1 day' -- of those that never left in order
			)
			UPDATE {s}.semel_lease AS l SET holder = $1::text, term = term + 1, clean = clean AND holder IN ('', $1::text)
			WHERE shard = $2::integer AND (holder IN ('', $1::text)
				OR NOT EXISTS (SELECT 1 FROM {s}.semel_node AS n WHERE n.id = l.holder AND n.until > now()))
				AND ` + st.settledSQL() + `
			RETURNING clean, term`,
		args:  []any{node, int32(shard)},
		begin: func() { ok = false },
		row: func(r pgx.Rows) error {
			ok = true
			return r.Scan(&c.Clean, &term)
		},
	})
	if ok = ok && err == nil; ok {
		st.mu.Lock()
		st.terms[holding{node, shard}] = term
		st.mu.Unlock()
	}
	return c, ok, err
}

// Release gives a shard up that was claimed through this store. It is of the last
// claim alone: the first try of one whose answer was lost may come to the server
// after the node has claimed the shard again. A claim whose answer was lost is not
// given up by it either; the roster shows that the node holds the shard still.
func (st *Store) Release(ctx context.Context, node string, shard message.Shard, clean bool) error {
	st.mu.Lock()
	term := st.terms[holding{node, shard}]
	st.mu.Unlock()
	return st.lease(ctx, "release a shard", &query{
		sql:  "UPDATE {s}.semel_lease SET holder = '', clean = $3::boolean WHERE shard = $2::integer AND holder = $1::text AND term = $4::bigint",
		args: []any{node, int32(shard), clean, term},
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
	q.sql, q.harmless, q.pool = st.sql.with(q.sql), true, st.leases
	f, err := st.run(ctx, q)
	if err := st.harmlessError(ctx, f, err); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
