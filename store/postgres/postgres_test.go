package postgres

import (
	"fmt"
	"testing"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/storetest"
)

var differs = storetest.Differences{
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
			if testing.Short() && c.name != "ReadCommitted" {
				t.Skip("one way is enough in short mode, which the race detector runs")
			}
			runSuite(t, func(dsn string) string {
				return pgtest.With(pgtest.With(dsn, c.parameter, c.value), "pool_max_conns", "4")
			})
		})
	}
}

// runSuite runs the suite in a database, through the DSN that via makes of its.
// Each store has a schema there.
func runSuite(t *testing.T, via func(dsn string) string) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	at := via(dsn)
	storetest.Run(t, storetest.Harness{Differs: differs, Make: func(t testing.TB, shards int) storetest.Place {
		m := &machine{dsn: at, opt: Options{Schema: schema(), Shards: shards}}
		lapse := func(t testing.TB, node string) {
			pgtest.Exec(t, dsn, fmt.Sprintf("UPDATE %s.semel_node SET until = now() - interval '1 second' WHERE id = '%s'", m.opt.Schema, node))
		}
		return storetest.Place{Opener: m, Kill: m.kill, Lapse: lapse, Restore: func(t testing.TB, _ store.Store) store.Opener {
			copied := server.Database(t)
			pgtest.Dump(t, dsn, copied, m.opt.Schema)
			if err := Renew(background, via(copied), m.opt); err != nil {
				t.Fatal(err)
			}
			return &machine{dsn: via(copied), opt: m.opt}
		}}
	}})
}

// FAULTS 41: behind a pooler, which gives every statement another connection.
func TestStoreBehindPooler(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("see TestStore")
	}
	host := pgtest.Shared(t).Bouncer(t)
	runSuite(t, func(dsn string) string {
		dsn = pgtest.With(pgtest.With(dsn, "host", host), "port", "6432")
		return pgtest.With(pgtest.With(dsn, "default_query_exec_mode", "exec"), "pool_max_conns", "4")
	})
}
