package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/semel-dev/semel/server"
)

// writeCertificate makes a certificate of its own for 127.0.0.1, replaces the
// files cert.pem and key.pem in dir, and returns their names.
func writeCertificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	err = errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// served is the name in the certificate that a new connection is shown.
func served(t *testing.T, address string, c *tls.Config) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address, c)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func rewrite(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTLSIsServedAndReloaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, "first")
	p := start(t, filepath.Join(dir, "data"), "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(p.url, "https://") {
		t.Fatal(p.url)
	}
	address := strings.TrimPrefix(p.url, "https://")
	pool := x509.NewCertPool()
	first, err := os.ReadFile(cert)
	if err != nil || !pool.AppendCertsFromPEM(first) {
		t.Fatal(err)
	}
	p.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	t.Cleanup(p.client.CloseIdleConnections)
	p.mustPost("account/alice/credit", "k", `{"cents":1}`)

	insecure := &tls.Config{InsecureSkipVerify: true}
	if name := served(t, address, insecure); name != "first" {
		t.Error(name)
	}
	if conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is taken")
	}
	if res, err := http.Get("http://" + address + "/livez"); err == nil {
		if res.StatusCode == http.StatusOK {
			t.Error("plain HTTP is answered")
		}
		_ = res.Body.Close()
	}

	writeCertificate(t, dir, "second")
	p.signal(syscall.SIGHUP)
	if !p.stderr.wait("msg=reloaded") {
		t.Fatal(p.stderr)
	}
	if name := served(t, address, insecure); name != "second" {
		t.Error(name)
	}
	p.mustPost("account/alice/credit", "k", `{"cents":1}`) // the old connection goes on

	rewrite(t, key, "-----BEGIN PRIVATE KEY-----\n"+canary+"\n-----END PRIVATE KEY-----\n")
	p.signal(syscall.SIGHUP)
	if !p.stderr.wait("was not reloaded; the old one stays in use") {
		t.Fatal(p.stderr)
	}
	if name := served(t, address, insecure); name != "second" {
		t.Error(name)
	}
	if log := p.stderr.String(); strings.Contains(log, canary) || !strings.Contains(log, "are not a certificate and its key") {
		t.Error(log)
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
}

// The server that runs is told about principals by the file, and keeps them
// when the file becomes a bad one.
func TestPrincipalsAreReloadedBySignal(t *testing.T) {
	t.Parallel()
	principal := func(name, token string) string {
		return "  - {name: " + name + ", roles: [call], tokens: ['" + server.HashToken(token) + "']}\n"
	}
	head := "auth:\n  principals:\n"
	file := writeFile(t, "semel.yaml", head+principal("a", canary))
	p := start(t, t.TempDir(), "--config", file, "--log-format", "json", "--log-level", "info")
	for _, step := range []struct{ text, want string }{
		{head + principal("a", canary) + principal("b", canary+"2"), `"msg":"reloaded","principals":2`},
		{head + principal("a", canary) + principal("b", canary), "principal 1 has the same token already"},
		{"wait: 3s\nmax_state: 2MiB\n" + head + principal("a", canary), `"keys":"wait,max_state"`},
		{"", "to serve without authentication, restart"},
		{"hosts: [" + canary, "this is not YAML"},
	} {
		rewrite(t, file, step.text)
		p.signal(syscall.SIGHUP)
		if !p.stderr.wait(step.want) {
			t.Fatalf("%s: %s", step.want, p.stderr)
		}
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
	if log := p.stderr.String(); strings.Contains(log, canary) || strings.Contains(log, server.HashToken(canary)[7:]) {
		t.Errorf("a secret is logged: %s", log)
	}
}

// What each change of the file does to those who call, step by step.
func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, "first")
	old, next := server.NewToken(), server.NewToken()
	table := func(tokens ...string) string {
		s := "auth:\n  principals:\n  - name: a\n    roles: [call]\n    tokens:\n"
		for _, token := range tokens {
			s += "    - " + server.HashToken(token) + "\n"
		}
		return s
	}
	encrypted := "tls: {cert: " + cert + ", key: " + key + "}\n"
	s := sourceOf(t, encrypted+table(old), nil)
	u, err := configure(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	v := newLive(s, u, slog.New(slog.NewTextHandler(&log, nil)))
	for _, c := range []struct {
		name, text         string
		oldValid, newValid bool
		want               string
	}{
		{"both during a rotation", encrypted + table(old, next), true, true, "msg=reloaded"},
		{"the new one after it", encrypted + table(next), false, true, "msg=reloaded"},
		{"a mistake changes nothing", encrypted + table(old) + "typo: 1\n", false, true, "typo: there is no such key"},
		{"an empty file opens nothing", "", false, true, "without authentication, restart"},
		{"no principals open nothing", encrypted + "auth: {principals: []}\n", false, true, "without authentication, restart"},
		{"TLS stays on", table(old), false, true, "without TLS, restart"},
		{"a public address is a restart, and needs what it needs", "insecure_public: true\nlisten: 0.0.0.0:0\n" + encrypted + table(next), false, true, `keys=listen,insecure_public`},
		{"effects are a restart", "effects: {e: {url: 'http://x'}}\n" + encrypted + table(old), true, false, "keys=effects"},
	} {
		rewrite(t, s.fileName(), c.text)
		log.Reset()
		v.reload(t.Context())
		for _, check := range []struct {
			token string
			valid bool
		}{{old, c.oldValid}, {next, c.newValid}} {
			r, _ := http.NewRequest("GET", "/", nil)
			r.Header.Set("Authorization", "Bearer "+check.token)
			if _, err := v.auth.Authenticate(r); (err == nil) != check.valid || err != nil && !errors.Is(err, server.ErrUnauthorized) {
				t.Errorf("%s: valid %v, %v", c.name, check.valid, err)
			}
		}
		if !strings.Contains(log.String(), c.want) {
			t.Errorf("%s: %s", c.name, log.String())
		}
	}
	// A bad certificate keeps the tokens as well: all or nothing.
	rewrite(t, s.fileName(), encrypted+table(next))
	rewrite(t, cert, "nonsense")
	v.reload(t.Context())
	r, _ := http.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+old)
	if _, err := v.auth.Authenticate(r); err != nil {
		t.Error(err)
	}
}

// Authentication can be turned on while the server runs.
func TestReloadTurnsAuthenticationOn(t *testing.T) {
	t.Parallel()
	s := sourceOf(t, "wait: 10s\n", nil)
	u, err := configure(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	v := newLive(s, u, slog.New(slog.DiscardHandler))
	r, _ := http.NewRequest("GET", "/", nil)
	if _, err := v.auth.Authenticate(r); err != nil {
		t.Error(err)
	}
	rewrite(t, s.fileName(), "auth: {principals: [{name: a, roles: [call], tokens: ['"+server.HashToken("x")+"']}]}\n")
	hangup, done := make(chan os.Signal), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { defer close(done); v.run(ctx, hangup) }()
	hangup <- syscall.SIGHUP
	hangup <- syscall.SIGHUP // taken when the first is done
	if _, err := v.auth.Authenticate(r); !errors.Is(err, server.ErrUnauthorized) {
		t.Error(err)
	}
	cancel()
	<-done
}

func TestExpiredCertificateIsWarnedOf(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := &certificate{tls.Certificate{Leaf: &x509.Certificate{NotBefore: now, NotAfter: now.Add(time.Hour)}}}
	for after, want := range map[time.Duration]string{-time.Second: "valid from", time.Second: "", 2 * time.Hour: "expired on"} {
		if got := c.expired(now.Add(after)); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%v: %q", after, got)
		}
	}
}
