package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type none = struct{}

// site is a server under test with its App.
type site struct {
	t     testing.TB
	app   *semel.App
	url   string
	http  *http.Client
	opts  server.Options
	deals *deals
}

// serve starts a server with the ledger and what register adds.
func serve(t testing.TB, cfg semel.Config, opts server.Options, register func(*semel.App)) *site {
	t.Helper()
	return serveOn(t, mem.New(), cfg, opts, register)
}

// serveOn is serve with a store of the test's own.
func serveOn(t testing.TB, st store.Opener, cfg semel.Config, opts server.Options, register func(*semel.App)) *site {
	t.Helper()
	cfg.BackoffBase, cfg.BackoffMax = time.Millisecond, time.Millisecond
	app, err := semel.Open(t.Context(), st, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	ledger.Register(app)
	if register != nil {
		register(app)
	}
	d := new(deals)
	d.register(app, &opts)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	srv := httptest.NewServer(server.Handler(app, opts))
	t.Cleanup(func() {
		srv.Close()
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &site{t: t, app: app, url: srv.URL, http: srv.Client(), opts: opts, deals: d}
}

// response is a response that was read.
type response struct {
	status int
	header http.Header
	body   string
}

// do sends a request. Headers come as name, value, name, value.
func (s *site) do(method, path, body string, headers ...string) response {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	res, err := s.http.Do(req)
	if err != nil {
		s.t.Error(err)
		return response{}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Error(err)
	}
	return response{res.StatusCode, res.Header, string(b)}
}

func (s *site) call(path, key, body string) response {
	s.t.Helper()
	return s.do("POST", "/v1/agents/"+path, body, "Idempotency-Key", key, "Content-Type", "application/json")
}

// wantProblem checks that a response is a problem document with the code.
func wantProblem(t *testing.T, r response, status int, code, kind string) {
	t.Helper()
	var p struct {
		Type, Title, Detail, Code, Kind string
		Status                          int
		Retryable                       *bool
	}
	err := json.Unmarshal([]byte(r.body), &p)
	if err != nil || r.status != status || p.Status != status || p.Code != code || p.Kind != kind || p.Title == "" || p.Detail == "" ||
		!strings.HasPrefix(p.Type, "https://") || p.Retryable == nil || r.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %d %s %s\nwant the problem %d %s (%s)", r.status, r.header.Get("Content-Type"), r.body, status, code, kind)
	}
}

func TestCallIsRepeatedByteForByte(t *testing.T) {
	t.Parallel()
	s := serve(t, semel.Config{}, server.Options{}, nil)
	first := s.call("account/alice/open", `"k-1"`, `{"cents":100}`)
	if first.status != 200 || first.body != `{"cents":100}` || first.header.Get("Content-Type") != "application/json" ||
		first.header.Get("Idempotency-Key") != `"k-1"` || first.header.Get("Idempotent-Replayed") != "" {
		t.Fatalf("%+v", first)
	}
	for _, key := range []string{`"k-1"`, "k-1"} { // both spellings are one key
		again := s.call("account/alice/open", key, "{ \"cents\":\n1e2 }")
		if again.status != 200 || again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" || again.header.Get("Idempotency-Key") != key {
			t.Errorf("%+v", again)
		}
	}
	rejected := s.call("account/alice/debit", "k-2", `{"cents":101}`)
	wantProblem(t, rejected, 422, "insufficient_funds", "rejected")
	s.call("account/alice/credit", "k-3", `{"cents":1000}`)
	again := s.call("account/alice/debit", "k-2", `{"cents":101}`)
	if again.body != rejected.body || again.status != rejected.status || again.header.Get("Idempotent-Replayed") != "true" || rejected.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("%+v, at first %+v", again, rejected)
	}
	conflict := s.call("account/alice/debit", "k-2", `{"cents":102}`)
	wantProblem(t, conflict, 422, "idempotency_conflict", "not_done")
	if strings.Contains(conflict.body, "insufficient") || conflict.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("%+v", conflict)
	}
}

