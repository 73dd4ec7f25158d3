package postgres

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// FAULTS 39.
func TestUnsafeServers(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			s := pgtest.Start(t, pgtest.Set(setting, "off"))
			dsn := s.Database(t)
			_, err := At(dsn).OpenStore(background)
			if err == nil || !strings.Contains(err.Error(), setting) || !strings.Contains(err.Error(), "turn it on") {
				t.Errorf("OpenStore: %v, which does not name the setting", err)
			}
			openStore(t, dsn, Options{UnsafeServer: true})
		})
	}
}

// A setting of the role or the database counts as well, and so does one that is
// changed while the store is open: for every connection that is new.
func TestUnsafeDatabase(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	openStore(t, dsn, Options{})
	database := pgtest.Value(t, dsn, "SELECT current_database()")
	pgtest.Exec(t, dsn, "ALTER DATABASE "+database+" SET synchronous_commit = off")
	var refused *ServerError
	if _, err := At(dsn).OpenStore(background); !errors.As(err, &refused) {
		t.Errorf("OpenStore: %v, want a ServerError", err)
	}
	openStore(t, pgtest.With(dsn, "synchronous_commit", "on"), Options{})
}

func TestStandbyIsRefused(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	st := openStore(t, s.DSN("postgres"), Options{Shards: 1})
	own(t, st, 0).commit(t)
	b := s.Standby(t)
	if _, err := At(b.DSN("postgres")).OpenStore(background); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "standby") {
		t.Errorf("OpenStore: %v, want ErrUnavailable of a standby", err)
	}
}

// Who wants what exists makes nothing: no schema, no tables, no store in those
// that a person made.
func TestOpenedOnlyIfItExists(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	absent := func() {
		t.Helper()
		if _, err := At(dsn, Options{Schema: "mine", Existing: true}).OpenStore(background); !errors.Is(err, ErrNoStore) || !strings.Contains(err.Error(), "mine") {
			t.Errorf("OpenStore: %v, want ErrNoStore", err)
		}
	}
	absent()
	if n := pgtest.Value(t, dsn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'mine'"); n != "0" {
		t.Error("the schema was made")
	}
	script, err := MigrationSQL("mine")
	if err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, dsn, script)
	absent()
	if n := pgtest.Value(t, dsn, "SELECT count(*) FROM mine.semel_store"); n != "0" {
		t.Error("a store was made")
	}
	openStore(t, dsn, Options{Schema: "mine", Shards: 3})
	if st := openStore(t, dsn, Options{Schema: "mine", Existing: true}); st.Shards() != 3 {
		t.Errorf("the store has %d shards", st.Shards())
	}
}

// Several nodes make the store at once: it is one store.
func TestOpenedAtOnce(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	const nodes = 8
	var incarnations [nodes]message.Incarnation
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() {
			st, err := At(pgtest.With(dsn, "pool_max_conns", "2"), Options{Shards: 5}).OpenStore(background)
			if err != nil {
				t.Error(err)
				return
			}
			incarnations[i] = st.Incarnation()
			if st.Shards() != 5 {
				t.Errorf("%d shards, want 5", st.Shards())
			}
			for shard := range message.Shard(5) {
				if _, err := st.Open(background, shard, "node"); err != nil {
					t.Error(err)
				}
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, inc := range incarnations {
		if inc != incarnations[0] {
			t.Errorf("incarnations %x and %x", inc, incarnations[0])
		}
	}
	for _, c := range []struct{ sql, want string }{
		{"SELECT count(*) FROM semel.semel_shard", "5"},
		{"SELECT sum(epoch) FROM semel.semel_shard", "40"},
		{"SELECT count(*) FROM semel.semel_retention", "5"},
	} {
		if got := pgtest.Value(t, dsn, c.sql); got != c.want {
			t.Errorf("%s: %s, want %s", c.sql, got, c.want)
		}
	}
}

// The printed script makes what OpenStore makes, and OpenStore then needs no
// right to make anything but generations.
func TestMigrationScript(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Start(t).Database(t) // roles are the whole server's
	script, err := MigrationSQL("made_by_hand")
	if err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, dsn, script)
	openStore(t, dsn, Options{Schema: "made_by_store"})
	shape := func(schema string) string {
		return pgtest.Value(t, dsn, `SELECT string_agg(concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default), E'\n' ORDER BY table_name, ordinal_position)
			FROM information_schema.columns WHERE table_schema = '`+schema+`'`)
	}
	if made, by := shape("made_by_hand"), shape("made_by_store"); made != by || !strings.Contains(made, "semel_shard seq bigint NO") {
		t.Errorf("the script makes\n%s\nand the store makes\n%s", made, by)
	}
	role := schema()
	pgtest.Exec(t, dsn, "CREATE ROLE "+role+" LOGIN; GRANT USAGE, CREATE ON SCHEMA made_by_hand TO "+role+"; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA made_by_hand TO "+role)
	as := strings.Replace(dsn, "://semel@", "://"+role+"@", 1)
	st := openStore(t, as, Options{Schema: "made_by_hand"})
	o := own(t, st, 0)
	o.commit(t)
	o.at.Seq++
	u := &message.Unit{Version: o.at, Writes: []message.Write{{RowKey: message.RowKey{Table: message.TableDedup, Gen: 1, Key: []byte("k")}}}}
	if err := o.Commit(background, u).Wait(); err != nil {
		t.Error(err)
	}
	if _, err := At(as, Options{Schema: "not_there"}).OpenStore(background); err == nil || !strings.Contains(err.Error(), "semel migrate --print") {
		t.Errorf("without the right to make a schema: %v", err)
	}
}

func TestNewerFormat(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	openStore(t, dsn, Options{})
	pgtest.Exec(t, dsn, "INSERT INTO semel.semel_migration (version, name) VALUES (1000, 'of the future')")
	if _, err := At(dsn).OpenStore(background); err == nil || !strings.Contains(err.Error(), "use a newer version") {
		t.Errorf("OpenStore: %v", err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	st := openStore(t, dsn, Options{})
	if st.Shards() != DefaultShards || st.Profile().Lease == 0 {
		t.Errorf("%d shards, %+v", st.Shards(), st.Profile())
	}
	for _, o := range []Options{{Schema: "Upper"}, {Schema: `a"b`}, {Shards: -1}, {Shards: 1<<16 + 1}, {Lease: 1}, {MaxUnitBytes: 1}, {Patience: -1}, {Shards: 3}} {
		if _, err := At(dsn, o).OpenStore(background); err == nil {
			t.Errorf("options %+v are taken", o)
		}
	}
	if _, err := At("postgres://%zz").OpenStore(background); err == nil {
		t.Error("a DSN that is none is taken")
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := At(dsn).OpenStore(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("OpenStore: %v", err)
	}
}
