package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/message"
)

// Glance returns a row of each shard, nil where there is none, as it was some
// time after the call began. It takes no shard from its owner, and what it
// returns may be changed already.
func (st *Store) Glance(ctx context.Context, k message.RowKey) ([][]byte, error) {
	if err := st.enter(); err != nil {
		return nil, err
	}
	defer st.leave()
	values := make([][]byte, st.shards)
	f, err := st.run(ctx, &query{
		sql:   st.sql.with("SELECT shard, value FROM {s}.semel_row WHERE shard < $1::integer AND tbl = $2::smallint AND key = $3::bytea AND NOT gone"),
		args:  []any{int32(st.shards), int16(k.Table), k.Key},
		begin: func() { clear(values) },
		row: func(r pgx.Rows) error {
			var shard int32
			var value []byte
			err := r.Scan(&shard, &value)
			if err == nil {
				values[shard] = value
			}
			return err
		},
		harmless: true,
	})
	return values, st.harmlessError(ctx, f, err)
}
