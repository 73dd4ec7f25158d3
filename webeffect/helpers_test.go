package webeffect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/mem"
	"github.com/semel-dev/semel/webeffect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type specs = map[string]webeffect.Spec

// open opens an App with the effects on a disk, a new one if disk is nil.
func open(t testing.TB, disk *mem.Disk, all specs) *semel.App {
	t.Helper()
	return openWith(t, disk, all, nil, nil)
}

func openWith(t testing.TB, disk *mem.Disk, all specs, opts *webeffect.Options, log io.Writer) *semel.App {
	t.Helper()
	if disk == nil {
		disk = mem.New()
	}
	cfg := semel.Config{
		BackoffBase: time.Millisecond, BackoffMax: 5 * time.Millisecond,
		Fatal: func(err error) { t.Errorf("fatal: %v", err) },
	}
	if log != nil {
		cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	}
	app, err := semel.Open(t.Context(), disk, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := app.Close(ctx); err != nil && !errors.Is(err, mem.ErrCrashed) {
			t.Errorf("close: %v", err)
		}
	})
	if err := webeffect.Register(app, all, opts); err != nil {
		t.Fatal(err)
	}
	return app
}

// call calls the effect under the key, and waits.
func call(t testing.TB, app *semel.App, name, key, body string) (semel.Outcome, error) {
	t.Helper()
	return app.Do(t.Context(), request(name, key, body))
}

func request(name, key, body string) semel.Request {
	return semel.Request{Type: webeffect.AgentType, ID: name, Action: webeffect.Action, Key: key, Body: json.RawMessage(body)}
}

// seen is a request that a provider got.
type seen struct {
	method, path, query string
	header              http.Header
	key, body           string
}

// provider is the outside world, with its own books.
type provider struct {
	*httptest.Server

	mu     sync.Mutex
	calls  []seen
	probes []seen
	done   map[string]int // what took effect, by key
}

// serve starts a provider. GET below /probe/ is a probe, all else a call.
func serve(t testing.TB, answer func(p *provider, w http.ResponseWriter, r seen)) *provider {
	t.Helper()
	p := &provider{done: make(map[string]int)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s := seen{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Clone(), r.Header.Get("Idempotency-Key"), string(body)}
		p.mu.Lock()
		if key, ok := bytes.CutPrefix([]byte(r.URL.Path), []byte("/probe/")); ok {
			s.key = string(key)
			p.probes = append(p.probes, s)
		} else {
			p.calls = append(p.calls, s)
		}
		p.mu.Unlock()
		answer(p, w, s)
	}))
	t.Cleanup(p.Close)
	return p
}

// did enters an effect into the books. It reports whether it is the first with
// its key.
func (p *provider) did(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done[key]++
	return p.done[key] == 1
}

func (p *provider) has(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done[key] > 0
}

func (p *provider) counts() (calls, probes, effects int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.done {
		effects += n
	}
	return len(p.calls), len(p.probes), effects
}

// heard are the calls, and then the probes.
func (p *provider) heard() []seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Concat(p.calls, p.probes)
}

// spec is a good one for the provider.
func (p *provider) spec(policy string) webeffect.Spec {
	s := webeffect.Spec{URL: p.URL + "/charge", Policy: policy, Attempts: 2, AllowPrivate: true, Timeout: 20 * time.Second}
	if policy == "probe" {
		s.ProbeURL = p.URL + "/probe/{key}"
	}
	return s
}

var allPolicies = []string{"ask", "keyed", "probe", "at_most_once", "read_only"}

func rejection(t testing.TB, err error, code string) *semel.Rejection {
	t.Helper()
	var r *semel.Rejection
	if !errors.As(err, &r) || r.Code != code || semel.KindOf(err) != semel.KindRejected {
		t.Fatalf("the error is %v, want a rejection %q", err, code)
	}
	return r
}

func wantError(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("the error is %v, want %v", err, target)
	}
}

func doubts(t testing.TB, app *semel.App) (all []semel.PendingEffect) {
	t.Helper()
	for e, err := range app.Doubts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}
