package pgtest

import (
	"fmt"
	"os"
	"sync"
	"testing"

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
	dsn := os.Getenv("SEMEL_TEST_POSTGRES")
	if dsn == "" {
		if _, err := binaries(); err != nil {
			need.Skip(t, "postgres", err.Error())
		}
	}
	shared.Lock()
	defer shared.Unlock()
	if !shared.around {
		t.Fatal("pgtest: TestMain must run the tests by pgtest.Around(m).Run()")
	}
	if !shared.started {
		shared.started = true
		if dsn != "" {
			shared.server = &Server{outside: dsn}
		} else {
			shared.server, shared.err = start(nil)
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
// It is for os.Exit, or for goleak.VerifyTestMain.
func Around(m Runner) Runner { return around{m} }

type around struct{ m Runner }

func (a around) Run() int {
	shared.Lock()
	shared.around = true
	shared.Unlock()
	code := a.m.Run()
	shared.Lock()
	defer shared.Unlock()
	if s := shared.server; s != nil && s.outside == "" {
		if err := s.remove(); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest: stop the shared server:", err)
			return max(code, 1)
		}
	}
	return code
}
