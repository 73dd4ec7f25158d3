package mariadb_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/semel-dev/semel/internal/mariadbtest"
	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/twopc/mariadb"
	"github.com/semel-dev/semel/twopc/partytest"
)

func TestMain(m *testing.M) { os.Exit(mariadbtest.Around(m).Run()) }

func TestSuite(t *testing.T) {
	t.Parallel()
	s := mariadbtest.Shared(t)
	partytest.Run(t, func(t *testing.T) *partytest.Subject {
		dsn := s.Database(t)
		cfg, err := mysql.ParseDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		l, dir := partytest.Socket(t, "s")
		cutter := partytest.NewCutter(t, l, cfg.Net, cfg.Addr)
		cfg.Net, cfg.Addr = "unix", filepath.Join(dir, "s")
		words := map[string]string{"prepare": "XA PREPARE", "commit": "XA COMMIT", "abort": "XA ROLLBACK"}
		direct := connect(t, dsn)
		return &partytest.Subject{
			Participant: open(t, connect(t, cfg.FormatDSN()), add, nil),
			Sum:         func(t testing.TB) int { return sum(t, direct) },
			Cut:         func(call string, reach bool) { cutter.Cut(words[call], reach) },
			Tombstones:  true,
		}
	})
}

func connect(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// open makes a participant of a database, with the tables.
func open(t testing.TB, db *sql.DB, work mariadb.Work, o *mariadb.Options) *mariadb.Participant {
	t.Helper()
	p, err := mariadb.New(db, work, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "CREATE TABLE IF NOT EXISTS n (n int)")
	return p
}

func exec(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// add is the suite's work.
func add(ctx context.Context, tx mariadb.Tx, b twopc.Branch) (json.RawMessage, error) {
	ask := partytest.Of(b)
	if ask.Write == 0 {
		var n int
		err := tx.QueryRowContext(ctx, "SELECT COALESCE(SUM(n), 0) FROM n").Scan(&n)
		return json.RawMessage(strconv.Itoa(n)), err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO n VALUES (?)", ask.Write); err != nil {
		return nil, err
	}
	return nil, ask.Answer()
}

func sum(t testing.TB, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT COALESCE(SUM(n), 0) FROM n").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
