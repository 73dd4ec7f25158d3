package pgtest_test

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Around(m).Run()) }

func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	one, two := s.Database(t), s.Database(t)
	pgtest.Exec(t, one, "CREATE TABLE here (n int)")
	if got := pgtest.Value(t, two, "SELECT count(*) FROM pg_class WHERE relname = 'here'"); got != "0" {
		t.Errorf("a table of one database is in the other: %s", got)
	}
	if got := pgtest.Value(t, one, "SHOW fsync"); got != "on" {
		t.Errorf("fsync is %s", got)
	}
	dsn := pgtest.With(one, "default_transaction_isolation", "serializable")
	if got := pgtest.Value(t, dsn, "SHOW transaction_isolation"); got != "serializable" {
		t.Errorf("the isolation is %s", got)
	}
}

// What was committed is there after a kill, and a backend does not outlive it.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, pgtest.Set("work_mem", "5MB"))
	dsn := s.Database(t)
	pgtest.Exec(t, dsn, "CREATE TABLE n (n int); INSERT INTO n VALUES (1)")
	busy := compute(t, dsn)
	for _, end := range []func(testing.TB){s.Kill, s.Stop, func(testing.TB) {}} {
		end(t)
		s.Restart(t)
		if got := pgtest.Value(t, dsn, "SELECT sum(n) FROM n"); got != "1" {
			t.Errorf("after a restart the sum is %s", got)
		}
	}
	if err := <-busy; err == nil {
		t.Error("a backend outlived the kill of its server")
	}
	if got := pgtest.Value(t, dsn, "SHOW work_mem"); got != "5MB" {
		t.Errorf("work_mem is %s", got)
	}
}

// compute keeps a backend computing, which does not wait for anything.
func compute(t *testing.T, dsn string) <-chan error {
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := c.Exec(t.Context(), "SELECT count(*) FROM generate_series(1, 1000000000)")
		ended <- err
	}()
	return ended
}

func TestStandby(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	dsn := s.Database(t)
	b := s.Standby(t)
	s.Synchronous(t, b)
	pgtest.Exec(t, dsn, "CREATE TABLE n (n int); INSERT INTO n VALUES (1)")
	if got := pgtest.Value(t, b.DSN("postgres"), "SELECT pg_is_in_recovery()"); got != "t" {
		t.Errorf("the standby recovers: %s", got)
	}
	s.CaughtUp(t, b)
	s.Kill(t)
	b.Promote(t)
	database := pgtest.Value(t, b.DSN("postgres"), "SELECT datname FROM pg_database WHERE datname LIKE 'test_%'")
	if got := pgtest.Value(t, pgtest.Either(database, s, b), "SELECT sum(n) FROM n"); got != "1" {
		t.Errorf("after the promotion the sum is %s", got)
	}
}
