package webeffect_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/webeffect"
)

// refusing is the URL of an address that nobody listens on.
func refusing(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// wire is a provider below HTTP: it counts connections and requests.
type wire struct {
	url             string
	conns, requests atomic.Int64
}

// listen serves each connection: it reads a request, and hands over.
func listen(t testing.TB, answer func(net.Conn, *http.Request)) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{url: "http://" + l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.conns.Add(1)
			wg.Go(func() {
				defer c.Close()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				w.requests.Add(1)
				answer(c, r)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return w
}

// What happens to a call whose connection fails, after the request was sent: it
// is unknown, and there is one request (FAULTS 25).
func TestSentAndLost(t *testing.T) {
	t.Parallel()
	say := func(s string) func(net.Conn, *http.Request) {
		return func(c net.Conn, _ *http.Request) { _, _ = io.WriteString(c, s) }
	}
	long := strings.Repeat("x", 100)
	for name, c := range map[string]struct {
		answer func(net.Conn, *http.Request)
		reason string
	}{
		"closed without an answer": {func(net.Conn, *http.Request) {}, "the connection was closed"},
		"reset": {func(c net.Conn, _ *http.Request) {
			_ = c.(*net.TCPConn).SetLinger(0)
		}, ""},
		"cut in the header":      {say("HTTP/1.1 200 OK\r\nContent-Le"), "no whole answer"},
		"cut in the body":        {say("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"a\":"), "the connection was closed"},
		"cut in a chunk":         {say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}"), "the connection was closed"},
		"cut refusal":            {say("HTTP/1.1 402 No\r\nContent-Length: 50\r\n\r\n{\"a\":"), "answered 402"},
		"JSON cut by the close":  {say("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":"), "cut off"},
		"number cut":             {say("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n12"), "cut off"},
		"JSON missing":           {say("HTTP/1.0 200 OK\r\nContent-Type: application/problem+json\r\n\r\n"), "cut off"},
		"oversized":              {say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + long), "max_reply"},
		"oversized refusal":      {say("HTTP/1.1 402 No\r\nContent-Length: 100\r\n\r\n" + long), "max_reply"},
		"oversized chunks":       {say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + long + "\r\n0\r\n\r\n"), "max_reply"},
		"endless header":         {say("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 1<<20)), "header"},
		"not HTTP":               {say("SSH-2.0-OpenSSH\r\n"), "no whole answer"},
		"switching protocols":    {say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), "101"},
		"informational only":     {say("HTTP/1.1 103 Early Hints\r\n\r\n"), "the connection was closed"},
		"two hundred, no length": {say("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"), "no whole answer"},
	} {
		for _, policy := range []string{"ask", "at_most_once"} {
			t.Run(name+" "+policy, func(t *testing.T) {
				t.Parallel()
				w := listen(t, c.answer)
				app := open(t, nil, specs{"pay": {URL: w.url, Policy: policy, AllowPrivate: true, MaxReply: 64}})
				_, err := call(t, app, "pay", "k", "1")
				reason := fmt.Sprint(err)
				if policy == "ask" {
					wantError(t, err, semel.ErrInDoubt)
					if d := doubts(t, app); len(d) == 1 && d[0].Attempts == 1 {
						reason = d[0].Reason
					} else {
						t.Errorf("%+v", d)
					}
				} else {
					wantError(t, err, semel.ErrOutcomeUnknown)
				}
				if !strings.Contains(reason, c.reason) {
					t.Errorf("the reason is %q", reason)
				}
				if w.conns.Load() != 1 || w.requests.Load() != 1 {
					t.Errorf("%d connections, %d requests", w.conns.Load(), w.requests.Load())
				}
			})
		}
	}
}

// Answers that are complete although nothing but the close ends them.
func TestAnswersThatEndWithTheConnection(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":1}": `{"a":1}`,
		"HTTP/1.0 200 OK\r\n\r\nfine":                                        `"fine"`,
		"HTTP/1.0 200 OK\r\n\r\n":                                            `null`,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n":       `null`,
	} {
		w := listen(t, func(c net.Conn, _ *http.Request) { _, _ = io.WriteString(c, answer) })
		app := open(t, nil, specs{"pay": {URL: w.url, AllowPrivate: true}})
		if o, err := call(t, app, "pay", "k", "1"); err != nil || string(o.Reply) != want {
			t.Errorf("%q: %s, %v", answer, o.Reply, err)
		}
	}
}

// Each call has a connection of its own, even if the server would keep it: one
// that was kept may be closed just when the next request is written, and then
// nobody knows whether that arrived.
func TestNoConnectionIsUsedTwice(t *testing.T) {
	t.Parallel()
	kept := make(chan struct{})
	w := listen(t, func(c net.Conn, r *http.Request) {
		if !r.Close {
			t.Error("the request does not say Connection: close")
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n1")
		<-kept // the server keeps it open
	})
	app := open(t, nil, specs{"pay": {URL: w.url, AllowPrivate: true}})
	for i := range 3 {
		if _, err := call(t, app, "pay", fmt.Sprint(i), "1"); err != nil {
			t.Fatal(err)
		}
	}
	close(kept)
	if w.conns.Load() != 3 || w.requests.Load() != 3 {
		t.Errorf("%d connections, %d requests", w.conns.Load(), w.requests.Load())
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"no answer":   "",
		"half a body": "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			w := listen(t, func(c net.Conn, _ *http.Request) {
				_, _ = io.WriteString(c, answer)
				_, _ = io.Copy(io.Discard, c) // until the caller gives up
			})
			app := open(t, nil, specs{"pay": {URL: w.url, AllowPrivate: true, Timeout: 50 * time.Millisecond}})
			_, err := call(t, app, "pay", "k", "1")
			wantError(t, err, semel.ErrInDoubt)
			if d := doubts(t, app); len(d) != 1 || !strings.Contains(d[0].Reason, "50ms") || w.requests.Load() != 1 {
				t.Errorf("%+v; %d requests", d, w.requests.Load())
			}
		})
	}
}

