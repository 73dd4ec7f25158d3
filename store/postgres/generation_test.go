package postgres

import (
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Three nodes come to a generation at once while a fourth makes it: each has seen
// that there is no such table, and meets the type that belongs to it. To hold them
// there, nobody may read the types while they begin.
func TestGenerationIsMadeByAll(t *testing.T) {
	t.Parallel()
	const nodes, gen = 3, 100
	dsn := pgtest.Shared(t).Database(t)
	var owners []*owner
	for i := range nodes {
		o := own(t, openStore(t, pgtest.With(dsn, "pool_max_conns", "1"), Options{Shards: nodes}), message.Shard(i))
		// The connection must know the types of the columns. To find a table that
		// another one made would not show it any.
		o.dedup(t, message.Generation(1+i))
		owners = append(owners, o)
	}
	tx, err := connect1(t, dsn).Begin(background)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(background, "LOCK TABLE pg_catalog.pg_type IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	var pending []store.Pending
	for _, o := range owners {
		o.at.Seq++
		pending = append(pending, o.Commit(background, &message.Unit{Version: o.at, Writes: []message.Write{
			{RowKey: message.RowKey{Table: message.TableDedup, Gen: gen, Key: []byte("k")}, Value: []byte("v")},
		}}))
	}
	for waiting, until := 0, time.Now().Add(20*time.Second); waiting < nodes; {
		// Another connection would have to wait as well.
		err := tx.QueryRow(background, "SELECT count(DISTINCT pid) FROM pg_locks WHERE relation = 'pg_catalog.pg_type'::regclass AND NOT granted").Scan(&waiting)
		if err != nil || time.Now().After(until) {
			t.Fatalf("%d nodes wait for the types, %v", waiting, err)
		}
	}
	if _, err := tx.Exec(background, "CREATE TABLE semel.semel_dedup_100 (shard integer NOT NULL, key bytea NOT NULL, value bytea, PRIMARY KEY (shard, key))"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(background); err != nil {
		t.Fatal(err)
	}
	for i, o := range owners {
		if err := pending[i].Wait(); err != nil {
			t.Errorf("node %d: %v", i, err)
		} else if o.rows(t, gen) != 1 {
			t.Errorf("node %d: its unit is not there", i)
		}
	}
}
