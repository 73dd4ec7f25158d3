package mariadbtest

import (
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/semel-dev/semel/internal/testserver"
)

var shared = testserver.Shared[*Server]{
	Name:    "mariadb",
	DSN:     "SEMEL_TEST_MARIADB",
	Missing: installed,
	Open: func(dsn string) (*Server, error) {
		if dsn == "" {
			return start(nil)
		}
		c, err := mysql.ParseDSN(dsn)
		return &Server{config: c}, err
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
func Around(m testserver.Runner) testserver.Runner { return shared.Around(m) }