// FAULTS 16, over HTTP.
func TestManyConcurrentCallsWithOneKey(t *testing.T) {
	t.Parallel()
	s := serve(t, semel.Config{}, server.Options{}, nil)
	s.call("account/alice/open", "open", `{"cents":1000}`)
	bodies, replayed := make([]string, 100), make([]string, 100)
	var wg sync.WaitGroup
	for i := range bodies {
		wg.Go(func() {
			r := s.call("account/alice/transfer", "k", `{"cents":10,"to":"bob"}`)
			bodies[i], replayed[i] = r.body, r.header.Get("Idempotent-Replayed")
		})
	}
	wg.Wait()
	for _, b := range bodies {
		if b != `{"to":"bob","cents":990}` {
			t.Fatalf("a reply is %s", b)
		}
	}
	if r := s.do("GET", "/v1/agents/account/bob", ""); r.body != `{"agent":"account/bob","state":{"cents":10,"pending":0,"opened":false},"version":1}` {
		t.Errorf("%s", r.body)
	}
}

func TestReadAgent(t *testing.T) {
	t.Parallel()
	s := serve(t, semel.Config{}, server.Options{}, nil)
	wantProblem(t, s.do("GET", "/v1/agents/account/alice", ""), 404, "unknown_agent", "not_done")
	wantProblem(t, s.do("GET", "/v1/agents/nothing/alice", ""), 404, "unknown_agent_type", "not_done")
	for _, id := range []string{"a%2Fb", "a%20b", "%C3%A9", "a+b", "%2E%2E%2Fx", "a%252Fb", "%25"} {
		if r := s.call("account/"+id+"/credit", "k", `{"cents":7}`); r.status != 200 {
			t.Errorf("%s: %+v", id, r)
		}
		r := s.do("GET", "/v1/agents/account/"+id, "")
		var got struct{ Agent string }
		if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != 200 || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %+v, %v", id, r, err)
		}
		t.Log(id, got.Agent)
	}
	if _, _, err := s.app.State(t.Context(), semel.AgentName{Type: "account", ID: "a/b"}); err != nil {
		t.Error(err)
	}
	if r := s.do("HEAD", "/v1/agents/account/a+b", ""); r.status != 200 || r.body != "" {
		t.Errorf("HEAD: %+v", r)
	}
}

