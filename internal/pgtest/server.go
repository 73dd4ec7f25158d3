package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/internal/need"
	"github.com/semel-dev/semel/internal/testserver"
)

// Server is a PostgreSQL. Its methods are called by one goroutine at a time,
// Database and DSN excepted.
type Server struct {
	home    *testserver.Home    // nil: somebody else's server
	outside string              // the DSN of a server that was not started here
	name    string              // by which a primary knows this standby
	process *testserver.Process // nil before its first start
}

// Option changes how a server is started.
type Option func(*[]setting)

type setting struct{ name, value string }

// Set sets a parameter of postgresql.conf.
func Set(name, value string) Option {
	return func(all *[]setting) { *all = append(*all, setting{name, value}) }
}

// settings are those of every server: small, and as durable as the default.
var settings = []setting{
	{"listen_addresses", ""},
	{"max_connections", "200"},
	{"shared_buffers", "64MB"},
	{"max_prepared_transactions", "64"},
	{"autovacuum_naptime", "5s"},
	{"log_min_messages", "warning"},
}

// Start starts a server that ends with the test. The test is skipped where
// PostgreSQL is not installed.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	if _, err := binaries(); err != nil {
		need.Skip(t, "postgres", err.Error())
	}
	s, err := start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.endOf(t) })
	return s
}

func (s *Server) endOf(t testing.TB) {
	if t.Failed() {
		t.Logf("the end of the server's log:\n%s", s.home.Tail())
	}
	if err := s.remove(); err != nil {
		t.Error(err)
	}
}

func start(opts []Option) (*Server, error) {
	home, err := place()
	if err != nil {
		return nil, err
	}
	s := &Server{home: home}
	// No sync by initdb: the server's first checkpoint makes durable what counts.
	err = run(home, "initdb", "-D", s.data(), "-U", "semel", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if err == nil {
		err = s.configure(opts)
	}
	if err == nil {
		err = s.launch()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), s.remove())
	}
	return s, nil
}

// launch starts the postmaster, and returns when it takes connections.
func (s *Server) launch() error {
	bin, err := binaries()
	if err != nil {
		return err
	}
	if s.process, err = s.home.Start(filepath.Join(bin, "postgres"), "-D", s.data()); err != nil {
		return err
	}
	return s.process.Answers(answers(s.dsn("postgres")))
}

// answers connects, to see whether that can be done.
func answers(dsn string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		c, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return err
		}
		return c.Close(ctx)
	}
}

func (s *Server) data() string { return s.home.Path("data") }

// configure appends to postgresql.conf, where the last word counts.
func (s *Server) configure(opts []Option) error {
	all := append(slices.Clone(settings), setting{"unix_socket_directories", s.home.Dir})
	for _, o := range opts {
		o(&all)
	}
	var b strings.Builder
	for _, one := range all {
		fmt.Fprintf(&b, "%s = '%s'\n", one.name, strings.ReplaceAll(one.value, "'", "''"))
	}
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(b.String())
	return errors.Join(err, f.Close())
}

// Configure changes parameters of the server's next start.
func (s *Server) Configure(t testing.TB, opts ...Option) {
	t.Helper()
	s.mine(t)
	if err := s.configure(opts); err != nil {
		t.Fatal(err)
	}
}

// dsn is the URL of a database.
func (s *Server) dsn(database string) string {
	if s.outside != "" {
		u, err := url.Parse(s.outside)
		if err != nil {
			return s.outside // and whoever connects hears what is wrong with it
		}
		u.Path = "/" + database
		return u.String()
	}
	return (&url.URL{Scheme: "postgres", User: url.User("semel"), Path: "/" + database, RawQuery: url.Values{"host": {s.home.Dir}}.Encode()}).String()
}

// DSN is the URL of a database of that name, which need not exist.
func (s *Server) DSN(database string) string { return s.dsn(database) }

// Socket is the path of the socket on which the server listens.
func (s *Server) Socket(t testing.TB) string {
	s.mine(t)
	return s.home.Path(".s.PGSQL.5432")
}

// Kill kills the server, and with it all its backends, at once. Returning, it
// is gone; what it had synced is what Restart finds.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.mine(t)
	if err := s.process.Kill(); err != nil {
		t.Fatal(err)
	}
}

// Stop shuts the server down in order; connections are ended.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.mine(t)
	if err := s.process.End(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

// Restart starts the server again, after Kill or Stop, or stops it first. It
// returns when the server takes connections.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.mine(t)
	s.Stop(t)
	if err := s.launch(); err != nil {
		t.Fatal(err)
	}
}

// mine skips a test that wants to treat somebody else's server as its own.
func (s *Server) mine(t testing.TB) {
	t.Helper()
	if s.outside != "" {
		t.Skip("SEMEL_TEST_POSTGRES is a server that tests may not stop")
	}
}

func (s *Server) remove() error {
	return errors.Join(s.process.End(syscall.SIGQUIT), s.home.Remove())
}
