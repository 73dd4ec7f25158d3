package postgres_test

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/twopc/partytest"
	"github.com/semel-dev/semel/twopc/postgres"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Around(m).Run()) }

func TestSuite(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	database := s.Database(t)
	partytest.Run(t, func(t *testing.T) *partytest.Subject {
		dsn := place(t, database)
		l, dir := partytest.Socket(t, ".s.PGSQL.5432")
		cutter := partytest.NewCutter(t, l, "unix", s.Socket(t))
		words := map[string]string{"prepare": "PREPARE TRANSACTION", "commit": "COMMIT PREPARED", "abort": "ROLLBACK PREPARED"}
		return &partytest.Subject{
			Participant: open(t, pgtest.With(dsn, "host", dir), add, nil),
			Sum:         func(t testing.TB) int { return sum(t, dsn) },
			Cut:         func(call string, reach bool) { cutter.Cut(words[call], reach) },
		}
	})
}

// place is a place of the test's own in a database, with the table that add writes.
func place(t testing.TB, database string) string {
	t.Helper()
	schema := "s" + partytest.Tx(t)[:20]
	pgtest.Exec(t, database, "CREATE SCHEMA "+schema+"; CREATE TABLE "+schema+".n (n int)")
	return pgtest.With(database, "search_path", schema)
}

// open makes a participant of a database.
func open(t testing.TB, dsn string, work postgres.Work, o *postgres.Options) *postgres.Participant {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return postgres.New(pool, work, o)
}

// add is the suite's work.
func add(ctx context.Context, tx pgx.Tx, b twopc.Branch) (json.RawMessage, error) {
	ask := partytest.Of(b)
	if ask.Write == 0 {
		var n int
		err := tx.QueryRow(ctx, "SELECT coalesce(sum(n), 0) FROM n").Scan(&n)
		return json.RawMessage(strconv.Itoa(n)), err
	}
	if _, err := tx.Exec(ctx, "INSERT INTO n VALUES ($1)", ask.Write); err != nil {
		return nil, err
	}
	return nil, ask.Answer()
}

func sum(t testing.TB, dsn string) int {
	t.Helper()
	n, err := strconv.Atoi(pgtest.Value(t, dsn, "SELECT coalesce(sum(n), 0) FROM n"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
