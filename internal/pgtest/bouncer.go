package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/internal/need"
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
	b, err := place()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.remove(); err != nil {
			t.Error(err)
		}
	})
	ini := filepath.Join(b.dir, "pgbouncer.ini")
	users := filepath.Join(b.dir, "users")
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
`, s.dir, b.dir, users), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, ini)
	log, err := os.Create(b.log())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, b.dir
	if err := drop(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended, and that is told elsewhere
		<-ended
	})
	b.answers(t, With(With(s.dsn("postgres"), "host", b.dir), "port", "6432"), ended)
	return b.dir
}

// answers waits until a pooler takes connections.
func (s *Server) answers(t testing.TB, dsn string, ended <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := pgx.Connect(ctx, dsn)
		if err == nil {
			_ = c.Close(ctx)
			return
		}
		select {
		case <-ended:
			t.Fatalf("PgBouncer ended:\n%s", s.tail())
		case <-ctx.Done():
			t.Fatalf("PgBouncer takes no connections: %v\n%s", err, s.tail())
		case <-tick.C:
		}
	}
}
