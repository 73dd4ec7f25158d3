package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/semel-dev/semel/server"
)

// What the file says of principals holds for requests over the network, and a
// rotation by SIGHUP for the next one.
func TestServedRequestsAreAuthenticated(t *testing.T) {
	t.Parallel()
	old, next := server.NewToken(), server.NewToken()
	table := func(token string) string {
		return "auth:\n  principals:\n  - {name: a, roles: [call], tokens: ['" + server.HashToken(token) + "']}\n"
	}
	file := writeFile(t, "semel.yaml", table(old))
	p := start(t, t.TempDir(), "--config", file)
	call := func(token string) int {
		t.Helper()
		req, err := http.NewRequest("POST", p.url+"/v1/agents/account/alice/credit", strings.NewReader(`{"cents":1}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", "k")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := p.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	for token, want := range map[string]int{"": http.StatusUnauthorized, next: http.StatusUnauthorized, old: http.StatusOK} {
		if got := call(token); got != want {
			t.Errorf("before the rotation: %d, want %d", got, want)
		}
	}
	rewrite(t, file, table(next))
	p.signal(syscall.SIGHUP)
	if !p.stderr.wait("msg=reloaded") {
		t.Fatal(p.stderr)
	}
	for token, want := range map[string]int{"": http.StatusUnauthorized, old: http.StatusUnauthorized, next: http.StatusOK} {
		if got := call(token); got != want {
			t.Errorf("after the rotation: %d, want %d", got, want)
		}
	}
	if strings.Contains(p.stderr.String(), server.TokenPrefix) {
		t.Errorf("a token is logged: %s", p.stderr)
	}
}
