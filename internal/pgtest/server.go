package pgtest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/semel-dev/semel/internal/need"
)

// Server is a PostgreSQL. Its methods are called by one goroutine at a time,
// Database and DSN excepted.
type Server struct {
	dir     string   // data, socket and log
	outside string   // the DSN of a server that was not started here
	name    string   // by which a primary knows this standby
	process *process // nil before its first start
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
		t.Logf("the end of the server's log:\n%s", s.tail())
	}
	if err := s.remove(); err != nil {
		t.Error(err)
	}
}

func start(opts []Option) (*Server, error) {
	s, err := place()
	if err != nil {
		return nil, err
	}
	// No sync by initdb: the server's first checkpoint makes durable what counts.
	err = run(s.dir, "initdb", "-D", s.data(), "-U", "semel", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
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

// place makes the directory of a server. Its path is short, because that of a
// socket must be: t.TempDir is not.
func place() (*Server, error) {
	dir, err := os.MkdirTemp("", "semel-pg-")
	if err != nil {
		return nil, err
	}
	if err := give(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &Server{dir: dir}, nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }
func (s *Server) log() string  { return filepath.Join(s.dir, "log") }

// configure appends to postgresql.conf, where the last word counts.
func (s *Server) configure(opts []Option) error {
	all := append(slices.Clone(settings), setting{"unix_socket_directories", s.dir})
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
	return (&url.URL{Scheme: "postgres", User: url.User("semel"), Path: "/" + database, RawQuery: url.Values{"host": {s.dir}}.Encode()}).String()
}

// DSN is the URL of a database of that name, which need not exist.
func (s *Server) DSN(database string) string { return s.dsn(database) }

// Socket is the path of the socket on which the server listens.
func (s *Server) Socket(t testing.TB) string {
	s.mine(t)
	return filepath.Join(s.dir, ".s.PGSQL.5432")
}

// Kill kills the server, and with it all its backends, at once. Returning, it
// is gone; what it had synced is what Restart finds.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.mine(t)
	if err := killAll(s.process.cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := s.end(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// Stop shuts the server down in order; connections are ended.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.mine(t)
	if err := s.end(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}

// Restart starts the server again, after Kill or Stop, or stops it first. It
// returns when the server takes connections.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.mine(t)
	if s.running() {
		s.Stop(t)
	}
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
	var err error
	if s.running() {
		err = s.end(syscall.SIGQUIT)
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
