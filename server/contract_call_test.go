package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/server"
)

// contractRefusals are those that need nothing but a wrong request.
func contractRefusals(t *testing.T, c *contract) {
	s := serve(t, semel.Config{MaxBody: 1000}, server.Options{MaxBody: 1000, Auth: nobodyFails{}}, nil)
	const credit = "/v1/agents/account/a/credit"
	post := func(path, body string, headers ...string) response {
		t.Helper()
		return s.do("POST", path, body, append([]string{"Idempotency-Key", "k"}, headers...)...)
	}
	c.want(t, s.do("POST", credit, `{"cents":1}`), 400, "idempotency_key_required", "not_done")
	c.want(t, s.call("account/a/credit", `"`, `{"cents":1}`), 400, "idempotency_key_invalid", "not_done")
	c.want(t, s.call("account/a/credit", "ffffffff-ffff-7fff-bfff-ffffffffffff", `{"cents":1}`), 400, "idempotency_key_in_future", "not_done")
	c.want(t, post(credit, `{"cents":}`), 400, "invalid_request", "not_done")
	c.want(t, post(credit, `{"cents":1}`, "Content-Type", "text/plain"), 415, "unsupported_media_type", "not_done")
	c.want(t, post(credit, `{"cents":`+strings.Repeat("1", 2000)+`}`), 413, "too_large", "not_done")
	c.want(t, post("/v1/agents/no/a/credit", ``), 404, "unknown_agent_type", "not_done")
	c.want(t, post("/v1/agents/account/a/no", ``), 404, "unknown_action", "not_done")
	c.want(t, post("/v1/effects/no", ``), 404, "unknown_effect", "not_done")
	c.want(t, s.do("GET", "/v1/agents/account/a", ""), 404, "unknown_agent", "not_done")
	c.want(t, s.do("GET", "/v1/outcomes/account/a?key=none", ""), 404, "unknown_key", "unknown")
	c.want(t, s.do("GET", "/v1/outcomes/account/a", ""), 400, "idempotency_key_required", "not_done")
	c.want(t, s.do("GET", "/v1/outcomes/account/a?key="+strings.Repeat("k", 256), ""), 400, "idempotency_key_invalid", "not_done")
	c.want(t, s.do("GET", "/v1/doubts/"+strings.Repeat("0", 32), ""), 404, "unknown_doubt", "not_done")
	c.want(t, s.do("GET", "/v1/dead/nonsense", ""), 404, "unknown_dead_letter", "not_done")
	c.want(t, s.do("GET", "/v1/agents", ""), 400, "invalid_request", "not_done")
	c.want(t, s.do("GET", "/v2", ""), 404, "not_found", "not_done")
	c.want(t, s.do("GET", "/v1/agents", "", "Authorization", "fail"), 500, "internal", "unknown")
	for _, m := range []struct{ method, path, allow string }{
		{"PATCH", "/v1/agents/account/a", "GET, HEAD, DELETE"}, {"POST", "/v1/agents", "GET, HEAD"}, {"DELETE", "/v1/dead/x/retry", "POST"},
		{"PUT", "/v1/doubts/x", "GET, HEAD, POST"}, {"TRACE", "/v1/calls", "POST"}, {"OPTIONS", "/livez", "GET, HEAD"},
		{"PUT", "/v1/agents/account/a/keys", "GET, HEAD, POST"},
	} {
		r := s.do(m.method, m.path, "")
		c.want(t, r, 405, "method_not_allowed", "not_done")
		same(t, m.method+" "+m.path+": Allow", r.header.Get("Allow"), m.allow)
	}
	req, err := http.NewRequest("GET", s.url+"/livez", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	c.want(t, s.send(req), 421, "misdirected_request", "not_done")
	c.want(t, s.cut("POST "+credit+" HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nContent-Length: 11\r\n\r\n{\"cents\""), 400, "incomplete_request", "not_done")
	// Nothing of all this took effect, or stands under the key.
	if r := s.call("account/a/credit", "k", `{"cents":7}`); r.body != `{"cents":7}` || r.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("%+v", r)
	}
}

// nobodyFails lets everybody in, unless it is asked to fail.
type nobodyFails struct{}

func (nobodyFails) Authenticate(r *http.Request) (server.Principal, error) {
	if r.Header.Get("Authorization") == "fail" {
		return server.Principal{}, errors.New("the table of principals is gone")
	}
	return server.Principal{Tenant: "default", Name: "anonymous", Roles: server.AllRoles}, nil
}

// send sends a request that was made by hand.
func (s *site) send(req *http.Request) response {
	s.t.Helper()
	res, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return readAll(s.t, res)
}

func readAll(t testing.TB, res *http.Response) response {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return response{res.StatusCode, res.Header, string(b)}
}

// cut sends bytes, ends its half of the connection, and reads the answer.
func (s *site) cut(request string) response {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, request)
	if err := errors.Join(err, conn.(*net.TCPConn).CloseWrite()); err != nil {
		s.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return readAll(s.t, res)
}

