package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/semel-dev/semel/internal/mariadbtest"
	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/outbox"
	"github.com/semel-dev/semel/outbox/pgxtx"
)

func TestMain(m *testing.M) {
	if os.Getenv(childKind) != "" {
		os.Exit(childMain())
	}
	// Most of these tests wait for a disk or for a lease, and not for a processor.
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p.Value.String() == p.DefValue {
		if err := flag.Set(p.Name, strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
	}
	os.Exit(pgtest.Around(mariadbtest.Around(m)).Run())
}

// world is a database of a test's own, reached in one of the ways that users have.
type world struct {
	kind string // one of kinds
	dsn  string
	box  *outbox.Outbox
	db   outbox.DB
	tx   func(ctx context.Context, isolation string) (outbox.DBTx, error) // a user's
}

// kinds are the ways.
var kinds = []string{"pgx", "postgres", "mariadb", "sqlite"}

// sample is what a test that takes long runs in under -short: all databases, and of
// the two ways to PostgreSQL the first one. What takes a moment runs in all ways.
func sample(kinds ...string) []string {
	if !testing.Short() {
		return kinds
	}
	reached := slices.Contains(kinds, "pgx")
	return slices.DeleteFunc(slices.Clone(kinds), func(kind string) bool { return reached && kind == "postgres" })
}

// everywhere runs a test in all ways. The default isolation is "".
func everywhere(t *testing.T, test func(t *testing.T, w *world)) { in(t, kinds, test) }

// in runs a test in some ways.
func in(t *testing.T, kinds []string, test func(t *testing.T, w *world)) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t, kind, nil))
		})
	}
}

func newWorld(t testing.TB, kind string, cfg *outbox.Config) *world {
	t.Helper()
	var dsn string
	switch kind {
	case "pgx", "postgres":
		dsn = pgtest.Shared(t).Database(t)
	case "mariadb":
		dsn = mariadbtest.Shared(t).Database(t)
	case "sqlite":
		dsn = "file:" + filepath.Join(t.TempDir(), "db") +
			"?_txlock=immediate&_pragma=busy_timeout(20000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	}
	return worldAt(t, kind, dsn, cfg)
}

// worldAt is a database that is somewhere.
func worldAt(t testing.TB, kind, dsn string, cfg *outbox.Config) *world {
	t.Helper()
	w, closeAll, err := openWorld(kind, dsn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeAll)
	if err := w.box.Migrate(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	return w
}

// openWorld is all that a child process needs, too.
func openWorld(kind, dsn string, cfg *outbox.Config) (*world, func(), error) {
	w := &world{kind: kind, dsn: dsn}
	dialect := map[string]outbox.Dialect{"pgx": outbox.PostgreSQL, "postgres": outbox.PostgreSQL, "mariadb": outbox.MariaDB, "sqlite": outbox.SQLite}[kind]
	var err error
	if w.box, err = outbox.New(dialect, cfg); err != nil {
		return nil, nil, err
	}
	if kind == "pgx" {
		pool, err := pgxpool.New(context.Background(), dsn+"&pool_max_conns=40")
		if err != nil {
			return nil, nil, err
		}
		w.db = pgxtx.DB(pool)
		w.tx = func(ctx context.Context, isolation string) (outbox.DBTx, error) {
			tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.TxIsoLevel(isolation)})
			return pgxUser{pgxtx.Tx(tx), tx}, err
		}
		return w, pool.Close, nil
	}
	driver := map[string]string{"postgres": "pgx", "mariadb": "mysql", "sqlite": "sqlite"}[kind]
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(40)
	db.SetMaxIdleConns(40)
	w.db = outbox.SQLDB(dialect, db)
	w.tx = func(ctx context.Context, isolation string) (outbox.DBTx, error) {
		level := map[string]sql.IsolationLevel{
			"": sql.LevelDefault, "read committed": sql.LevelReadCommitted,
			"repeatable read": sql.LevelRepeatableRead, "serializable": sql.LevelSerializable,
		}[isolation]
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
		return sqlUser{outbox.SQLTx(tx), tx}, err
	}
	return w, func() { _ = db.Close() }, nil
}

// pgxUser and sqlUser are transactions of users: what the outbox gets of them is
// the Tx alone.
type pgxUser struct {
	outbox.Tx
	own pgx.Tx
}

func (u pgxUser) Commit(ctx context.Context) error   { return u.own.Commit(ctx) }
func (u pgxUser) Rollback(ctx context.Context) error { return u.own.Rollback(ctx) }

type sqlUser struct {
	outbox.Tx
	own *sql.Tx
}

func (u sqlUser) Commit(context.Context) error   { return u.own.Commit() }
func (u sqlUser) Rollback(context.Context) error { return u.own.Rollback() }

func (w *world) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := w.db.Exec(t.Context(), w.q(query), args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// number is the one number that a query has.
func (w *world) number(t testing.TB, query string, args ...any) int64 {
	t.Helper()
	n, err := number(t.Context(), w.db, w.q(query), args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func number(ctx context.Context, tx outbox.Tx, query string, args ...any) (n int64, err error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	if !rows.Next() {
		return 0, errors.Join(rows.Err(), errors.New("no row"))
	}
	return n, errors.Join(rows.Scan(&n), rows.Close())
}

// q writes the placeholders ?1, ?2 ... as the dialect has them, in their order.
func (w *world) q(query string) string {
	out := []byte{}
	for i := 0; i < len(query); i++ {
		if query[i] != '?' {
			out = append(out, query[i])
			continue
		}
		i++
		if w.kind == "pgx" || w.kind == "postgres" {
			out = append(out, '$', query[i])
		} else {
			out = append(out, '?')
		}
	}
	return string(out)
}

// begin starts a user's transaction, which ends with the test.
func (w *world) begin(t testing.TB, isolation string) outbox.DBTx {
	t.Helper()
	tx, err := w.tx(t.Context(), isolation)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

func commit(t testing.TB, tx outbox.DBTx) {
	t.Helper()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func rollback(t testing.TB, tx outbox.DBTx) {
	t.Helper()
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// work makes a table of the user's, for insert.
func (w *world) work(t testing.TB) {
	w.exec(t, "CREATE TABLE work (what varchar(100) NOT NULL)")
}

func (w *world) insert(tx outbox.Tx, what string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		_, err := tx.Exec(ctx, w.q("INSERT INTO work (what) VALUES (?1)"), what)
		return []byte("did " + what), err
	}
}

// once does a thing for a key, in a transaction of its own, and commits also what
// was refused.
func (w *world) once(t testing.TB, key outbox.Key, what string) (outbox.Outcome, error) {
	t.Helper()
	tx := w.begin(t, "")
	out, err := w.box.Once(t.Context(), tx, key, w.insert(tx, what))
	return out, errors.Join(err, tx.Commit(t.Context()))
}

func (w *world) done(t testing.TB, what string) int64 {
	t.Helper()
	return w.number(t, "SELECT COUNT(*) FROM work WHERE what = ?1", what)
}

// allDone is how often each thing was done.
func (w *world) allDone(t testing.TB) map[string]int {
	t.Helper()
	rows, err := w.db.Query(t.Context(), "SELECT what FROM work")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]int{}
	for rows.Next() {
		var what string
		if err := rows.Scan(&what); err != nil {
			t.Fatal(err)
		}
		all[what]++
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

var errWanted = fmt.Errorf("wanted")
