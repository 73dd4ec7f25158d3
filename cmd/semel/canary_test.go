package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/semel-dev/semel/server"
)

// FAULTS 64: what is secret is put everywhere that a client or an operator can
// put it, and then looked for in everything that comes out: the log at its most
// talkative, standard output, every answer, the spans. A canary of an effect's
// headers comes by the environment. Dead letters: TestSecretsStayWithTheRequest
// of package server.
func TestSecretsStayIn(t *testing.T) {
	const effectSecret, cookie, basic = "canary-effect-7f3a", "canary-cookie-19bd", "canary-basic-5c2e"
	t.Setenv("CANARY_TOKEN", effectSecret)
	token, revoked := server.NewToken(), server.NewToken()
	dir := t.TempDir()
	// A provider that hangs up, so that a charge is in doubt, and a collector.
	var charged atomic.Bool
	provider := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		charged.CompareAndSwap(false, r.Header.Get("Authorization") == "Bearer "+effectSecret)
		panic(http.ErrAbortHandler)
	}))
	defer provider.Close()
	spans := newOutput()
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(spans, r.Body) }))
	defer collector.Close()
	config := filepath.Join(dir, "semel.yaml")
	write := func(hash string) {
		t.Helper()
		text := fmt.Sprintf(`
log:
  level: debug
otlp:
  endpoint: %s
auth:
  principals:
    - name: all
      roles: [call, read, operator]
      tokens: [%s]
effects:
  charge:
    url: %s/charges
    method: POST
    policy: ask
    attempts: 1
    allow_private: true
    headers:
      Authorization: Bearer ${CANARY_TOKEN}
`, collector.URL, hash, provider.URL)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(server.HashToken(token))
	p := start(t, filepath.Join(dir, "data"), "--config", config, "--wait", "1s")
	var answers bytes.Buffer
	ask := func(method, path, body string, headers ...string) int {
		t.Helper()
		req, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", "k"+path)
		req.Header.Set("Cookie", cookie)
		req.Header.Set("Proxy-Authorization", "Basic "+basic)
		for i := 0; i < len(headers); i += 2 {
			req.Header.Add(headers[i], headers[i+1])
		}
		res, err := p.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&answers, "%s %s: %d %v %s\n", method, path, res.StatusCode, res.Header, b)
		return res.StatusCode
	}
	for _, auth := range [][]string{
		{"Authorization", "Bearer " + token}, {"Authorization", "Bearer " + revoked}, {"Authorization", "bearer  " + token},
		{"Authorization", "Basic " + basic}, {"Authorization", token}, {"Authorization", "Bearer " + token, "Authorization", "Bearer " + revoked},
		{"Authorization", "Bearer " + token + "x"}, nil,
	} {
		for _, r := range [][3]string{
			{"POST", "/v1/agents/account/a/credit", `{"cents":1}`}, {"POST", "/v1/agents/account/a/credit", `{"cents":"x"}`},
			{"POST", "/v1/agents/account/a/debit", `{"cents":100}`}, {"POST", "/v1/calls", `[{}]`}, {"POST", "/v1/effects/charge", `{"amount":1}`},
			{"GET", "/v1/agents?type=account", ""}, {"GET", "/v1/agents/account/a/keys", ""}, {"GET", "/v1/doubts", ""}, {"GET", "/v1/dead", ""},
			{"GET", "/metrics", ""}, {"GET", "/openapi.json", ""}, {"GET", "/readyz", ""}, {"DELETE", "/v1/agents/account/b", ""}, {"PUT", "/x", ""},
			{"POST", "/v1/backups", `{"name":"x"}`}, {"GET", "/v1/outcomes/effects/charge?key=k/v1/effects/charge", ""},
		} {
			ask(r[0], r[1], r[2], auth...)
		}
	}
	if n := strings.Count(answers.String(), ": 200 "); n < 10 {
		t.Fatalf("only %d requests succeeded: %s", n, answers.String())
	}
	// A reload that goes wrong tells what is wrong, not what was written.
	write("sha256:" + token + ", " + token)
	p.signal(syscall.SIGHUP)
	if !p.stderr.wait("the configuration was not reloaded") {
		t.Error("a configuration with a token in the place of its hash was taken")
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for what, found := range map[string]bool{
		"charge with its header": charged.Load(), "doubt": strings.Contains(answers.String(), `"doubts":[{`),
		"span": strings.Contains(spans.String(), "process account.credit"),
	} {
		if !found {
			t.Errorf("there was no %s", what)
		}
	}
	log := p.stderr.String()
	digits := strings.TrimPrefix(server.HashToken(token), "sha256:")
	for what, text := range map[string]string{"the log": log, "an answer": answers.String(), "a span": spans.String()} {
		for name, secret := range map[string]string{
			"the token": token, "a revoked token": revoked, "the token's hash": digits, "the effect's header": effectSecret, "a cookie": cookie, "basic credentials": basic,
		} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s has %s: …%s…", what, name, text[max(0, i-200):min(len(text), i+len(secret)+50)])
			}
		}
	}
}
