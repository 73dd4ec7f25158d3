package server_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
)

// sickDisk is a disk that can be full, or unable to list.
type sickDisk struct {
	*mem.Disk
	full, sick atomic.Bool
}

type sickStore struct {
	store.Store
	disk *sickDisk
}

type sickSession struct {
	store.Session
	disk *sickDisk
}

func (d *sickDisk) OpenStore(ctx context.Context) (store.Store, error) {
	st, err := d.Disk.OpenStore(ctx)
	return sickStore{st, d}, err
}

func (s sickStore) Free() (uint64, error) {
	if s.disk.full.Load() {
		return 0, nil
	}
	return 1 << 40, nil
}

func (s sickStore) Open(ctx context.Context, n message.Shard, owner string) (store.Session, error) {
	se, err := s.Store.Open(ctx, n, owner)
	return sickSession{se, s.disk}, err
}

func (s sickSession) Scan(ctx context.Context, r store.Range, limit int) ([]message.Row, error) {
	if s.disk.sick.Load() {
		return nil, errors.New("read /var/lib/secret-place: input/output error")
	}
	return s.Session.Scan(ctx, r, limit)
}

// FAULTS 55: what is too much is refused before it is accepted, and what was
// answered before is answered again.
func contractOverload(t *testing.T, c *contract) {
	began, release := make(chan struct{}), make(chan struct{})
	s := serve(t, semel.Config{MaxInFlight: 1}, server.Options{}, func(app *semel.App) {
		semel.On(semel.NewAgent[int](app, "slow"), "run", func(*int, *semel.Step, none) (string, error) {
			close(began)
			<-release
			return "done", nil
		})
	})
	first := s.call("account/a/credit", "k", `{"cents":1}`)
	slow := make(chan response, 1)
	id := "0" // of an agent whose shard is not the other's: a handler that blocks holds up its shard only
	for i := 0; message.ShardOf(message.Agent{Tenant: "default", Type: "slow", ID: id}, 4) == message.ShardOf(message.Agent{Tenant: "default", Type: "account", ID: "a"}, 4); i++ {
		id = fmt.Sprint(i)
	}
	go func() { slow <- s.call("slow/"+id+"/run", "k", "") }()
	<-began
	r := s.call("account/a/credit", "new", `{"cents":1}`)
	c.want(t, r, 429, "overloaded", "not_done")
	same(t, "Retry-After", r.header.Get("Retry-After"), "1")
	if again := s.call("account/a/credit", "k", `{"cents":1}`); again.status != 200 || again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a replay meanwhile: %+v", again)
	}
	batch := s.do("POST", "/v1/calls", `[{"agent":"account/a","action":"credit","key":"k","body":{"cents":1}},{"agent":"account/a","action":"credit","key":"new","body":{"cents":1}}]`)
	if !strings.HasPrefix(batch.body, `[{"status":200,"replayed":true,"reply":{"cents":1}},{"status":429,`) {
		t.Errorf("%+v", batch)
	}
	close(release)
	same(t, "the slow one", (<-slow).body, `"done"`)
	if r := s.until(`"overloaded"`, func() response { return s.call("account/a/credit", "new", `{"cents":1}`) }); r.body != `{"cents":2}` {
		t.Errorf("%+v", r)
	}
}

func contractFull(t *testing.T, c *contract) {
	disk := &sickDisk{Disk: mem.New()}
	open := func() *semel.App {
		app, err := semel.Open(t.Context(), disk, &semel.Config{})
		if err != nil {
			t.Fatal(err)
		}
		ledger.Register(app)
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return app
	}
	app := open()
	s := serveApp(t, app, server.Options{})
	first := s.call("account/a/credit", "k", `{"cents":1}`)
	if err := app.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.want(t, s.call("account/a/credit", "k", `{"cents":1}`), 503, "closed", "not_done")
	disk.full.Store(true)
	s = serveApp(t, open(), server.Options{})
	s.until(`"ok"`, func() response { return s.do("GET", "/readyz", "") }) // the room is looked at beside the start
	c.want(t, s.do("GET", "/healthz", ""), 503, "closed", "not_done")
	c.want(t, s.call("account/a/credit", "new", `{"cents":1}`), 507, "storage_full", "not_done")
	if again := s.call("account/a/credit", "k", `{"cents":1}`); again.status != 200 || again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a replay without room: %+v", again)
	}
	same(t, "reading without room", s.do("GET", "/v1/agents?type=account", "").body, `{"agents":[{"agent":"account/a","version":1}]}`)
}

