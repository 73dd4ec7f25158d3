package web_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/semel-dev/semel/internal/mariadbtest"
	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/twopc/partytest"
	"github.com/semel-dev/semel/twopc/web"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Around(mariadbtest.Around(m)).Run()) }

// dialects are the databases that a ledger can be in.
var dialects = map[string]web.Dialect{"pgx": web.PostgreSQL, "mysql": web.MariaDB, "sqlite": web.SQLite}

func TestSuite(t *testing.T) {
	t.Parallel()
	for driver, dialect := range dialects {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			var dsn string // of one database, in which each test has tables of its own
			switch dialect {
			case web.PostgreSQL:
				dsn = pgtest.Shared(t).Database(t)
			case web.MariaDB:
				dsn = mariadbtest.Shared(t).Database(t)
			}
			partytest.Run(t, func(t *testing.T) *partytest.Subject {
				w := newWorld(t, driver, dsn)
				server := httptest.NewServer(w.handler)
				t.Cleanup(server.Close)
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				cutter := partytest.NewCutter(t, l, "tcp", server.Listener.Addr().String())
				return &partytest.Subject{
					Participant: client(t, "http://"+l.Addr().String()+"/in/a/path"),
					Sum:         w.sum,
					Cut:         func(call string, reach bool) { cutter.Cut("/in/a/path/"+call+" HTTP", reach) },
					Tombstones:  true,
				}
			})
		})
	}
}

// world is a participant of the tests: numbers that are reserved, and then kept or
// dropped.
type world struct {
	db      *sql.DB
	table   string
	handler http.Handler
	full    *web.Handler[*sql.Tx]
	ledger  *web.SQLLedger
}

func newWorld(t testing.TB, driver, dsn string) *world {
	t.Helper()
	if driver == "sqlite" {
		dsn = "file:" + filepath.Join(t.TempDir(), "db") + "?_txlock=immediate&_pragma=busy_timeout(20000)&_pragma=journal_mode(WAL)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w := &world{db: db, table: "n_" + strings.ReplaceAll(partytest.Tx(t)[:12], "-", "")}
	if w.ledger, err = web.SQL(db, dialects[driver], w.table+"_ledger"); err == nil {
		err = w.ledger.Migrate(t.Context())
	}
	if err == nil {
		_, err = db.ExecContext(t.Context(), "CREATE TABLE "+w.table+" (tx varchar(48), n int, kept int)")
	}
	if err != nil {
		t.Fatal(err)
	}
	w.full = web.NewHandler(w.ledger, web.Work[*sql.Tx]{Prepare: w.prepare, Commit: w.commit, Abort: w.abort})
	w.handler = w.full
	return w
}

// The names of the tests' transactions may stand in quotes.
func (w *world) prepare(ctx context.Context, tx *sql.Tx, b twopc.Branch) (twopc.Vote, error) {
	ask := partytest.Of(b)
	if ask.Write == 0 {
		var n int
		err := tx.QueryRowContext(ctx, "SELECT COALESCE(SUM(n), 0) FROM "+w.table+" WHERE kept = 1").Scan(&n)
		return twopc.Vote{ReadOnly: true, Reply: json.RawMessage(strconv.Itoa(n))}, err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO "+w.table+" VALUES ('"+b.Tx+"', "+strconv.Itoa(ask.Write)+", 0)"); err != nil {
		return twopc.Vote{}, err
	}
	return twopc.Vote{Reply: json.RawMessage(`"reserved"`)}, ask.Answer()
}

func (w *world) commit(ctx context.Context, tx *sql.Tx, b twopc.Branch) error {
	_, err := tx.ExecContext(ctx, "UPDATE "+w.table+" SET kept = kept + 1 WHERE tx = '"+b.Tx+"'")
	return err
}

func (w *world) abort(ctx context.Context, tx *sql.Tx, b twopc.Branch) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM "+w.table+" WHERE tx = '"+b.Tx+"'")
	return err
}

// sum counts what was kept twice twice.
func (w *world) sum(t testing.TB) (n int) {
	t.Helper()
	if err := w.db.QueryRowContext(t.Context(), "SELECT COALESCE(SUM(n * kept), 0) FROM "+w.table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func client(t testing.TB, url string) *web.Participant {
	t.Helper()
	p, err := web.New(web.Config{URL: url, AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