// The order of checks: route, key, syntax, what is recorded, shape. Each line
// has the mistakes of all that follow.
func TestOrderOfChecks(t *testing.T) {
	t.Parallel()
	s := serve(t, semel.Config{}, server.Options{MaxBody: 1000}, nil)
	if r := s.call("account/alice/credit", "used", `{"cents":1}`); r.status != 200 {
		t.Fatal(r)
	}
	long := strings.Repeat(" ", 1001)
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name, path, key, contentType, body string
		status                             int
		code                               string
	}{
		{"path", "/v2/agents/no/alice/no", "", form, long, 404, "not_found"},
		{"empty segment", "/v1/agents/account//credit", "", form, long, 404, "not_found"},
		{"dots", "/v1/agents/account/../credit", "", form, long, 404, "not_found"},
		{"trailing slash", "/v1/agents/account/alice/credit/", "", form, long, 404, "not_found"},
		{"type", "/v1/agents/no/alice/no", "", form, long, 404, "unknown_agent_type"},
		{"action", "/v1/agents/account/alice/no", "", form, long, 404, "unknown_action"},
		{"continuation", "/v1/agents/account/alice/transferred", "", form, long, 404, "unknown_action"},
		{"no key", "/v1/agents/account/alice/credit", "", form, long, 400, "idempotency_key_required"},
		{"key quoting", "/v1/agents/account/alice/credit", `"open`, form, long, 400, "idempotency_key_invalid"},
		{"key of quotes", "/v1/agents/account/alice/credit", `""`, form, long, 400, "idempotency_key_invalid"},
		{"key after quotes", "/v1/agents/account/alice/credit", `"a"b`, form, long, 400, "idempotency_key_invalid"},
		{"key with a parameter", "/v1/agents/account/alice/credit", `"a";v=1`, form, long, 400, "idempotency_key_invalid"},
		{"key escape", "/v1/agents/account/alice/credit", `"a\b"`, form, long, 400, "idempotency_key_invalid"},
		{"key length", "/v1/agents/account/alice/credit", strings.Repeat("k", 256), form, long, 400, "idempotency_key_invalid"},
		{"key encoding", "/v1/agents/account/alice/credit", "\xff", form, long, 400, "idempotency_key_invalid"},
		{"media type", "/v1/agents/account/alice/credit", "used", form, long, 415, "unsupported_media_type"},
		{"size", "/v1/agents/account/alice/credit", "used", "application/json", long, 413, "too_large"},
		{"syntax", "/v1/agents/account/alice/credit", "used", "application/json", `{"cents":1`, 400, "invalid_request"},
		{"duplicate member", "/v1/agents/account/alice/credit", "used", "", `{"cents":1,"cents":1}`, 400, "invalid_request"},
		{"id", "/v1/agents/account/%2E%2E/credit", "used", "", `{"cents":"x"}`, 400, "invalid_request"},
		{"recorded", "/v1/agents/account/alice/credit", "used", "", `{"cents":"x"}`, 422, "idempotency_conflict"},
		{"shape", "/v1/agents/account/alice/credit", "new", "application/json; charset=UTF-8", `{"cents":"x"}`, 400, "invalid_request"},
		{"future", "/v1/agents/account/alice/credit", "ffffffff-ffff-7fff-bfff-ffffffffffff", "", `{"cents":1}`, 400, "idempotency_key_in_future"},
	} {
		headers := []string{}
		if c.key != "" {
			headers = append(headers, "Idempotency-Key", c.key)
		}
		if c.contentType != "" {
			headers = append(headers, "Content-Type", c.contentType)
		}
		r := s.do("POST", c.path, c.body, headers...)
		t.Run(c.name, func(t *testing.T) { wantProblem(t, r, c.status, c.code, "not_done") })
	}
	if r := s.call("account/alice/credit", "new", `{"cents":"x"}`); !strings.Contains(r.body,
		`the body does not fit credit of agent type \"account\": cents must be an integer from -9223372036854775808 to 9223372036854775807, and is a string`) {
		t.Error(r.body)
	}
	// Refused at the key, so nothing was stored under it.
	wantProblem(t, s.do("POST", "/v1/agents/account/alice/credit", `{"cents":1}`, "Idempotency-Key", ""), 400, "idempotency_key_invalid", "not_done")
	wantProblem(t, s.do("POST", "/v1/agents/account/alice/credit", `{"cents":1}`, "Idempotency-Key", "a", "Idempotency-Key", "b"), 400, "idempotency_key_invalid", "not_done")
	wantProblem(t, s.do("POST", "/v1/agents/account/alice/credit", `{"cents":1}`, "Idempotency-Key", "a", "Content-Encoding", "gzip"), 415, "unsupported_media_type", "not_done")
	if r := s.do("GET", "/v1/agents/account/alice", ""); r.body != `{"agent":"account/alice","state":{"cents":1,"pending":0,"opened":false},"version":1}` {
		t.Errorf("%s", r.body)
	}
	// An escaped key, and one in bare UTF-8.
	for _, key := range []string{`"a\"b\\c"`, "clé"} {
		if r := s.call("account/alice/credit", key, `{"cents":1}`); r.status != 200 {
			t.Errorf("%s: %+v", key, r)
		}
	}
	if _, err := s.app.Outcome(t.Context(), semel.AgentName{Type: "account", ID: "alice"}, `a"b\c`); err != nil {
		t.Error(err)
	}
}

