package mariadbtest

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/semel-dev/semel/internal/need"
)

// shared is the server of this test binary.
var shared struct {
	sync.Mutex
	server  *Server
	err     error
	started bool
	around  bool // somebody will stop it
}

// Shared is the server that the tests of this binary share, started when it is
// first asked for. TestMain must use Around, which stops it.
func Shared(t testing.TB) *Server {
	t.Helper()
	dsn := os.Getenv("SEMEL_TEST_MARIADB")
	if dsn == "" {
		if err := installed(); err != nil {
			need.Skip(t, "mariadb", err.Error())
		}
	}
	shared.Lock()
	defer shared.Unlock()
	if !shared.around {
		t.Fatal("mariadbtest: TestMain must run the tests by mariadbtest.Around(m).Run()")
	}
	if !shared.started {
		shared.started = true
		if dsn == "" {
			shared.server, shared.err = start()
		} else {
			shared.server = new(Server)
			shared.server.config, shared.err = mysql.ParseDSN(dsn)
		}
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// Runner runs the tests, as *testing.M does.
type Runner interface{ Run() int }

// Around returns what runs the tests and stops the shared server after them.
func Around(m Runner) Runner { return around{m} }

type around struct{ m Runner }

func (a around) Run() int {
	shared.Lock()
	shared.around = true
	shared.Unlock()
	code := a.m.Run()
	shared.Lock()
	defer shared.Unlock()
	if s := shared.server; s != nil && s.dir != "" {
		if err := s.remove(); err != nil {
			fmt.Fprintln(os.Stderr, "mariadbtest: stop the shared server:", err)
			return max(code, 1)
		}
	}
	return code
}
