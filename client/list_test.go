package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/semel-dev/semel"
)

// A listing goes through all pages, and a page that fails at first is asked again.
func TestPaging(t *testing.T) {
	t.Parallel()
	var asked []string
	c := scripted(t, Options{PageSize: 2, Retries: 1}, func(n int, r *http.Request, _ string) (*http.Response, error) {
		asked = append(asked, r.URL.RawQuery)
		if n == 2 {
			return nil, io.ErrUnexpectedEOF
		}
		switch r.URL.Query().Get("cursor") {
		case "":
			return respond(200, `{"agents":[{"agent":"account/a","version":1},{"agent":"account/b","version":2}],"next":"p/2="}`), nil
		case "p/2=":
			return respond(200, `{"agents":[{"agent":"account/c/d","version":3}],"next":"p3"}`), nil
		}
		return respond(200, `{"agents":[]}`), nil
	})
	list := c.Agents(t.Context(), "account")
	var got []string
	for a, err := range list {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(a.Agent, a.Version))
	}
	if strings.Join(got, " ") != "account/a1 account/b2 account/c/d3" {
		t.Error(got)
	}
	if want := "limit=2&type=account limit=2&type=account&cursor=p%2F2%3D limit=2&type=account&cursor=p%2F2%3D limit=2&type=account&cursor=p3"; strings.Join(asked, " ") != want {
		t.Error(asked)
	}
	// Who has enough is not sent more.
	asked = nil
	for range list {
		break
	}
	if len(asked) != 1 {
		t.Error(asked)
	}
}

func TestListingsEndWithTheirError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pages []string
		want  int // entries
	}{
		"endless":   {[]string{`{"doubts":[{"doubt":"a"}],"next":"x"}`, `{"doubts":[{"doubt":"b"}],"next":"x"}`}, 1},
		"no member": {[]string{`{"others":[]}`}, 0},
		"no object": {[]string{`[]`}, 0},
		"next":      {[]string{`{"doubts":[],"next":1}`}, 0},
	} {
		cl := scripted(t, Options{}, func(n int, _ *http.Request, _ string) (*http.Response, error) {
			return respond(200, c.pages[n-1]), nil
		})
		n := 0
		var last error
		for _, err := range cl.Doubts(t.Context()) {
			if last = err; err == nil {
				n++
			}
		}
		if n != c.want || semel.KindOf(last) != semel.KindNotDone {
			t.Errorf("%s: %d entries, %v", name, n, last)
		}
	}
	cl := scripted(t, Options{}, func(int, *http.Request, string) (*http.Response, error) {
		return respond(404, problemBody(404, "unknown_agent_type", "not_done", false)), nil
	})
	for _, err := range cl.Agents(t.Context(), "x") {
		if !errors.Is(err, semel.ErrUnknownAgentType) {
			t.Error(err)
		}
	}
	for _, err := range cl.Keys(t.Context(), "x") {
		if !errors.Is(err, semel.ErrInvalidRequest) {
			t.Error(err)
		}
	}
}

const outcomeText = `{"agent":"account/a","key":"K","principal":"p","action":"debit","status":"done","reply":{"n":1},"fingerprint":"00",` +
	`"first_seen":"2026-11-25T10:00:00Z","settled":"2026-11-25T10:00:01Z","attempts":2,"expires":"2026-11-26T10:00:01Z"}`

func TestReads(t *testing.T) {
	t.Parallel()
	var path string
	c := scripted(t, Options{}, func(_ int, r *http.Request, _ string) (*http.Response, error) {
		path = r.Method + " " + r.URL.RequestURI()
		switch {
		case strings.HasPrefix(path, "GET /v1/outcomes"):
			return respond(200, outcomeText), nil
		case strings.Contains(path, "/keys"):
			return respond(200, `{"keys":[`+outcomeText+`]}`), nil
		}
		return respond(200, `{"agent":"account/a","state":{"n":1},"version":3}`), nil
	})
	s, err := c.State(t.Context(), "account/a")
	if err != nil || s.Version != 3 || string(s.State) != `{"n":1}` || path != "GET /v1/agents/account/a" {
		t.Errorf("%+v %v %s", s, err, path)
	}
	o, err := c.OutcomeOf(t.Context(), "account/a", "k&1", "p q")
	if err != nil || o.Status != "done" || !o.IsSettled() || o.Attempts != 2 || o.Settled.Sub(o.FirstSeen).Seconds() != 1 || path != "GET /v1/outcomes/account/a?key=k%261&principal=p+q" {
		t.Errorf("%+v %v %s", o, err, path)
	}
	for o, err := range c.Keys(t.Context(), "account/a") {
		if err != nil || o.Key != "K" || path != "GET /v1/agents/account/a/keys?limit=500" {
			t.Errorf("%+v %v %s", o, err, path)
		}
	}
}