// of2023 is a key that says when it was made.
const of2023 = "018bcfe5-687b-7fff-bfff-ffffffffffff"

func contractKeys(t *testing.T, c *contract) {
	s := serve(t, semel.Config{}, server.Options{}, nil)
	longest := strings.Repeat("k", 255)
	for _, key := range []string{longest, `"` + longest + `"`, "clé", `"a b"`, " padded "} {
		first, again := s.call("account/a/credit", key, `{"cents":1}`), s.call("account/a/credit", key, `{"cents":1}`)
		if again.status != 200 || again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s: %+v, then %+v", key, first, again)
		}
		same(t, "the echo", first.header.Get("Idempotency-Key"), strings.TrimSpace(key))
	}
	conflict := s.call("account/a/credit", "clé", `{"cents":2}`)
	c.want(t, conflict, 422, "idempotency_conflict", "not_done")
	c.want(t, s.call("account/a/debit", "clé", `{"cents":1}`), 422, "idempotency_conflict", "not_done") // another action is another request
	same(t, "another agent's call with the key", s.call("account/b/credit", "clé", `{"cents":2}`).status, 200)
	c.want(t, s.do("POST", "/v1/agents/account/a/credit", `{"cents":1}`, "Idempotency-Key", strings.Repeat("k", 256)), 400, "idempotency_key_invalid", "not_done")

	// A key that says when it was made is refused when its outcome may be forgotten.
	s = serve(t, semel.Config{Retention: 50 * time.Millisecond, Skew: time.Millisecond}, server.Options{}, nil)
	r := s.until(`"cents"`, func() response { return s.call("account/a/credit", of2023, `{"cents":1}`) })
	c.want(t, r, 410, "idempotency_key_expired", "unknown")
}

func contractObjectForm(t *testing.T, c *contract) {
	s := serve(t, semel.Config{}, server.Options{}, nil)
	calls := func(body string, headers ...string) response {
		t.Helper()
		return s.do("POST", "/v1/calls", body, headers...)
	}
	path := s.call("account/a%2Fb/credit", "k", `{"cents":5}`)
	object := calls(`{"agent":"account/a/b","action":"credit","key":"k","body":{"cents":5}}`)
	if object.status != 200 || object.body != path.body || object.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%+v, at first %+v", object, path)
	}
	same(t, "with the key in the header too", calls(`{"agent":"account/a/b","action":"credit","key":"k","body":{"cents":5}}`, "Idempotency-Key", `"k"`).status, 200)
	for _, wrong := range []struct{ body, header, code string }{
		{`{"agent":"account/a","action":"credit","key":"k","body":{"cents":5}}`, "other", "idempotency_key_invalid"},
		{`{"agent":"account/a","action":"credit","key":"","body":{"cents":5}}`, "", "idempotency_key_invalid"},
		{`{"agent":"account/a","action":"credit","body":{"cents":5}}`, "", "idempotency_key_required"},
		{`{"agent":"account/a","action":"credit","body":{"cents":5}}`, "k", "idempotency_key_required"},
		{`{"agent":"account","action":"credit","key":"k"}`, "", "invalid_request"},
		{`{"agent":"account/..","action":"credit","key":"k"}`, "", "invalid_request"},
		{`{"agent":"account/a","action":"credit","key":"k","more":1}`, "", "invalid_request"},
		{`{"AGENT":"account/a","action":"credit","key":"k"}`, "", "invalid_request"},
		{`{"agent":"account/b","Agent":"account/a","action":"credit","key":"k","body":{"cents":5}}`, "", "invalid_request"},
		{`{"agent":1}`, "", "invalid_request"}, {`"text"`, "", "invalid_request"}, {`null`, "", "invalid_request"}, {``, "", "invalid_request"},
	} {
		headers := []string{}
		if wrong.header != "" {
			headers = []string{"Idempotency-Key", wrong.header}
		}
		r := calls(wrong.body, headers...)
		if c.want(t, r, 400, wrong.code, "not_done"); t.Failed() {
			t.Fatalf("%s %s", wrong.body, wrong.header)
		}
	}
	c.want(t, s.do("GET", "/v1/agents/account/a", ""), 404, "unknown_agent", "not_done")
}

