package client

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/semel-dev/semel"
)

const someID = "000102030405060708090a0b0c0d0e0f"

// Each verb of an operator, as the contract has it.
func TestOperating(t *testing.T) {
	t.Parallel()
	var sent string
	answer := func() (*http.Response, error) { return respond(204, ""), nil }
	c := scripted(t, Options{}, func(_ int, r *http.Request, body string) (*http.Response, error) {
		sent = r.Method + " " + r.URL.Path + " " + body
		return answer()
	})
	want := func(what string, err error) {
		t.Helper()
		if err != nil || sent != what {
			t.Errorf("%s, %v\nwant %s", sent, err, what)
		}
	}
	want("DELETE /v1/agents/account/a ", c.Delete(t.Context(), "account/a"))
	want("POST /v1/dead/"+someID+"/retry ", c.RetryDead(t.Context(), someID))
	want("POST /v1/dead/"+someID+"/discard ", c.DiscardDead(t.Context(), someID))
	want("POST /v1/retention/resume ", c.ResumeRetention(t.Context()))
	answer = func() (*http.Response, error) { return respond(201, `{"backup":"b"}`), nil }
	want(`POST /v1/backups {"name":"b"}`, c.Backup(t.Context(), "b"))
	answer = func() (*http.Response, error) {
		return respond(200, `{"doubt":"`+someID+`","resolution":"done","by":"ann"}`), nil
	}
	for body, r := range map[string]Resolution{
		`{"resolution":"done","reply":{"n":1}}`:                  Done([]byte(`{"n":1}`)),
		`{"resolution":"done","reply":null}`:                     Done(nil),
		`{"resolution":"not_done","seen":"3-14"}`:                NotDone().About(Doubt{Seen: "3-14"}),
		`{"resolution":"failed","code":"declined","detail":"d"}`: Failed("declined", "d"),
	} {
		got, err := c.Resolve(t.Context(), someID, r)
		want("POST /v1/doubts/"+someID+" "+body, err)
		if got.By != "ann" {
			t.Errorf("%+v", got)
		}
	}
	answer = func() (*http.Response, error) {
		return respond(200, `{"doubt":"`+someID+`","effect":"charge","agent":"account/a","principal":"p","key":"k","request":{"n":1},"attempts":1,"asked":"2026-11-25T10:00:00Z","reason":"r","seen":"3-14"}`), nil
	}
	d, err := c.Doubt(t.Context(), someID)
	want("GET /v1/doubts/"+someID+" ", err)
	if d.ID != someID || d.Effect != "charge" || d.Asked.IsZero() || d.Seen != "3-14" {
		t.Errorf("%+v", d)
	}
	answer = func() (*http.Response, error) {
		return respond(200, `{"dead_letter":"`+someID+`","agent":"account/a","action":"x","principal":"p","key":"k","body":{"n":1},"reason":"r","attempts":10,"at":"2026-11-25T10:00:00Z"}`), nil
	}
	l, err := c.DeadLetter(t.Context(), someID)
	want("GET /v1/dead/"+someID+" ", err)
	if l.ID != someID || l.Attempts != 10 || l.At.IsZero() {
		t.Errorf("%+v", l)
	}
}

// What must not be done twice is not sent twice, unless it was refused.
func TestSentOnce(t *testing.T) {
	t.Parallel()
	n := 0
	cut := false
	c := scripted(t, Options{Retries: 2}, func(int, *http.Request, string) (*http.Response, error) {
		if n++; cut {
			return nil, io.ErrUnexpectedEOF
		}
		return respond(503, problemBody(503, "closed", "not_done", true)), nil
	})
	for name, do := range map[string]func() error{
		"delete":  func() error { return c.Delete(t.Context(), "account/a") },
		"retry":   func() error { return c.RetryDead(t.Context(), someID) },
		"discard": func() error { return c.DiscardDead(t.Context(), someID) },
		"backup":  func() error { return c.Backup(t.Context(), "b") },
	} {
		n, cut = 0, true
		if err := do(); semel.KindOf(err) != semel.KindUnknown || n != 1 {
			t.Errorf("%s, cut: %d times, %v", name, n, err)
		}
		n, cut = 0, false
		if err := do(); !errors.Is(err, semel.ErrClosed) || n != 3 {
			t.Errorf("%s, refused: %d times, %v", name, n, err)
		}
	}
	n, cut = 0, true
	if _, err := c.Resolve(t.Context(), someID, NotDone()); semel.KindOf(err) != semel.KindUnknown || n != 3 {
		t.Errorf("resolve: %d times, %v", n, err)
	}
	n, cut = 0, false
	if err := c.Ready(t.Context()); !errors.Is(err, semel.ErrClosed) || n != 1 {
		t.Errorf("ready: %d times, %v", n, err)
	}
	for _, err := range []error{c.RetryDead(t.Context(), "x"), c.Delete(t.Context(), "x")} {
		if !errors.Is(err, semel.ErrInvalidRequest) {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Error("what cannot be right was sent")
	}
}
