package pgtest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// Standby starts a streaming standby, which ends with the test. Once Synchronous
// was asked, a commit of the primary waits for it.
func (s *Server) Standby(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s.mine(t)
	home, err := place()
	if err != nil {
		t.Fatal(err)
	}
	b := &Server{home: home, name: "standby_" + strings.ToLower(rand.Text()[:8])}
	conninfo := fmt.Sprintf("host=%s user=semel application_name=%s", s.home.Dir, b.name)
	err = run(home, "pg_basebackup", "-D", b.data(), "-d", conninfo, "-R", "-X", "stream", "-c", "fast", "--no-sync")
	if err == nil {
		err = b.configure(opts)
	}
	if err == nil {
		err = b.launch()
	}
	if err != nil {
		t.Fatal(errors.Join(fmt.Errorf("start a standby: %w", err), b.remove()))
	}
	t.Cleanup(func() { b.endOf(t) })
	return b
}

// Synchronous makes every commit wait for a standby, or for none if it is nil.
// With a standby, it returns once that is in step.
func (s *Server) Synchronous(t testing.TB, standby *Server) {
	t.Helper()
	name := ""
	if standby != nil {
		name = standby.name
	}
	// Reading the setting is done by every process for itself, sometime after
	// the signal; the state of the standby says when it counts.
	s.Exec(t, "ALTER SYSTEM SET synchronous_standby_names = '"+name+"'")
	s.Exec(t, "SELECT pg_reload_conf()")
	if standby != nil {
		Await(t, s.dsn("postgres"), "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND application_name = '"+name+"'", "1")
	}
}

// CaughtUp returns once a standby has replayed what its primary has written.
func (s *Server) CaughtUp(t testing.TB, standby *Server) {
	t.Helper()
	at := Value(t, s.dsn("postgres"), "SELECT pg_current_wal_flush_lsn()")
	Await(t, standby.dsn("postgres"), "SELECT pg_last_wal_replay_lsn() >= '"+at+"'", "t")
}

// Promote makes a standby a primary. The former one should be dead.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if got := Value(t, s.dsn("postgres"), "SELECT pg_promote(true, 60)"); got != "t" {
		t.Fatal("the standby was not promoted")
	}
}

// Either is the DSN of a database on whichever of the servers is a primary.
func Either(database string, servers ...*Server) string {
	var dirs []string
	for _, s := range servers {
		dirs = append(dirs, s.home.Dir)
	}
	q := url.Values{"host": {strings.Join(dirs, ",")}, "target_session_attrs": {"read-write"}}
	return (&url.URL{Scheme: "postgres", User: url.User("semel"), Path: "/" + database, RawQuery: q.Encode()}).String()
}
