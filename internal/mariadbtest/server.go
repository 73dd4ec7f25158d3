package mariadbtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/semel-dev/semel/internal/need"
	"github.com/semel-dev/semel/internal/testserver"
)

// Server is a MariaDB. Its methods are called by one goroutine at a time, Database
// excepted.
type Server struct {
	home    *testserver.Home // nil: somebody else's server
	options []string
	config  *mysql.Config
	process *testserver.Process
}

// options of every server: small, and as durable as the default.
var options = []string{
	"--skip-networking", "--innodb-buffer-pool-size=64M", "--max-connections=300", "--innodb-flush-log-at-trx-commit=1",
}

// installed says whether there is what is needed.
func installed() error {
	for _, name := range []string{"mariadbd", "mariadb-install-db"} {
		if _, err := program(name); err != nil {
			return fmt.Errorf("no %s in the PATH or in /usr/sbin; install MariaDB 10.6 or newer", name)
		}
	}
	return nil
}

func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", name)) // often not in an ordinary user's PATH
}

// Start starts a server that ends with the test; its options are those of the
// command line, for example "--log-bin". The test is skipped where MariaDB is not
// installed.
func Start(t testing.TB, more ...string) *Server {
	t.Helper()
	if err := installed(); err != nil {
		need.Skip(t, "mariadb", err.Error())
	}
	s, err := start(more)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", s.home.Tail())
		}
		if err := s.remove(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// tmpdir is a server's own: one that starts deletes the temporary tables that it
// finds, and in /tmp they would be those of another one that runs.
func tmpdir(home *testserver.Home) string { return "--tmpdir=" + home.Dir }

func start(more []string) (*Server, error) {
	home, err := testserver.Place("MariaDB", "semel-my-", "mysql")
	if err != nil {
		return nil, err
	}
	s := &Server{home: home, options: append(slices.Clone(options), more...)}
	s.config = mysql.NewConfig()
	s.config.User, s.config.Net, s.config.Addr = "root", "unix", home.Path("s")
	install, err := program("mariadb-install-db")
	if err == nil {
		err = home.Run(install, "--no-defaults", "--datadir="+home.Path("data"), tmpdir(home), "--auth-root-authentication-method=normal", "--skip-test-db")
	}
	if err == nil {
		err = s.launch()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start MariaDB: %w", err), s.remove())
	}
	return s, nil
}

// launch starts the server, and returns when it takes connections.
func (s *Server) launch() error {
	daemon, err := program("mariadbd")
	if err != nil {
		return err
	}
	fixed := []string{"--no-defaults", "--datadir=" + s.home.Path("data"), tmpdir(s.home), "--socket=" + s.config.Addr, "--pid-file=" + s.home.Path("pid")}
	if s.process, err = s.home.Start(daemon, append(fixed, s.options...)...); err != nil {
		return err
	}
	db, err := sql.Open("mysql", s.config.FormatDSN())
	if err != nil {
		return err
	}
	return errors.Join(s.process.Answers(func(ctx context.Context) error { return db.PingContext(ctx) }), db.Close())
}

// Kill kills the server at once. What it had synced is what Restart finds.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.mine(t)
	if err := s.process.Kill(); err != nil {
		t.Fatal(err)
	}
}

// Restart starts the server again after Kill, or kills it first. It returns when
// the server takes connections.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.mine(t)
	if err := errors.Join(s.process.End(syscall.SIGKILL), s.launch()); err != nil {
		t.Fatal(err)
	}
}

// mine skips a test that wants to treat somebody else's server as its own.
func (s *Server) mine(t testing.TB) {
	t.Helper()
	if s.home == nil {
		t.Skip("SEMEL_TEST_MARIADB is a server that tests may not stop")
	}
}

// remove ends the server at once, and its directory with it.
func (s *Server) remove() error {
	return errors.Join(s.process.End(syscall.SIGKILL), s.home.Remove())
}

// Database creates a database of the test's own and returns its DSN.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text()[:12])
	s.Exec(t, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		if s.home == nil { // the others go with their server
			s.Exec(t, "DROP DATABASE "+name)
		}
	})
	c := s.config.Clone()
	c.DBName = name
	return c.FormatDSN()
}

// Exec runs a statement as the server's superuser.
func (s *Server) Exec(t testing.TB, statement string) {
	t.Helper()
	db, err := sql.Open("mysql", s.config.FormatDSN())
	if err == nil {
		_, err = db.Exec(statement)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
