package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store/mem"
)

// trip is a transport without a network.
type trip func(*http.Request) (*http.Response, error)

func (t trip) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// respond is an answer as the server gives it.
func respond(status int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	if status >= 400 {
		h.Set("Content-Type", "application/problem+json")
	}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), ProtoMajor: 1, ProtoMinor: 1, Header: h,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// problemBody is a problem document as the server writes it.
func problemBody(status int, code, kind string, retryable bool) string {
	b, err := json.Marshal(Problem{Type: "https://semel.dev/problems/" + code, Title: "A title", Status: status, Code: code, Kind: kind, Retryable: retryable, Detail: "what to do about it"})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func newClient(t testing.TB, url string, opts Options) *Client {
	t.Helper()
	if opts.BackoffBase == 0 {
		opts.BackoffBase, opts.BackoffMax = time.Millisecond, 2*time.Millisecond
	}
	c, err := New(url, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// scripted is a client whose requests are answered by a function, in order.
func scripted(t testing.TB, opts Options, answer func(n int, r *http.Request, body string) (*http.Response, error)) *Client {
	t.Helper()
	var mu sync.Mutex
	n := 0
	opts.HTTP = &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
		var body []byte
		if r.Body != nil {
			var err error
			if body, err = io.ReadAll(r.Body); err != nil {
				return nil, err
			}
		}
		mu.Lock()
		defer mu.Unlock()
		n++
		res, err := answer(n, r, string(body))
		if res != nil {
			res.Request = r
		}
		return res, err
	})}
	return newClient(t, "http://semel.test", opts)
}

// bank is a real server with accounts. Whatever wraps its handler may
// misbehave.
type bank struct {
	app *semel.App
	srv *httptest.Server
	c   *Client
}

func newBank(t testing.TB, wrap func(http.Handler) http.Handler) *bank {
	t.Helper()
	app, err := semel.Open(t.Context(), mem.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ledger.Register(app)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := server.Handler(app, server.Options{Logger: slog.New(slog.DiscardHandler)})
	if wrap != nil {
		h = wrap(h)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &bank{app, srv, newClient(t, srv.URL, Options{})}
}

// cents is what an account holds.
func (b *bank) cents(t testing.TB, id string) int64 {
	t.Helper()
	state, _, err := b.app.State(t.Context(), semel.AgentName{Tenant: message.DefaultTenant, Type: "account", ID: id})
	if err != nil {
		t.Fatal(err)
	}
	var a ledger.Account
	if err := json.Unmarshal(state, &a); err != nil {
		t.Fatal(err)
	}
	return a.Cents
}

func credit(id, key string) Request {
	return Request{Agent: "account/" + id, Action: "credit", Key: key, Body: json.RawMessage(`{"cents":5}`)}
}

// equalJSON says whether two texts are the same JSON, spaces aside.
func equalJSON(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && x.String() == y.String()
}
