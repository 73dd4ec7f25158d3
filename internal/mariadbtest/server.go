// Package mariadbtest starts a real MariaDB for tests: from the binaries that are
// installed, in a temporary directory, reachable through a socket in it and in no
// other way, and durable as in production. Run as root it drops to an ordinary
// user.
//
//	func TestMain(m *testing.M) { os.Exit(mariadbtest.Around(m).Run()) }
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		dsn := mariadbtest.Shared(t).Database(t)
//
// When SEMEL_TEST_MARIADB has a DSN of github.com/go-sql-driver/mysql, without a
// database's name, Shared is that server, and nothing is started for it. Where
// MariaDB is not installed tests are skipped, see package need; its name there is
// "mariadb".
package mariadbtest

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// patience bounds what a server may take to start or to stop.
const patience = 60 * time.Second

// Server is a MariaDB.
type Server struct {
	dir    string // data, socket and log; empty for somebody else's server
	config *mysql.Config
	cmd    *exec.Cmd
	ended  chan struct{}
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

// account is the ordinary user that the server runs as when the tests run as root.
func account() (*user.User, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"mysql", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			return u, nil
		}
	}
	return nil, errors.New("MariaDB does not run as root, and there is no user mysql or nobody to run it as")
}

func start() (*Server, error) {
	dir, err := os.MkdirTemp("", "semel-my-") // short: it is in the socket's path
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, ended: make(chan struct{})}
	if err := s.launch(); err != nil {
		return nil, errors.Join(fmt.Errorf("start MariaDB: %w", err), s.remove())
	}
	return s, nil
}

// launch makes the data directory and starts the server in it.
func (s *Server) launch() error {
	u, err := account()
	if err != nil {
		return err
	}
	if err := give(s.dir, u); err != nil {
		return err
	}
	data, socket := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "s")
	install, err := program("mariadb-install-db")
	if err != nil {
		return err
	}
	cmd := exec.Command(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	cmd.Dir = s.dir
	if err := drop(cmd, u); err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	daemon, err := program("mariadbd")
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has its own
	s.cmd = exec.Command(daemon, "--no-defaults", "--datadir="+data, "--socket="+socket, "--skip-networking",
		"--pid-file="+filepath.Join(s.dir, "pid"), "--innodb-buffer-pool-size=64M", "--max-connections=300", "--innodb-flush-log-at-trx-commit=1")
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, log, log
	if err := drop(s.cmd, u); err != nil {
		return err
	}
	if err := s.begin(); err != nil {
		return err
	}
	s.config = mysql.NewConfig()
	s.config.User, s.config.Net, s.config.Addr = "root", "unix", socket
	return s.ready()
}

// begin starts the process from a thread that stays for as long, see
// dieWithParent, and buries it.
func (s *Server) begin() error {
	started := make(chan error)
	cmd := s.cmd
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
			close(s.ended)
		}
	}()
	err := <-started
	if err != nil {
		s.cmd = nil
	}
	return err
}

// ready waits until the server takes connections: nothing tells when.
func (s *Server) ready() error {
	db, err := sql.Open("mysql", s.config.FormatDSN())
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		err := db.Ping()
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it ended while it started:\n%s", s.tail())
		case <-late:
			return fmt.Errorf("it takes no connections: %w\n%s", err, s.tail())
		case <-tick.C:
		}
	}
}

func (s *Server) tail() []byte {
	b, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return []byte(err.Error())
	}
	return b[max(0, len(b)-4000):]
}

// remove ends the server at once, and its directory with it.
func (s *Server) remove() error {
	var err error
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(syscall.SIGKILL) // fails if it has ended
		select {
		case <-s.ended:
		case <-time.After(patience):
			err = errors.New("MariaDB goes on after it was killed")
		}
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Database creates a database of the test's own and returns its DSN.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text()[:12])
	s.exec(t, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		if s.dir == "" { // the others go with their server
			s.exec(t, "DROP DATABASE "+name)
		}
	})
	c := s.config.Clone()
	c.DBName = name
	return c.FormatDSN()
}

func (s *Server) exec(t testing.TB, statement string) {
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
