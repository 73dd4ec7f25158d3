package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

var (
	_ store.PartOpener = opener{}
	_ store.Part       = (*Store)(nil)
)

// errPart says that a database is not the whole store.
var errPart = errors.New("it is a part of a store that is divided among several databases, and is not opened by itself: name all of them")

// OpenPart opens the database as a part of a divided store.
func (o opener) OpenPart(ctx context.Context, holds []message.Shard) (store.Part, error) {
	st, err := o.openAny(ctx)
	if err != nil {
		return nil, err
	}
	st.holds = holds
	return st, nil
}

// readCharter reads the charter under which this process has the store open.
func (st *Store) readCharter(ctx context.Context) error {
	charter, err := st.askCharter(ctx)
	st.charter = charter
	return err
}

func (st *Store) askCharter(ctx context.Context) (charter []byte, err error) {
	f, err := st.run(ctx, &query{
		sql:      st.sql.with("SELECT charter FROM {s}.semel_store WHERE id = 1"),
		begin:    func() { charter = nil },
		row:      func(r pgx.Rows) error { return r.Scan(&charter) },
		harmless: true,
	})
	return charter, st.harmlessError(ctx, f, err)
}

// underCharter returns the charter of this process, which a shard's fence compares
// when a session is opened.
func (st *Store) underCharter() []byte {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.charter
}

// Charter is the record by which the parts of a divided store know each other.
func (st *Store) Charter(ctx context.Context) ([]byte, error) {
	if err := st.enter(); err != nil {
		return nil, fmt.Errorf("read the charter: %w", err)
	}
	defer st.leave()
	charter, err := st.askCharter(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the charter: %w", err)
	}
	return charter, nil
}

// grantSQL changes the charter, ends all sessions, and has the dedup log wait for
// the shards that are here alone: those of other parts never forget anything, and
// no generation would be dropped. A shard that comes later has forgotten nothing.
const grantSQL = `WITH granted AS (
	UPDATE {s}.semel_store SET charter = $2::bytea
	WHERE id = 1 AND charter IS NOT DISTINCT FROM $1::bytea AND NOT EXISTS (SELECT 1 FROM {s}.semel_node WHERE until > now())
	RETURNING id
), fences AS (
	UPDATE {s}.semel_shard SET epoch = epoch + 1, session = NULL FROM granted WHERE session IS NOT NULL
), elsewhere AS (
	DELETE FROM {s}.semel_retention WHERE shard <> ALL($3::integer[]) AND EXISTS (SELECT 1 FROM granted)
), here AS (
	INSERT INTO {s}.semel_retention (shard) SELECT n FROM granted, unnest($3::integer[]) AS n ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT 1 FROM granted), EXISTS (SELECT 1 FROM {s}.semel_node WHERE until > now()),
	(SELECT charter IS NOT DISTINCT FROM $1::bytea FROM {s}.semel_store WHERE id = 1)`

// Grant replaces the charter. If its answer is lost it may have been done: it is
// then asked for, once more, by what is there.
func (st *Store) Grant(ctx context.Context, was, is []byte) (bool, error) {
	if err := st.enter(); err != nil {
		return false, fmt.Errorf("change the charter: %w", err)
	}
	defer st.leave()
	var holds []int32
	for _, s := range st.holds {
		holds = append(holds, int32(s))
	}
	var granted, used, same bool
	f, err := st.run(ctx, &query{
		sql: st.sql.with(grantSQL), args: []any{was, is, holds},
		row:      func(r pgx.Rows) error { return r.Scan(&granted, &used, &same) },
		harmless: true,
	})
	if err := st.harmlessError(ctx, f, err); err != nil {
		return false, fmt.Errorf("change the charter: %w", err)
	}
	if !granted { // as when an earlier try was made, and its answer lost
		now, err := st.askCharter(ctx)
		if err != nil {
			return false, fmt.Errorf("change the charter: %w", err)
		}
		granted = bytes.Equal(now, is) && !bytes.Equal(was, is)
	}
	if granted {
		st.mu.Lock()
		defer st.mu.Unlock()
		st.charter = is
		return true, nil
	}
	if same && used {
		return false, fmt.Errorf("change the charter: %w: nodes have leases of it; stop them", store.ErrLocked)
	}
	return false, nil
}

// Used are the shards that have units.
func (st *Store) Used(ctx context.Context) (used []message.Shard, err error) {
	if err := st.enter(); err != nil {
		return nil, fmt.Errorf("look for used shards: %w", err)
	}
	defer st.leave()
	f, err := st.run(ctx, &query{
		sql:   st.sql.with("SELECT shard FROM {s}.semel_shard WHERE seq > 0 ORDER BY shard"),
		begin: func() { used = nil },
		row: func(r pgx.Rows) error {
			var shard int32
			err := r.Scan(&shard)
			used = append(used, message.Shard(shard))
			return err
		},
		harmless: true,
	})
	if err := st.harmlessError(ctx, f, err); err != nil {
		return nil, fmt.Errorf("look for used shards: %w", err)
	}
	return used, nil
}