func TestMethodsAndOrigins(t *testing.T) {
	t.Parallel()
	s := serve(t, semel.Config{}, server.Options{}, nil)
	for _, c := range []struct{ method, path, allow string }{
		{"GET", "/v1/agents/account/alice/credit", "POST"},
		{"PUT", "/v1/agents/account/alice/credit", "POST"},
		{"POST", "/v1/agents/account/alice", "GET, HEAD, DELETE"},
		{"DELETE", "/readyz", "GET, HEAD"},
	} {
		r := s.do(c.method, c.path, "")
		wantProblem(t, r, 405, "method_not_allowed", "not_done")
		if r.header.Get("Allow") != c.allow {
			t.Errorf("%s %s: Allow is %q", c.method, c.path, r.header.Get("Allow"))
		}
	}
	wantProblem(t, s.do("GET", "/", ""), 404, "not_found", "not_done")
	wantProblem(t, s.do("GET", "/v1", ""), 404, "not_found", "not_done")
	// FAULTS 66.
	for _, h := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		r := s.do("POST", "/v1/agents/account/alice/credit", `{"cents":1}`, append(h, "Idempotency-Key", "k")...)
		wantProblem(t, r, 403, "forbidden", "not_done")
	}
}

// FAULTS 62, 66: a name that somebody else made resolve to this machine.
func TestHostsOnLoopback(t *testing.T) {
	t.Parallel()
	s := serve(t, semel.Config{}, server.Options{Hosts: []string{"semel.internal"}}, nil)
	s.call("account/alice/credit", "first", `{"cents":1}`)
	port := s.url[strings.LastIndex(s.url, ":"):]
	request := func(method, path, host, origin string) response {
		t.Helper()
		req, err := http.NewRequest(method, s.url+path, strings.NewReader(`{"cents":1}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("Idempotency-Key", "k")
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		res, err := s.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response{res.StatusCode, res.Header, string(b)}
	}
	for _, host := range []string{
		"evil.example", "evil.example" + port, "127.0.0.1.evil.example", "localhost.evil.example", "xlocalhost",
		"10.0.0.1", "192.168.0.1:80", "0.0.0.0", "[::]", "[fe80::1]:80", "[::ffff:10.0.0.1]", "semel.internal.evil.example",
	} {
		// As the browser of a victim of DNS rebinding sends it: all of one origin.
		for _, origin := range []string{"http://" + host, ""} {
			wantProblem(t, request("POST", "/v1/agents/account/alice/credit", host, origin), 421, "misdirected_request", "not_done")
		}
		wantProblem(t, request("GET", "/v1/agents/account/alice", host, ""), 421, "misdirected_request", "not_done")
	}
	for _, host := range []string{
		"localhost", "LOCALHOST" + port, "localhost.", "127.0.0.1" + port, "127.8.9.1", "[::1]" + port, "[::1]", "[::ffff:127.0.0.1]:1",
		"semel.internal", "Semel.Internal:443",
	} {
		if r := request("GET", "/v1/agents/account/alice", host, ""); r.status != 200 {
			t.Errorf("%s: %+v", host, r)
		}
	}
	wantProblem(t, request("POST", "/v1/agents/account/alice/credit", "localhost"+port, "http://evil.example"), 403, "forbidden", "not_done")
}

// A connection that came to another address is somebody's who was let in there.
func TestHostsElsewhere(t *testing.T) {
	t.Parallel()
	app, err := semel.Open(t.Context(), mem.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close(context.Background())
	h := server.Handler(app, server.Options{})
	for addr, status := range map[net.Addr]int{
		&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}: 421,
		&net.TCPAddr{IP: net.IPv6loopback}:       421,
		&net.TCPAddr{IP: net.IPv4(10, 1, 2, 3)}:  200,
		&net.UnixAddr{Name: "/run/semel.sock"}:   200,
	} {
		r := httptest.NewRequest("GET", "http://semel.example/livez", nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, addr)))
		if w.Code != status {
			t.Errorf("%v: %d", addr, w.Code)
		}
	}
}

// The response to what is recorded must not change from one version of the
// server to the next: a client may have stored it. If this fails, do not mend
// the test.
func TestRecordedRejectionIsPinned(t *testing.T) {
	t.Parallel()
	s := serve(t, semel.Config{}, server.Options{}, nil)
	for i := range 2 {
		r := s.call("account/alice/debit", "k", `{"cents":101}`)
		const want = `{"type":"https://semel.dev/problems/rejected","title":"Rejected","status":422,"detail":"the balance is 0, less than 101","code":"insufficient_funds","kind":"rejected","retryable":false}`
		if r.status != 422 || r.body != want || r.header.Get("Content-Type") != "application/problem+json" || (r.header.Get("Idempotent-Replayed") != "") != (i == 1) {
			t.Errorf("%+v\nwant %s", r, want)
		}
	}
	// Without a body it is a call too.
	wantProblem(t, s.call("account/alice/credit", "empty", ""), 422, "invalid_amount", "rejected")
	wantProblem(t, s.call("account/alice/credit", "empty", `{"cents":1}`), 422, "idempotency_conflict", "not_done")
}

// A read waits until what it saw is durable, but not for ever.
func TestReadIsBoundedInTime(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.ManualSync())
	app, err := semel.Open(t.Context(), disk, &semel.Config{Fatal: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	inc := semel.On(semel.NewAgent[int](app, "test"), "inc", func(n *int, _ *semel.Step, _ none) (int, error) { *n++; return *n, nil }, semel.AtMostOnce)
	srv := httptest.NewServer(server.Handler(app, server.Options{Wait: 10 * time.Millisecond}))
	t.Cleanup(func() {
		srv.Close()
		disk.Crash(0) // so that closing need not wait for a sync
		_ = app.Close(context.Background())
	})
	if _, err := inc.Call(t.Context(), "a", none{}, semel.Key("k")); err != nil { // not durable
		t.Fatal(err)
	}
	s := &site{t: t, app: app, url: srv.URL, http: srv.Client()}
	r := s.do("GET", "/v1/agents/test/a", "")
	wantProblem(t, r, 503, "canceled", "not_done")
	if r.header.Get("Retry-After") == "" {
		t.Error(r.header)
	}
}

// A body that was cut off says nothing about the request: sent again, it may arrive.
func TestBodyThatIsCutOff(t *testing.T) {
	t.Parallel()
	s := serve(t, semel.Config{}, server.Options{}, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /v1/agents/account/a/credit HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nContent-Length: 11\r\n\r\n{\"cents\"")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := response{res.StatusCode, res.Header, string(b)}
	wantProblem(t, r, 400, "incomplete_request", "not_done")
	if !strings.Contains(r.body, `"retryable":true`) {
		t.Error(r.body)
	}
	if r := s.call("account/a/credit", "k", `{"cents":7}`); r.status != 200 || r.body != `{"cents":7}` {
		t.Errorf("the same key again: %+v", r)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	stopping := make(chan struct{})
	s := serve(t, semel.Config{}, server.Options{Stopping: stopping}, nil)
	for _, path := range []string{"/livez", "/readyz", "/healthz"} {
		if r := s.do("GET", path, ""); r.status != 200 {
			t.Errorf("%s: %+v", path, r)
		}
	}
	close(stopping)
	wantProblem(t, s.do("GET", "/readyz", ""), 503, "closed", "not_done")
	if r := s.do("GET", "/livez", ""); r.status != 200 {
		t.Errorf("%+v", r)
	}
}

// Every kind of failure that the App can answer with.
func TestFailures(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var mu sync.Mutex
	var heal sync.Map
	ended := make(chan struct{})
	s := serve(t, semel.Config{MaxAttempts: 2}, server.Options{
		Wait:   20 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(locked{&mu, &log}, nil)),
	}, func(app *semel.App) {
		agent := semel.NewAgent[int64](app, "test")
		outside := func(_ context.Context, c semel.EffectCall, kind string) (none, error) {
			return none{}, errors.New("the line went dead")
		}
		never := semel.NewEffect(app, "never", func(ctx context.Context, _ semel.EffectCall, _ string) (none, error) {
			<-ended
			return none{}, nil
		})
		ask := semel.NewEffect(app, "ask", outside)
		once := semel.NewEffect(app, "once", outside, semel.AtMostOnce)
		then := semel.Then(agent, "then", func(*int64, *semel.Step, none, semel.Result[none]) (none, error) { return none{}, nil })
		unknown := semel.Then(agent, "unknown", func(_ *int64, _ *semel.Step, _ none, r semel.Result[none]) (none, error) { return none{}, r.Err() })
		semel.On(agent, "never", func(_ *int64, s *semel.Step, _ none) (none, error) {
			never.Ask(s, "", then.With(none{}))
			return semel.Defer[none]()
		})
		semel.On(agent, "ask", func(_ *int64, s *semel.Step, _ none) (none, error) {
			ask.Ask(s, "", then.With(none{}))
			return semel.Defer[none]()
		})
		semel.On(agent, "once", func(_ *int64, s *semel.Step, _ none) (none, error) {
			once.Ask(s, "", unknown.With(none{}))
			return semel.Defer[none]()
		})
		semel.On(agent, "panic", func(_ *int64, s *semel.Step, _ none) (none, error) {
			if _, ok := heal.Load("panic"); ok {
				return none{}, nil
			}
			panic("secret words")
		})
		semel.On(agent, "hold", func(_ *int64, s *semel.Step, _ none) (none, error) { s.Hold("t", time.Hour); return none{}, nil })
		semel.On(agent, "free", func(n *int64, s *semel.Step, _ none) (int64, error) { *n++; return *n, nil }, semel.AtLeastOnce)
	})
	t.Cleanup(func() { close(ended) })
	call := func(action string) response {
		t.Helper()
		return s.call("test/a/"+action, action, "")
	}
	for range 2 {
		r := call("never")
		wantProblem(t, r, 409, "in_flight", "unknown")
		if r.header.Get("Retry-After") == "" {
			t.Errorf("no Retry-After: %v", r.header)
		}
	}
	var doubt response
	for deadline := time.Now().Add(10 * time.Second); ; {
		if doubt = call("ask"); !strings.Contains(doubt.body, "in_flight") || time.Now().After(deadline) {
			break
		}
	}
	wantProblem(t, doubt, 409, "in_doubt", "unknown")
	for e, err := range s.app.Doubts(t.Context()) {
		if err != nil || !strings.Contains(doubt.body, `"doubt":"`+e.ID.String()+`"`) {
			t.Errorf("the doubt is %s, %v: %s", e.ID, err, doubt.body)
		}
	}
	var lost response
	for deadline := time.Now().Add(10 * time.Second); ; {
		if lost = call("once"); !strings.Contains(lost.body, "in_flight") || time.Now().After(deadline) {
			break
		}
	}
	wantProblem(t, lost, 409, "outcome_unknown", "unknown")
	if again := call("once"); again.body != lost.body || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%+v, at first %+v", again, lost)
	}

	failed := call("panic")
	wantProblem(t, failed, 500, "handler_failed", "not_done")
	mu.Lock()
	if strings.Contains(failed.body, "secret") || !strings.Contains(log.String(), "secret words") {
		t.Errorf("told: %s\nlogged: %s", failed.body, log.String())
	}
	mu.Unlock()
	if _, err := s.app.Submit(t.Context(), semel.Request{Type: "test", ID: "a", Action: "panic", Key: "dead"}); err != nil {
		t.Fatal(err)
	}
	var dead response
	for deadline := time.Now().Add(10 * time.Second); ; {
		if dead = s.call("test/a/panic", "dead", ""); !strings.Contains(dead.body, "in_flight") || time.Now().After(deadline) {
			break
		}
	}
	wantProblem(t, dead, 409, "dead", "unknown")
	if !strings.Contains(dead.body, `"dead_letter":"`) {
		t.Error(dead.body)
	}
	heal.Store("panic", true)
	if r := call("panic"); r.status != 200 || r.body != "null" || r.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("%+v", r)
	}
	// Without a key, duplicates run again.
	for i := 1; i <= 2; i++ {
		if r := s.do("POST", "/v1/agents/test/b/free", ""); r.status != 200 || r.body != fmt.Sprint(i) {
			t.Errorf("%+v", r)
		}
	}
	call("hold")
	wantProblem(t, s.call("test/a/panic", "held", ""), 503, "canceled", "not_done")
}

// locked is a writer for several goroutines.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