func contractBatch(t *testing.T, c *contract) {
	s := serve(t, semel.Config{}, server.Options{}, nil)
	type answer struct {
		Status   int
		Replayed bool
		Reply    any
		Problem  struct{ Code, Kind string }
	}
	batch := func(body string, headers ...string) response {
		t.Helper()
		return s.do("POST", "/v1/calls", body, headers...)
	}
	const calls = `[{"agent":"account/a","action":"credit","key":"1","body":{"cents":5}},
		{"agent":"account/a","action":"debit","key":"2","body":{"cents":9}},
		{"agent":"nothing/a","action":"credit","key":"3"}, {"agent":"account/a","action":"credit"},
		{"agent":"account/a","action":"credit","key":"1","body":{"cents":6}},
		{"agent":"account/b","action":"credit","key":"1","body":{"cents":6}}]`
	for _, again := range []bool{false, true} {
		var said []string
		for _, a := range get[[]answer](t, batch(calls), 200) {
			said = append(said, fmt.Sprint(a.Status, a.Replayed, a.Reply, a.Problem.Code, a.Problem.Kind))
		}
		same(t, "the batch", strings.Join(said, "\n"), strings.ReplaceAll(`200 R map[cents:5]
422 R <nil>insufficient_fundsrejected
404 false <nil>unknown_agent_typenot_done
400 false <nil>idempotency_key_requirednot_done
422 false <nil>idempotency_conflictnot_done
200 R map[cents:6]`, "R", fmt.Sprint(again)))
	}
	same(t, "an empty batch", batch(" [] ").body, "[]")
	many := func(n int) string {
		const one = `{"agent":"account/m","action":"credit","key":"%d","body":{"cents":1}}`
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ","+one, i)
		}
		return "[" + b.String()[1:] + "]"
	}
	for _, a := range get[[]answer](t, batch(many(1000)), 200) {
		if a.Status != 200 {
			t.Fatalf("%+v", a)
		}
	}
	c.want(t, batch(many(1001)), 413, "too_large", "not_done")
	c.want(t, batch("[{}]", "Idempotency-Key", "k"), 400, "idempotency_key_invalid", "not_done")
	c.want(t, batch("[1]"), 400, "invalid_request", "not_done")
	c.want(t, batch("[null"), 400, "invalid_request", "not_done")
	same(t, "null for a call", get[[]answer](t, batch("[null]"), 200)[0].Status, 400)
}

// contractPrefer: waiting for less, for more, and not at all.
func contractPrefer(t *testing.T, c *contract) {
	release, began := make(chan struct{}), make(chan struct{}, 1)
	s := serve(t, semel.Config{}, server.Options{Wait: 20 * time.Millisecond}, func(app *semel.App) {
		slow := semel.NewEffect(app, "slow", func(ctx context.Context, _ semel.EffectCall, _ string) (string, error) {
			began <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
			}
			return "late", nil
		})
		agent := semel.NewAgent[int](app, "slow")
		then := semel.Then(agent, "then", func(_ *int, _ *semel.Step, _ none, r semel.Result[string]) (string, error) { return r.Value, r.Err() })
		semel.On(agent, "run", func(_ *int, st *semel.Step, _ none) (string, error) {
			slow.Ask(st, "", then.With(none{}))
			return semel.Defer[string]()
		})
	})
	const path, where = "/v1/agents/slow/a%2Fb/run", "/v1/outcomes/slow/a%2Fb?key=the+key"
	call := func(prefer ...string) response {
		t.Helper()
		headers := []string{"Idempotency-Key", "the key"}
		for _, p := range prefer {
			headers = append(headers, "Prefer", p)
		}
		return s.do("POST", path, "", headers...)
	}
	accepted := call("respond-async, wait=100")
	same(t, "accepted", fmt.Sprint(accepted.status, accepted.body), `202{"status":"in_flight","outcome":"`+where+`"}`)
	same(t, "Location", accepted.header.Get("Location"), where)
	same(t, "what was honoured", accepted.header.Get("Preference-Applied"), "respond-async")
	<-began
	r := call()
	c.want(t, r, 409, "in_flight", "unknown")
	same(t, "Retry-After", r.header.Get("Retry-After"), "1")
	r = call("wait=1")
	c.want(t, r, 409, "in_flight", "unknown")
	same(t, "what was honoured", r.header.Get("Preference-Applied"), "wait=1")
	same(t, "its outcome", get[struct{ Status string }](t, s.do("GET", where, ""), 200).Status, "in_flight")
	done := make(chan response, 1)
	go func() { done <- call("handling=lenient", "wait=60") }()
	close(release)
	late := <-done
	same(t, "who waited", fmt.Sprint(late.status, late.body, late.header.Get("Preference-Applied")), `200"late"wait=60`)
	if again := call("respond-async"); again.status != 200 || again.body != late.body || again.header.Get("Idempotent-Replayed") != "true" || again.header.Get("Location") != "" {
		t.Errorf("%+v", again)
	}
	for prefer, applied := range map[string]string{
		"wait=301": "wait=300", "wait=0": "wait=1", "wait=99999999999999999999": "", "wait=-1": "", "wait": "", "wait=x": "", `wait="7"`: "wait=7", "Wait=7; a=b": "wait=7", "wait=3, wait=9": "wait=3", "": "",
	} {
		r := call(prefer)
		same(t, "of "+prefer, fmt.Sprint(r.status, r.header.Get("Preference-Applied")), fmt.Sprint(200, applied))
	}
	same(t, "a call without a key", s.do("POST", "/v1/agents/slow/c/run", "", "Prefer", "respond-async").status, 400)
}
