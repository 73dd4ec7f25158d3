package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
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
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	_, err = c.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// Value returns the one value that a query has, as text; "" for NULL.
func Value(t testing.TB, dsn, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
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

// With adds a parameter to a DSN, such as default_transaction_isolation, or
// changes it.
func With(dsn, name, value string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(fmt.Sprintf("pgtest: the DSN %q is no URL: %v", dsn, err))
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}
