package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/internal/pgtest"
)

// moves is a store that is served and moved, with what it was asked and said.
type moves struct {
	t       *testing.T
	config  string
	replies map[string]string // by key
	doubt   string
}

// serve checks that a server replays all that was ever asked, and has the doubt;
// then it asks for more.
func (m *moves) serve(round int, dir string, args ...string) *process {
	m.t.Helper()
	p := start(m.t, dir, append(args, "--config", m.config)...)
	for key, reply := range m.replies {
		status, got, replayed, err := p.post("account/"+key+"/credit", key, `{"cents":5}`)
		if status != http.StatusOK || got != reply || !replayed || err != nil {
			m.t.Errorf("round %d: key %s was answered %s, and now %d %s (replayed: %v) %v", round, key, reply, status, got, replayed, err)
		}
	}
	for i := range 30 {
		key := fmt.Sprintf("k%d-%d", round, i)
		m.replies[key] = p.mustPost("account/"+key+"/credit", key, `{"cents":5}`)
	}
	if m.doubt == "" {
		req, _ := http.NewRequest(http.MethodPost, p.url+"/v1/effects/charge", strings.NewReader(`{"amount":1}`))
		req.Header.Set("Idempotency-Key", "charge")
		req.Header.Set("Content-Type", "application/json")
		if r, err := p.client.Do(req); err != nil || r.Body.Close() != nil || r.StatusCode != http.StatusConflict {
			m.t.Fatalf("the charge: %v, %v", r, err)
		}
	}
	doubts := decoded[client.Doubt](m.t, p.verb(exitOK, "doubts", "--json"))
	if m.doubt == "" {
		m.doubt = doubts.ID
	}
	if doubts.ID != m.doubt || doubts.ID == "" {
		m.t.Errorf("round %d: the doubt is %+v, and was %s", round, doubts, m.doubt)
	}
	return p
}

// refused checks that a server does not start.
func (m *moves) refused(why, dir string, args ...string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--config", m.config}, args...)...)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), why) {
		m.t.Errorf("a server on what must not be served says %v\n%s\nand not %q", err, out, why)
	}
}

func (m *moves) migrate(code int, args ...string) result {
	m.t.Helper()
	got := semelRun(m.t, append([]string{"migrate", "--from-lease", "1s"}, args...)...)
	if got.code != code {
		m.t.Fatalf("migrate %v: exit code %d, want %d\n%s%s", args, got.code, code, got.out, got.errors)
	}
	return got
}

// A directory moves to PostgreSQL with another number of shards, on to another
// schema, after its server was killed, and to a directory again. Each is served
// in between: every key replays its reply, and the effect in doubt stays so.
func TestMigrate(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Start(t).Database(t)
	provider := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer provider.Close()
	dir := t.TempDir()
	m := &moves{t: t, config: filepath.Join(dir, "semel.yaml"), replies: make(map[string]string)}
	config := fmt.Sprintf("effects:\n  charge:\n    url: %s/charges\n    method: POST\n    policy: ask\n    attempts: 1\n    allow_private: true\n", provider.URL)
	if err := os.WriteFile(m.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	database := func(schema string) []string {
		return []string{"--store", dsn, "--store-schema", schema, "--store-lease", "1s", "--node-secret", "a secret of the nodes"}
	}
	first, last, unused := filepath.Join(dir, "first"), filepath.Join(dir, "last"), filepath.Join(dir, "unused")

	p := m.serve(1, first)
	if got := m.migrate(exitNotDone, first, dsn); !strings.Contains(got.errors, "in use") {
		t.Errorf("a move of what is served says %q", got.errors)
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	m.migrate(exitOK, first, unused, "--shards", "3")
	m.refused("was moved to", first)
	m.migrate(exitOK, first, unused, "--undo")
	m.refused("was undone", unused)
	for _, wrong := range [][]string{
		{first, filepath.Join(dir, "mistyped"), "--undo"},
		{first, dsn, "--to-schema", "mistyped", "--undo"},
		{dsn, last, "--from-schema", "mistyped"},
	} {
		if got := m.migrate(exitNotDone, wrong...); !strings.Contains(got.errors, "no data directory") && !strings.Contains(got.errors, "there is no store in schema mistyped") {
			t.Errorf("migrate %v says %q", wrong, got.errors)
		}
	}
	if n := pgtest.Value(t, dsn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'mistyped'"); n != "0" {
		t.Error("a mistyped schema was made")
	}

	got := decoded[map[string]any](t, m.migrate(exitOK, first, dsn, "--to-schema", "one", "--shards", "6", "--json").out)
	if got["to_shards"] != 6.0 || got["rows"].(float64) < 60 || got["unclean"] != false {
		t.Errorf("%v", got)
	}
	m.refused("was moved to", first)
	p = m.serve(2, unused, database("one")...)
	if got := m.migrate(exitNotDone, dsn, dsn, "--from-schema", "one", "--to-schema", "two", "--shards", "4"); !strings.Contains(got.errors, "servers are running") {
		t.Errorf("a move of what is served says %q", got.errors)
	}
	m.replies["still"] = p.mustPost("account/still/credit", "still", `{"cents":5}`)
	p.signal(syscall.SIGKILL)
	_ = p.wait()

	for _, refused := range []struct {
		why  string
		args []string
	}{
		{"was served since", []string{first, dsn, "--to-schema", "one", "--undo"}},
		{"another move", []string{dsn, unused, "--from-schema", "one"}},
	} {
		if got := m.migrate(exitNotDone, refused.args...); !strings.Contains(got.errors, refused.why) {
			t.Errorf("migrate %v says %q", refused.args, got.errors)
		}
	}
	if got := m.migrate(exitOK, first, dsn, "--to-schema", "one"); !strings.Contains(got.out, "before") {
		t.Errorf("the same move again says %q", got.out)
	}
	// None of them hides that the server was killed.
	got = decoded[map[string]any](t, m.migrate(exitOK, dsn, dsn, "--from-schema", "one", "--to-schema", "two", "--shards", "4", "--json").out)
	if got["from_shards"] != 6.0 || got["unclean"] != true {
		t.Errorf("%v", got)
	}
	m.refused("was moved to", unused, database("one")...)
	p = m.serve(3, unused, database("two")...)
	p.signal(syscall.SIGTERM)
	_ = p.wait()

	m.migrate(exitOK, dsn, last, "--from-schema", "two", "--shards", "4")
	if got := m.migrate(exitOK, dsn, last, "--from-schema", "two"); !strings.Contains(got.out, "before") {
		t.Errorf("the same move again says %q", got.out)
	}
	p = m.serve(4, last)
	p.signal(syscall.SIGTERM)
	_ = p.wait()
}

func TestMigratePrints(t *testing.T) {
	t.Parallel()
	if got := semelRun(t, "migrate", "--print", "--to-schema", "mine"); got.code != exitOK || !strings.Contains(got.out, "CREATE TABLE mine.semel_row") {
		t.Errorf("%+v", got)
	}
	for _, wrong := range [][]string{{}, {"a"}, {"a", "b", "--shards", "-1"}, {"--print", "a", "b"}, {"--print", "--to-schema", "No"}} {
		if got := semelRun(t, append([]string{"migrate"}, wrong...)...); got.code != exitUsage {
			t.Errorf("%v: exit code %d", wrong, got.code)
		}
	}
	if got := semelRun(t, "migrate", filepath.Join(t.TempDir(), "nothing"), t.TempDir()); got.code != exitNotDone || !strings.Contains(got.errors, "no data directory") {
		t.Errorf("%+v", got)
	}
}
