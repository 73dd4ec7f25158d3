package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/internal/testserver"
)

// Database creates a database of the test's own and returns its DSN, a URL. It
// is dropped with the test.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text()[:12])
	s.Exec(t, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		if s.outside != "" { // the others go with their server
			s.Exec(t, "DROP DATABASE "+name+" WITH (FORCE)")
		}
	})
	return s.dsn(name)
}

// Exec runs statements, separated by semicolons, as the server's superuser in
// the database postgres.
func (s *Server) Exec(t testing.TB, sql string) {
	t.Helper()
	Exec(t, s.dsn("postgres"), sql)
}

// Exec runs statements, separated by semicolons, in a database.
func Exec(t testing.TB, dsn, sql string) {
	t.Helper()
	if err := execute(dsn, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func execute(dsn, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), testserver.Patience)
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	_, err = c.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

func connect(ctx context.Context, t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Value returns the one value that a query has, as text; "" for NULL.
func Value(t testing.TB, dsn, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testserver.Patience)
	defer cancel()
	c := connect(ctx, t, dsn)
	defer func() { _ = c.Close(ctx) }()
	results, err := c.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 1 {
		t.Fatalf("%s: not one value", sql)
	}
	return string(results[0].Rows[0][0])
}

// Await asks a query until its one value is the one wanted: of some things the
// server tells nobody when they happen.
func Await(t testing.TB, dsn, sql, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testserver.Patience)
	defer cancel()
	c := connect(ctx, t, dsn)
	defer func() { _ = c.Close(context.Background()) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		results, err := c.PgConn().Exec(ctx, sql).ReadAll()
		if err != nil || len(results) != 1 || len(results[0].Rows) != 1 {
			t.Fatalf("%s: no value, or none became %q: %v", sql, want, err)
		}
		if string(results[0].Rows[0][0]) == want {
			return
		}
		<-tick.C
	}
}

// With adds a parameter to a DSN, such as default_transaction_isolation, or
// changes it.
func With(dsn, name, value string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(fmt.Sprintf("pgtest: the DSN %q is no URL: %v", dsn, err))
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // drivers take a plus for itself
	return u.String()
}

// Dump backs a schema of a database up with pg_dump, and restores it into another
// database. Both may be in use.
func Dump(t testing.TB, from, to, schema string) {
	t.Helper()
	h, err := place()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Remove() }() // a temporary directory
	file := h.Path("dump")
	if err := run(h, "pg_dump", "-Fc", "-n", schema, "-f", file, from); err != nil {
		t.Fatal(err)
	}
	if err := run(h, "pg_restore", "-d", to, "--exit-on-error", file); err != nil {
		t.Fatal(err)
	}
}
