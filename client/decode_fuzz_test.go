package client

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// Whatever answers a call, nobody hears that it was not done unless the server
// said so in its own words, or the status alone says that it was refused before
// it took effect.
func FuzzFailure(f *testing.F) {
	const own = "application/problem+json"
	f.Add(422, own, `{"code":"no","kind":"rejected","detail":"d"}`, "1", true)
	f.Add(409, own, `{"code":"in_doubt","kind":"unknown","doubt":"0102030405060708090a0b0c0d0e0f10"}`, "", true)
	f.Add(503, own, `{"code":"overloaded","kind":"not_done","retryable":true}`, "Fri, 31 Dec 1999 23:59:59 GMT", true)
	f.Add(502, "text/html", "<html>", "99999999999", true)
	f.Add(401, own+"; charset=utf-8", `{"kind":5}`, "-1", true)
	f.Add(302, own, `{}`, "", false)
	f.Fuzz(func(t *testing.T, status int, contentType, body, after string, call bool) {
		if status < 300 || status > 999 {
			return
		}
		x := &exchange{agent: semel.AgentName{Tenant: message.DefaultTenant, Type: "t", ID: "x"}, action: "act"}
		if call {
			x.nature = repeats
		}
		res := &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{"Content-Type": {contentType}, "Retry-After": {after}}}
		err := x.failureOf(res, []byte(body))
		if err == nil {
			t.Fatal("a failure is none")
		}
		var p *Problem
		if errors.As(err, &p) {
			if p.Status != status || p.RetryAfter < 0 {
				t.Errorf("%d: the problem is %+v", status, p)
			}
			if !strings.HasPrefix(contentType, "application/problem+json") && !strings.EqualFold(strings.TrimSpace(strings.Split(contentType, ";")[0]), "application/problem+json") {
				t.Errorf("a body of type %q is a problem", contentType)
			}
		}
		kind := semel.KindOf(err)
		ownWord := p != nil && p.Kind == message.NotDone.String()
		if kind == semel.KindNotDone && call && !ownWord && !refusal(status) {
			t.Errorf("%d, %s %q: not done, says the client: %v", status, contentType, body, err)
		}
		if kind == semel.KindRejected && (p == nil || p.Kind != message.Rejected.String()) {
			t.Errorf("%d, %s %q: rejected, says the client: %v", status, contentType, body, err)
		}
		if _, _, wait := next(err); wait < 0 {
			t.Errorf("it waits %v", wait)
		}
	})
}

// A success is a whole JSON document, or the client says that nobody knows.
func FuzzSuccess(f *testing.F) {
	f.Add("application/json", `{"a":1}`, int64(7))
	f.Add("application/json", `12`, int64(-1))
	f.Add("text/plain", `{}`, int64(2))
	f.Add("application/json", `{"a"`, int64(9))
	f.Fuzz(func(t *testing.T, contentType, body string, length int64) {
		x := &exchange{nature: repeats}
		res := &http.Response{StatusCode: 200, Status: "200 OK", ProtoMajor: 1, ContentLength: length, Header: http.Header{"Content-Type": {contentType}}}
		err := x.check(t.Context(), res, []byte(body))
		if whole := json.Valid([]byte(body)) && length >= 0; err == nil && !whole {
			t.Errorf("%q of %d bytes is a success", body, length)
		}
		if err != nil && semel.KindOf(err) != semel.KindUnknown {
			t.Errorf("%q: %v", body, err)
		}
	})
}

// An agent is read from the form in which it is written, and its path has no
// way out of the tree of agents.
func FuzzAgent(f *testing.F) {
	for _, s := range []string{"account/alice", "a/b/c", "a", "/", "a/..", "a/%2e%2e", "a/b?c#d", "a:b/c", "a/ü"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseAgent(s)
		if err != nil {
			return
		}
		if a.Type+"/"+a.ID != s || a.Tenant != message.DefaultTenant {
			t.Errorf("%q is the agent %+v", s, a)
		}
		rest, ok := strings.CutPrefix(agentPath(a), "/v1/agents/")
		if !ok || strings.Count(rest, "/") != 1 || strings.ContainsAny(rest, "?#") || strings.HasSuffix(rest, "/..") || strings.HasSuffix(rest, "/.") {
			t.Errorf("%q has the path %q", s, agentPath(a))
		}
	})
}
