package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/message"
)

// open opens the store, and makes it if it is not there.
func open(ctx context.Context, dsn string, opt Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	pool, err := connect(dsn, opt)
	if err != nil {
		return nil, err
	}
	leases, err := connectLeases(dsn, opt)
	if err != nil {
		pool.Close()
		return nil, err
	}
	st := &Store{
		opt: opt, pool: pool, leases: leases, sql: newSQL(opt.Schema), full: make(chan struct{}, 1),
		known:    make(map[message.Shard]remembered),
		sessions: make(map[message.Shard]*session),
		terms:    make(map[holding]int64),
	}
	st.sweeping, st.stop = context.WithCancel(context.Background())
	if err := st.begin(ctx); err != nil {
		st.stop()
		pool.Close()
		leases.Close()
		return nil, err
	}
	st.running.Add(1)
	go st.keepSwept()
	return st, nil
}

func (st *Store) begin(ctx context.Context) error {
	if err := st.migrate(ctx); err != nil {
		return err
	}
	if err := st.findTimeline(ctx); err != nil {
		return err
	}
	if err := st.load(ctx); err != nil {
		return err
	}
	if st.shards == 0 && st.opt.Existing {
		return st.noStore()
	}
	if st.shards == 0 {
		if err := st.create(ctx); err != nil {
			return err
		}
		if err := st.load(ctx); err != nil {
			return err
		}
	}
	if err := st.readCharter(ctx); err != nil {
		return err
	}
	if st.opt.Shards != 0 && st.opt.Shards != st.shards {
		return fmt.Errorf("the store in schema %s has %d shards, and the options ask for %d: leave the number out", st.opt.Schema, st.shards, st.opt.Shards)
	}
	return nil
}

func (st *Store) noStore() error {
	return fmt.Errorf("%w in schema %s", ErrNoStore, st.opt.Schema)
}

// load reads what the store is; st.shards stays 0 if there is none.
func (st *Store) load(ctx context.Context) error {
	var held int64
	f, err := st.run(ctx, &query{
		sql: st.sql.with("SELECT incarnation::text, shards, (SELECT count(*) FROM {s}.semel_shard WHERE held) FROM {s}.semel_store WHERE id = 1"),
		row: func(r pgx.Rows) error {
			var inc string
			if err := r.Scan(&inc, &st.shards, &held); err != nil {
				return err
			}
			parsed, err := uuid.Parse(inc)
			st.incarnation = message.Incarnation(parsed)
			return err
		},
		harmless: true,
	})
	st.clean = held == 0
	return st.harmlessError(ctx, f, err)
}

// create makes a new store's rows. When several nodes do it at once, one does:
// the others' statements wait for the row of semel_store, and then do nothing.
func (st *Store) create(ctx context.Context) error {
	shards := st.opt.Shards
	if shards == 0 {
		shards = DefaultShards
	}
	return st.exec(ctx, st.sql.with(`WITH made AS (
		INSERT INTO {s}.semel_store (id, incarnation, shards, timeline) VALUES (1, $1::uuid, $2::integer, `+st.timeline+`) ON CONFLICT DO NOTHING RETURNING shards
	), fences AS (
		INSERT INTO {s}.semel_shard (shard) SELECT n FROM made, generate_series(0, shards - 1) AS n
	), leases AS (
		INSERT INTO {s}.semel_lease (shard) SELECT n FROM made, generate_series(0, shards - 1) AS n
	) INSERT INTO {s}.semel_retention (shard) SELECT n FROM made, generate_series(0, shards - 1) AS n`), uuid.NewString(), int32(shards))
}
