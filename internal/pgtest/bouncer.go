package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/semel-dev/semel/internal/need"
	"github.com/semel-dev/semel/internal/testserver"
)

// Bouncer starts a PgBouncer in transaction mode before the server, with few
// connections to it for each database, and returns the host, a directory, under
// which it listens on port 6432. It ends with the test, which is skipped where
// PgBouncer is not installed.
func (s *Server) Bouncer(t testing.TB) string {
	t.Helper()
	s.mine(t)
	bin, err := exec.LookPath("pgbouncer")
	if err != nil {
		bin = "/usr/sbin/pgbouncer"
		if _, err := os.Stat(bin); err != nil {
			need.Skip(t, "pgbouncer", "it is not installed")
		}
	}
	h, err := place()
	if err != nil {
		t.Fatal(err)
	}
	var p *testserver.Process
	t.Cleanup(func() {
		if err := errors.Join(p.End(syscall.SIGTERM), h.Remove()); err != nil {
			t.Error(err)
		}
	})
	ini, users := h.Path("pgbouncer.ini"), h.Path("users")
	err = errors.Join(
		os.WriteFile(users, []byte("\"semel\" \"\"\n"), 0o644),
		os.WriteFile(ini, fmt.Appendf(nil, `[databases]
* = host=%s
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = %s
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
`, s.home.Dir, h.Dir, users), 0o644))
	if err == nil {
		p, err = h.Start(bin, ini)
	}
	if err == nil {
		err = p.Answers(answers(With(With(s.dsn("postgres"), "host", h.Dir), "port", "6432")))
	}
	if err != nil {
		t.Fatal(err)
	}
	return h.Dir
}