// A handshake that never ends is not done: the request was not sent.
func TestTimeoutBeforeTheRequest(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // connects, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	app := open(t, nil, specs{"pay": {URL: "https://" + l.Addr().String(), AllowPrivate: true, Timeout: 20 * time.Millisecond, Attempts: 2}})
	_, err = call(t, app, "pay", "k", "1")
	if r := rejection(t, err, webeffect.CodeNotDone); !strings.Contains(r.Detail, "no connection to 127.0.0.1") {
		t.Errorf("%+v", r)
	}
}

// What certainly was not sent is tried again, also under the policies that never
// call twice, and given up.
func TestNotSent(t *testing.T) {
	t.Parallel()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request came") }))
	defer secure.Close()
	secure.Config.ErrorLog = quiet
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request came") }))
	defer plain.Close()
	for name, c := range map[string]struct {
		url, reason string
		public      bool
	}{
		"connection refused":  {refusing(t), "connection refused", false},
		"unknown authority":   {secure.URL, "certificate", false},
		"no TLS":              {strings.Replace(plain.URL, "http:", "https:", 1), "TLS handshake", false},
		"loopback":            {plain.URL, "127.0.0.1 is not a public address", true},
		"a name for loopback": {strings.Replace(plain.URL, "127.0.0.1", "localhost", 1), "is not a public address", true},
		"mapped":              {strings.Replace(plain.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1), "is not a public address", true},
		"metadata":            {"http://169.254.169.254/latest", "169.254.169.254 is not a public address", true},
		"decimal":             {strings.Replace(plain.URL, "127.0.0.1", "0.0.0.0", 1), "is not a public address", true},
		"secure":              {strings.Replace(plain.URL, "http:", "https:", 1), "is not a public address", true},
	} {
		for _, policy := range allPolicies {
			t.Run(name+" "+policy, func(t *testing.T) {
				s := webeffect.Spec{URL: c.url, Policy: policy, Attempts: 3, AllowPrivate: !c.public}
				if policy == "probe" {
					s.ProbeURL = c.url + "/{key}"
				}
				app := open(t, nil, specs{"pay": s})
				for repetition := range 2 {
					o, err := call(t, app, "pay", "k", "1")
					r := rejection(t, err, webeffect.CodeNotDone)
					if !strings.Contains(r.Detail, c.reason) || !strings.Contains(r.Detail, "3 attempts") || o.Replayed != (repetition == 1) {
						t.Errorf("%+v", r)
					}
				}
			})
		}
	}
}

