package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/semel-dev/semel/internal/pgtest"
)

// What is wrong with parts is said before any is asked.
func TestPartsAreChecked(t *testing.T) {
	t.Parallel()
	const node = "node: {secret: a secret of the nodes}\n"
	environ := []string{"A=postgres://x@a/semel", "B=postgres://x@b/semel", "WEB=https://b"}
	for _, c := range []struct{ parts, args, want string }{
		{"{a: {url: '${A}', shards: 0-1}, b: {url: '${B}', shards: '2'}}", "", ""},
		{"{a: {url: '${A}', shards: 0-1}, b: {url: '${B}', shards: '2'}}", "--store-shards=3", ""},
		{"{a: {url: '${A}', shards: 0-1}, b: {url: '${B}', shards: '2'}}", "--store-shards=4", "the parts have 3"},
		{"{a: {url: '${A}', shards: 0-1}, b: {url: '${B}', shards: '2'}}", "--store=postgres://x@c/semel", "there is a store.url as well"},
		{"{a: {url: '${A}', shards: 0-1}, b: {url: '${B}', shards: 1-2}}", "", "shard 1 is named twice"},
		{"{a: {url: '${A}', shards: 0-1}, b: {url: '${B}', shards: '3'}}", "", "name each from 0 on"},
		{"{a: {url: '${A}', shards: one}}", "", "is no list of shards"},
		{"{a: {url: '${A}'}}", "", "is no list of shards"},
		{"{a: {shards: '0'}}", "", "store.parts.a.url: it has none"},
		{"{a: {url: '${NONE}', shards: '0'}}", "", "the variable NONE is not set"},
		{"{a: {url: '${WEB}', shards: '0'}}", "", "store.parts.a.url: it is no URL of a database"},
		{"{Bad name: {url: '${A}', shards: '0'}}", "", "the part's name"},
	} {
		var args []string
		if c.args != "" {
			args = append(args, c.args)
		}
		_, err := configure(t.Context(), sourceOf(t, node+"store: {parts: "+c.parts+"}\n", environ, args...))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s %s: %v", c.parts, c.args, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s %s: %v; want: %s", c.parts, c.args, err, c.want)
		case err != nil && strings.Contains(err.Error(), "postgres://x"):
			t.Errorf("a URL is printed: %v", err)
		}
	}
}

// A server on two databases, and the verbs that look after them.
func TestServerOnTwoDatabases(t *testing.T) {
	t.Parallel()
	db := pgtest.Start(t) // two servers are store/split's test
	a, b := db.Database(t), db.Database(t)
	config := func(a, b string) string {
		file := filepath.Join(t.TempDir(), "semel.yaml")
		text := fmt.Sprintf(`
node: {secret: a secret of the nodes}
store:
  lease: 1s
  parts:
    a: {url: '%s', shards: 0-5}
    b: {url: '%s', shards: 6-11}
`, a, b)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	file := config(a, b)
	run := func(want string, args ...string) {
		t.Helper()
		out, err := exec.Command(binary, args...).CombinedOutput()
		if !strings.Contains(string(out), want) {
			t.Errorf("semel %s: %v, %s; want: %s", strings.Join(args, " "), err, out, want)
		}
	}
	nodes := []*process{start(t, t.TempDir(), "--config", file), start(t, t.TempDir(), "--config", file)}
	settled(t, nodes)
	for i := range 20 {
		for _, p := range nodes { // the second time it is a replay
			req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("%s/v1/agents/account/a-%d/credit", p.url, i), strings.NewReader(`{"cents":1}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Idempotency-Key", fmt.Sprint("key-", i))
			req.Header.Set("Content-Type", "application/json")
			r, err := p.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Body.Close()
			if r.StatusCode != http.StatusOK {
				t.Errorf("call %d: %s", i, r.Status)
			}
		}
	}
	run("the databases are swapped", "store", "accept", "7", "--config", config(b, a))
	run("is not opened by itself", "store", "accept", "7", "--store", b)
	run("the databases are swapped", "serve", "--listen", "127.0.0.1:0", "--config", config(b, a))
	run("shard 7 goes on with what it has", "store", "accept", "7", "--config", file)
	for _, p := range nodes {
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != 0 {
			t.Errorf("a server ended with %d: %s", code, p.stderr)
		}
	}
	run("the store is a new one", "store", "renew", "--config", file)
	settled(t, []*process{start(t, t.TempDir(), "--config", file)})
}
