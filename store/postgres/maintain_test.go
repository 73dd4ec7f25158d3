package postgres

import (
	"fmt"
	"testing"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// put commits dedup rows, one for each generation.
func (o *owner) dedup(t testing.TB, gens ...message.Generation) {
	t.Helper()
	o.at.Seq++
	u := &message.Unit{Version: o.at}
	for _, gen := range gens {
		u.Writes = append(u.Writes, message.Write{RowKey: message.RowKey{Table: message.TableDedup, Gen: gen, Key: []byte("k")}, Value: []byte("v")})
	}
	if err := o.Commit(background, u).Wait(); err != nil {
		t.Fatal(err)
	}
}

// rows is how many of the shard's rows of a generation a session sees.
func (o *owner) rows(t testing.TB, gen message.Generation) int {
	t.Helper()
	rows, err := o.Scan(background, store.Range{Table: message.TableDedup, Gen: gen}, 10)
	if err != nil {
		t.Fatal(err)
	}
	values, err := o.Get(background, []message.RowKey{{Table: message.TableDedup, Gen: gen, Key: []byte("k")}})
	if err != nil {
		t.Fatal(err)
	}
	if (values[0] != nil) != (len(rows) == 1) {
		t.Errorf("generation %d: Get finds %q and Scan %d rows", gen, values[0], len(rows))
	}
	return len(rows)
}

// A generation's table is dropped when all shards have forgotten it, and not
// before; a shard that has sees it empty at once. Two nodes do this by turns.
func TestGenerationsAreDropped(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	st, other := openStore(t, dsn, Options{Shards: 2}), openStore(t, dsn, Options{Shards: 2})
	a, b := own(t, st, 0), own(t, other, 1)
	a.dedup(t, 1, 2, 3)
	b.dedup(t, 1, 2, 3)
	tables := func(want string) {
		t.Helper()
		got := pgtest.Value(t, dsn, "SELECT string_agg(table_name, ' ' ORDER BY table_name) FROM information_schema.tables WHERE table_name LIKE 'semel_dedup%'")
		if got != want {
			t.Errorf("the tables are %q, want %q", got, want)
		}
	}
	forget := func(st *Store, shard message.Shard, below message.Generation) {
		t.Helper()
		if err := st.Maintain(background, store.Retention{Shard: shard, Below: below}); err != nil {
			t.Fatal(err)
		}
	}
	forget(st, 0, 3)
	tables("semel_dedup_1 semel_dedup_2 semel_dedup_3")
	if a.rows(t, 2) != 0 || a.rows(t, 3) != 1 || b.rows(t, 2) != 1 {
		t.Error("one shard's forgetting is not its own")
	}
	forget(other, 1, 2)
	tables("semel_dedup_2 semel_dedup_3")
	forget(other, 1, 1) // an older bound changes nothing
	forget(st, 1, 4)    // nor does the word of a node that does not have the shard
	if a.rows(t, 1) != 0 || b.rows(t, 1) != 0 || b.rows(t, 2) != 1 {
		t.Error("after a table was dropped the rows are wrong")
	}
	forget(other, 1, 3)
	tables("semel_dedup_3")
	// The node that made the table does not know that it is gone.
	a.dedup(t, 2, 3, 4)
	b.dedup(t, 2, 4)
	tables("semel_dedup_2 semel_dedup_3 semel_dedup_4")
	if a.rows(t, 2) != 0 || a.rows(t, 4) != 1 || b.rows(t, 4) != 1 {
		t.Error("after a table was made again the rows are wrong")
	}
	forget(st, 0, 4)
	forget(other, 1, 4)
	tables("semel_dedup_4")
}

// A table that somebody reads for long is dropped later, and nobody waits.
func TestGenerationInUse(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	st := openStore(t, dsn, Options{Shards: 1})
	o := own(t, st, 0)
	o.dedup(t, 1, 2)
	c := connect1(t, dsn)
	tx, err := c.Begin(background)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(background, "SELECT * FROM semel.semel_dedup_1"); err != nil {
		t.Fatal(err)
	}
	if err := st.Maintain(background, store.Retention{Below: 2}); err != nil {
		t.Fatal(err)
	}
	o.dedup(t, 2)
	if o.rows(t, 1) != 0 || o.rows(t, 2) != 1 {
		t.Error("the rows are wrong")
	}
	if err := tx.Rollback(background); err != nil {
		t.Fatal(err)
	}
	o.dedup(t, 3)
	if err := st.Maintain(background, store.Retention{Below: 3}); err != nil {
		t.Fatal(err)
	}
	if got := pgtest.Value(t, dsn, "SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'semel_dedup%'"); got != "1" {
		t.Errorf("%s generations are left, want 1", got)
	}
}

// What was deleted leaves no row behind once it is swept, beside units that put
// the same rows back.
func TestSweep(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	st := openStore(t, dsn, Options{Shards: 2})
	st.stop() // nothing is swept but by Maintain
	o, other := own(t, st, 0), own(t, st, 1)
	const n = 2500
	write := func(o *owner, op message.Op, from, to int) store.Pending {
		o.at.Seq++
		u := &message.Unit{Version: o.at}
		for i := from; i < to; i++ {
			u.Writes = append(u.Writes, message.Write{RowKey: state(fmt.Sprintf("%05d", i)), Op: op, Value: []byte("v")})
		}
		return o.Commit(background, u)
	}
	var pending []store.Pending
	for _, o := range []*owner{o, other} {
		pending = append(pending, write(o, message.Put, 0, n), write(o, message.Delete, 0, n))
	}
	for _, p := range pending {
		if err := p.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	count := "SELECT count(*) FROM semel.semel_row WHERE shard = "
	if got := pgtest.Value(t, dsn, count+"0 AND gone"); got != fmt.Sprint(n) {
		t.Errorf("%s marks, want %d", got, n)
	}
	back := []store.Pending{}
	for i := 0; i < n; i += 100 {
		back = append(back, write(o, message.Put, i, i+50))
	}
	sweep := func() {
		t.Helper()
		if err := st.Maintain(background, store.Retention{}); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	for _, p := range back {
		if err := p.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	sweep() // what was put back and swept at the same moment ended the first one early
	for sql, want := range map[string]int{"0": n / 2, "0 AND gone": 0, "1": n} {
		if got := pgtest.Value(t, dsn, count+sql); got != fmt.Sprint(want) {
			t.Errorf("%s%s: %s rows, want %d", count, sql, got, want)
		}
	}
}

// A few marks are swept without Maintain, and without more of them; and so are
// those that a session of before has left.
func TestSweptSoon(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	marks := "SELECT count(*) FROM semel.semel_row WHERE gone"
	opt := Options{Shards: 2}
	first := openStore(t, dsn, opt)
	first.stop() // as if it had died before it swept
	own(t, first, 1).erase(t, 10)
	if got := pgtest.Value(t, dsn, marks); got != "10" {
		t.Fatalf("%s marks, want 10", got)
	}
	st := openStore(t, dsn, opt)
	own(t, st, 1)
	pgtest.Await(t, dsn, marks, "0")
	o := own(t, st, 0)
	for range 2 {
		o.erase(t, 10)
		pgtest.Await(t, dsn, marks, "0")
	}
}

// erase commits rows, and then that they are gone.
func (o *owner) erase(t testing.TB, n int) {
	t.Helper()
	for _, op := range []message.Op{message.Put, message.Delete} {
		o.at.Seq++
		u := &message.Unit{Version: o.at}
		for i := range n {
			u.Writes = append(u.Writes, message.Write{RowKey: message.RowKey{Table: message.TableDue, Key: fmt.Appendf(nil, "%05d", i)}, Op: op, Value: []byte("v")})
		}
		if err := o.Commit(background, u).Wait(); err != nil {
			t.Fatal(err)
		}
	}
}

// Rows that come and go are swept without Maintain.
func TestSweptBesideUnits(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	st := openStore(t, dsn, Options{Shards: 1})
	o := own(t, st, 0)
	for round := range 10 {
		u := &message.Unit{}
		for i := range 1000 {
			u.Writes = append(u.Writes, message.Write{RowKey: state(fmt.Sprintf("%d/%d", round, i)), Value: []byte("v")})
		}
		for _, op := range []message.Op{message.Put, message.Delete} {
			for i := range u.Writes {
				u.Writes[i].Op = op
			}
			o.at.Seq++
			u.Version = o.at
			if err := o.Commit(background, u).Wait(); err != nil {
				t.Fatal(err)
			}
		}
	}
	pgtest.Await(t, dsn, "SELECT count(*) < 10000 - 4000 FROM semel.semel_row", "t")
}

// What a failover brought back is removed again, by a process that remembers to
// have removed it.
func TestRemovedAgain(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	st := openStore(t, dsn, Options{Shards: 2})
	own(t, st, 1)
	put := "INSERT INTO semel.semel_row SELECT 0, 5, '\\x0001'::bytea || int8send(n), 'm', false FROM generate_series(1, 10) n"
	for range 2 {
		own(t, st, 1)
		pgtest.Exec(t, dsn, put+"; UPDATE semel.semel_retention SET below = 0")
		if err := st.Maintain(background, store.Retention{Shard: 1, Below: 7, Consumed: []message.Cursor{{Source: 0, Position: 9}}}); err != nil {
			t.Fatal(err)
		}
		for sql, want := range map[string]string{
			"SELECT count(*) FROM semel.semel_row":                    "1",
			"SELECT below FROM semel.semel_retention WHERE shard = 1": "7",
		} {
			if got := pgtest.Value(t, dsn, sql); got != want {
				t.Errorf("%s: %s, want %s", sql, got, want)
			}
		}
		pgtest.Exec(t, dsn, "DELETE FROM semel.semel_row")
	}
}

// The fence rows are updated in place, without touching an index, and so do not
// grow; rows that keep their keys are too, as long as their page has room.
func TestHeapOnly(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	st := openStore(t, dsn, Options{Shards: 4})
	var owners []*owner
	for shard := range message.Shard(4) {
		owners = append(owners, own(t, st, shard))
	}
	for range 250 {
		for _, o := range owners {
			o.at.Seq++
			u := &message.Unit{Version: o.at, Writes: []message.Write{{RowKey: state("one"), Value: fmt.Append(nil, o.at.Seq)}}}
			if err := o.Commit(background, u).Wait(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := st.Close(); err != nil { // its backends report what they counted
		t.Fatal(err)
	}
	stats := "SELECT n_tup_upd > 900 FROM pg_stat_user_tables WHERE relname = '%s'"
	for _, table := range []string{"semel_shard", "semel_row"} {
		pgtest.Await(t, dsn, fmt.Sprintf(stats, table), "t")
		if got := pgtest.Value(t, dsn, fmt.Sprintf("SELECT n_tup_hot_upd >= n_tup_upd * 0.95 FROM pg_stat_user_tables WHERE relname = '%s'", table)); got != "t" {
			t.Errorf("%s: %s of %s updates were heap-only", table, pgtest.Value(t, dsn, "SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = '"+table+"'"),
				pgtest.Value(t, dsn, "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = '"+table+"'"))
		}
	}
	if got := pgtest.Value(t, dsn, "SELECT pg_relation_size('semel.semel_shard') / 8192"); len(got) > 1 {
		t.Errorf("the table of 4 fences has grown to %s pages", got)
	}
}
