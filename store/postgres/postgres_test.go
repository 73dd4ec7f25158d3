package postgres

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/store/storetest"
)

var differs = storetest.Differences{
	NoBackup:       "backups are the database's own business",
	NoHints:        "nothing in the database tells a node of another's commits that works behind a pooler",
	NotLocked:      "many nodes share it",
	CleanBySession: "a process without shards has nothing under way, and leaves nothing in the database",
	Remote:         "units are on their way to the server",
}

// The suite runs under both isolation levels, and with the protocol that works
// behind any pooler.
func TestStore(t *testing.T) {
	for _, c := range []struct{ name, parameter, value string }{
		{"ReadCommitted", "default_transaction_isolation", "read committed"},
		{"Serializable", "default_transaction_isolation", "serializable"},
		{"Exec", "default_query_exec_mode", "exec"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			database := pgtest.Shared(t).Database(t)
			dsn := pgtest.With(pgtest.With(database, c.parameter, c.value), "pool_max_conns", "4")
			storetest.Run(t, storetest.Harness{Differs: differs, Make: func(t testing.TB, shards int) storetest.Place {
				return place(dsn, database, shards)
			}})
		})
	}
}

// place is a schema of its own, reached by one DSN; what is done to it behind the
// store's back, by another.
func place(dsn, database string, shards int) storetest.Place {
	m := &machine{dsn: dsn, opt: Options{Schema: schema(), Shards: shards}}
	lapse := func(t testing.TB, node string) {
		pgtest.Exec(t, database, fmt.Sprintf("UPDATE %s.semel_node SET until = now() - interval '1 second' WHERE id = '%s'", m.opt.Schema, node))
	}
	return storetest.Place{Opener: m, Kill: m.kill, Lapse: lapse}
}

// FAULTS 41: behind a pooler, which gives every statement another connection.
func TestStoreBehindPooler(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	database := s.Database(t)
	dsn := s.Bouncer(t, strings.TrimPrefix(databaseOf(t, database), "/"))
	dsn = pgtest.With(pgtest.With(dsn, "default_query_exec_mode", "exec"), "pool_max_conns", "4")
	storetest.Run(t, storetest.Harness{Differs: differs, Make: func(t testing.TB, shards int) storetest.Place {
		return place(dsn, database, shards)
	}})
}

func databaseOf(t *testing.T, dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return u.Path
}
