package pgtest

import (
	"strconv"
	"testing"

	"github.com/semel-dev/semel/internal/testserver"
)

// HoldWAL stops the WAL writer, which makes durable what was committed under
// synchronous_commit off, until the server is killed. From now on such a commit is
// durable only after one that waits for that, or a checkpoint.
func (s *Server) HoldWAL(t testing.TB) {
	t.Helper()
	s.mine(t)
	const from = " FROM pg_stat_activity WHERE backend_type = 'walwriter'"
	dsn := s.dsn("postgres")
	Await(t, dsn, "SELECT COUNT(*)"+from, "1") // it is started behind the first connections
	pid, err := strconv.Atoi(Value(t, dsn, "SELECT pid"+from))
	for err == nil {
		if err = testserver.Pause(pid); err != nil {
			break
		}
		// Stopped in a flush it has locks for which all others would wait.
		if Value(t, dsn, "SELECT COALESCE(wait_event, '')"+from) == "WalWriterMain" {
			return
		}
		err = testserver.Resume(pid)
	}
	t.Fatal(err)
}
