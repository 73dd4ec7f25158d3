package pgtest

import (
	"testing"

	"github.com/semel-dev/semel/internal/testserver"
)

var shared = testserver.Shared[*Server]{
	Name: "postgres",
	DSN:  "SEMEL_TEST_POSTGRES",
	Missing: func() error {
		_, err := binaries()
		return err
	},
	Open: func(dsn string) (*Server, error) {
		if dsn != "" {
			return &Server{outside: dsn}, nil
		}
		return start(nil)
	},
	Remove: func(s *Server) error {
		if s.home == nil {
			return nil
		}
		return s.remove()
	},
}

// Shared is the server that the tests of this binary share, started when it is
// first asked for. TestMain must use Around, which stops it.
func Shared(t testing.TB) *Server {
	t.Helper()
	return shared.Get(t)
}

// Around returns what runs the tests and stops the shared server after them.
// It is for os.Exit, or for goleak.VerifyTestMain.
func Around(m testserver.Runner) testserver.Runner { return shared.Around(m) }