// What was not sent at first is sent when the endpoint is there.
func TestNotSentThenDone(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	app := open(t, nil, specs{"pay": {URL: "http://" + addr, AllowPrivate: true, Attempts: 10000}})
	if _, err := app.Submit(t.Context(), request("pay", "k", "1")); err != nil {
		t.Fatal(err)
	}
	tried := func() bool {
		for e := range app.Effects(t.Context()) {
			return strings.Contains(e.Reason, "connection refused")
		}
		return false
	}
	for deadline := time.Now().Add(10 * time.Second); !tried(); time.Sleep(time.Millisecond) { // nobody signals an attempt
		if time.Now().After(deadline) {
			t.Fatal("it is not tried")
		}
	}
	if l, err = net.Listen("tcp", addr); err != nil {
		t.Skipf("somebody took the port: %v", err)
	}
	var requests atomic.Int64
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		_, _ = w.Write([]byte(`"paid"`))
	})}
	go srv.Serve(l)
	defer srv.Close()
	if o, err := call(t, app, "pay", "k", "1"); err != nil || string(o.Reply) != `"paid"` || requests.Load() != 1 {
		t.Errorf("%s, %v; %d requests", o.Reply, err, requests.Load())
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	var protocol atomic.Value
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocol.Store(r.Proto)
		_, _ = w.Write([]byte(`"paid"`))
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	app := openWith(t, nil, specs{"pay": {URL: srv.URL, AllowPrivate: true}}, &webeffect.Options{TLS: &tls.Config{RootCAs: roots}}, nil)
	if o, err := call(t, app, "pay", "k", "1"); err != nil || string(o.Reply) != `"paid"` || protocol.Load() != "HTTP/1.1" {
		t.Errorf("%s, %v, %v", o.Reply, err, protocol.Load())
	}
}

// A redirect is not followed, to wherever it leads.
func TestRedirects(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, func(*provider, http.ResponseWriter, seen) {})
	p := serve(t, func(_ *provider, w http.ResponseWriter, _ seen) {
		w.Header().Set("Location", elsewhere.URL+"/?token=s3cret")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	app := open(t, nil, specs{"pay": p.spec("ask")})
	_, err := call(t, app, "pay", "k", "1")
	wantError(t, err, semel.ErrInDoubt)
	if d := doubts(t, app); len(d) != 1 || !strings.Contains(d[0].Reason, "redirect") || strings.Contains(d[0].Reason, "s3cret") {
		t.Errorf("%+v", d)
	}
	if calls, _, _ := elsewhere.counts(); calls != 0 {
		t.Errorf("it was followed %d times", calls)
	}
}

// An effect that nobody configured is not done, and nothing is recorded.
func TestUnknownEffect(t *testing.T) {
	t.Parallel()
	app := open(t, nil, nil)
	_, err := call(t, app, "pay", "k", "1")
	wantError(t, err, semel.ErrHandlerFailed)
	if !strings.Contains(err.Error(), `no effect "pay" is configured`) {
		t.Error(err)
	}
	_, err = app.Outcome(t.Context(), semel.AgentName{Type: webeffect.AgentType, ID: "pay"}, "k")
	wantError(t, err, semel.ErrUnknownKey)
	var unknown *semel.UnknownError
	if !errors.As(err, &unknown) {
		t.Error(err)
	}
}