func contractStore(t *testing.T, c *contract) {
	disk := &sickDisk{Disk: mem.New(mem.ManualSync())}
	app, err := semel.Open(t.Context(), disk, &semel.Config{Fatal: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	ledger.Register(app)
	s := serveApp(t, app, server.Options{Wait: 30 * time.Millisecond})
	t.Cleanup(func() { disk.Crash(0) }) // so that closing need not wait for a sync
	// Executed, and not durable when the patience ends.
	r := s.call("account/a/credit", "k", `{"cents":1}`)
	c.want(t, r, 503, "commit_unknown", "unknown")
	same(t, "Retry-After", r.header.Get("Retry-After"), "1")
	c.want(t, s.do("GET", "/v1/agents/account/a", ""), 503, "canceled", "not_done")
	disk.sick.Store(true)
	for _, path := range []string{"/v1/agents?type=account", "/v1/doubts", "/v1/dead", "/v1/agents/account/a/keys"} {
		r := s.do("GET", path, "")
		if strings.HasSuffix(path, "keys") && r.status == 503 && strings.Contains(r.body, `"canceled"`) {
			continue // it asks first what is durable
		}
		c.want(t, r, 503, "store_unavailable", "not_done")
		if strings.Contains(r.body, "secret-place") {
			t.Errorf("%s tells where the store is: %s", path, r.body)
		}
	}
}

// contractClosed has an App that ended under its server.
func contractClosed(t *testing.T, c *contract) {
	app, err := semel.Open(t.Context(), mem.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ledger.Register(app)
	stopping := make(chan struct{})
	close(stopping)
	s := serveApp(t, app, server.Options{Stopping: stopping})
	s.call("account/a/credit", "k", `{"cents":1}`)
	c.want(t, s.do("GET", "/readyz", ""), 503, "closed", "not_done")
	if err := app.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, ask := range []struct{ method, path, body string }{
		{"POST", "/v1/agents/account/a/credit", `{"cents":1}`}, {"GET", "/v1/agents/account/a", ""}, {"DELETE", "/v1/agents/account/a", ""},
		{"GET", "/v1/agents?type=account", ""}, {"GET", "/v1/agents/account/a/keys", ""}, {"GET", "/v1/outcomes/account/a?key=k", ""},
		{"GET", "/v1/doubts", ""}, {"GET", "/v1/dead", ""}, {"GET", "/readyz", ""},
		{"POST", "/v1/calls", `{"agent":"account/a","action":"credit","key":"k"}`},
		{"POST", "/v1/doubts/" + strings.Repeat("0", 32), `{"resolution":"done"}`}, {"POST", "/v1/dead/" + strings.Repeat("0", 32) + "/retry", ""},
	} {
		if c.want(t, s.do(ask.method, ask.path, ask.body, "Idempotency-Key", "k"), 503, "closed", "not_done"); t.Failed() {
			t.Fatal(ask.method, ask.path)
		}
	}
	same(t, "a batch", strings.Count(s.do("POST", "/v1/calls", `[{"agent":"account/a","action":"credit","key":"k"}]`).body, `"closed"`), 1)
	same(t, "livez", s.do("GET", "/livez", "").status, 200)
	same(t, "the description", s.do("GET", "/openapi.json", "").status, 200)
}

// serveApp serves an App that may be closed by the test.
func serveApp(t *testing.T, app *semel.App, opts server.Options) *site {
	t.Helper()
	opts.Logger = slog.New(slog.DiscardHandler)
	srv := httptest.NewServer(server.Handler(app, opts))
	t.Cleanup(func() {
		srv.Close()
		_ = app.Close(context.Background())
	})
	return &site{t: t, app: app, url: srv.URL, http: srv.Client()}
}
