package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// contract is the table of failures of docs/reference/http.md.
type contract struct {
	status     int
	code, kind string
}

// readContract reads the table from the page, so that a code that is added
// there is tested here.
func readContract(t *testing.T) []contract {
	t.Helper()
	b, err := os.ReadFile("../docs/reference/http.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(b), "| status | code | kind |")
	if !ok {
		t.Fatal("the page has no table of failures any more")
	}
	var all []contract
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 {
			if len(all) > 0 {
				break
			}
			continue
		}
		var status int
		if _, err := fmt.Sscan(cells[1], &status); err != nil {
			continue
		}
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[2], -1) {
			kind := strings.Fields(cells[3])[0]
			if strings.Contains(cells[3], "`"+m[1]+"`: unknown") {
				kind = "unknown"
			}
			all = append(all, contract{status, m[1], kind})
		}
	}
	if len(all) < 34 {
		t.Fatalf("only %d codes were found: %v", len(all), all)
	}
	return all
}

// Every code of the contract becomes its kind's type, matches its sentinel, and
// carries its document.
func TestEveryCodeOfTheContract(t *testing.T) {
	t.Parallel()
	sentinels := map[string]error{}
	for _, err := range []error{
		semel.ErrKeyRequired, semel.ErrKeyInvalid, semel.ErrKeyInFuture, semel.ErrConflict, semel.ErrInvalidRequest, semel.ErrTooLarge,
		semel.ErrUnknownAgentType, semel.ErrUnknownAction, semel.ErrUnknownAgent, semel.ErrUnknownEffect, semel.ErrUnknownDoubt, semel.ErrUnknownDead,
		semel.ErrAlreadyResolved, semel.ErrTooEarly, semel.ErrOverloaded, semel.ErrHandlerFailed, semel.ErrCanceled, semel.ErrClosed, semel.ErrStorageFull,
		semel.ErrStoreUnavailable, semel.ErrInFlight, semel.ErrInDoubt, semel.ErrDead, semel.ErrExpired, semel.ErrOutcomeUnknown,
		semel.ErrCommitUnknown, semel.ErrUnknownKey,
	} {
		sentinels[strings.TrimPrefix(err.Error(), "semel: ")] = err
	}
	matched := 0
	const id = "000102030405060708090a0b0c0d0e0f"
	for _, c := range readContract(t) {
		body := strings.TrimSuffix(problemBody(c.status, c.code, c.kind, false), "}")
		switch c.code {
		case "in_doubt":
			body += `,"doubt":"` + id + `"`
		case "dead":
			body += `,"dead_letter":"` + id + `"`
		}
		body += "}"
		cl := scripted(t, Options{Retries: -1}, func(_ int, r *http.Request, _ string) (*http.Response, error) {
			if c.code == "in_flight" {
				return respond(c.status, body, "Retry-After", "86400"), nil
			}
			return respond(c.status, body), nil
		})
		reply, err := cl.Call(t.Context(), credit("alice", "k"))
		var p *Problem
		if !errors.As(err, &p) || p.Status != c.status || p.Code != c.code || p.Title != "A title" {
			t.Errorf("%s: the problem is %+v", c.code, p)
		}
		if semel.KindOf(err).String() != c.kind || reply.Attempts != 1 || reply.Key != "k" {
			t.Errorf("%s: kind %v, %+v", c.code, semel.KindOf(err), reply)
		}
		var code, agent, action string
		var ref semel.ID
		var notDone *semel.NotDoneError
		var unknown *semel.UnknownError
		switch {
		case errors.As(err, &notDone):
			code, agent, action = string(notDone.Code), notDone.Agent.String(), notDone.Action
		case errors.As(err, &unknown):
			code, agent, action, ref = string(unknown.Code), unknown.Agent.String(), unknown.Action, unknown.Ref
		}
		if code != c.code || agent != "account/alice" || action != "credit" || !strings.Contains(err.Error(), "what to do about it") {
			t.Errorf("%s: %s %s %s: %v", c.code, code, agent, action, err)
		}
		if wantRef := c.code == "in_doubt" || c.code == "dead"; wantRef != (ref.String() == id) {
			t.Errorf("%s: ref %v", c.code, ref)
		}
		if s := sentinels[c.code]; s != nil {
			matched++
			if !errors.Is(err, s) {
				t.Errorf("%s does not match its sentinel", c.code)
			}
		}
	}
	if matched != len(sentinels) {
		t.Errorf("%d sentinels of %d occurred", matched, len(sentinels))
	}
}

func TestARejection(t *testing.T) {
	t.Parallel()
	b := newBank(t, nil)
	for i := range 2 {
		reply, err := b.c.Call(t.Context(), Request{Agent: "account/alice", Action: "debit", Key: "k", Body: []byte(`{"cents":1}`)})
		var no *semel.Rejection
		var p *Problem
		if !errors.As(err, &no) || no.Code != "insufficient_funds" || no.Agent.ID != "alice" || no.Action != "debit" ||
			!errors.As(err, &p) || p.Status != 422 || semel.KindOf(err) != semel.KindRejected || reply.Replayed != (i == 1) {
			t.Errorf("%+v, %v", reply, err)
		}
	}
	_, err := b.c.Call(t.Context(), Request{Agent: "account/alice", Action: "debit", Key: "k", Body: []byte(`{"cents":2}`)})
	if !errors.Is(err, semel.ErrConflict) {
		t.Error(err)
	}
}

// What is not an answer of this API is unknown, unless its status says that the
// request was refused.
func TestAnswersOfOthers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status   int
		body     string
		header   []string
		kind     semel.Kind
		attempts int
	}{
		"a gateway":            {502, "<html>", []string{"Content-Type", "text/html"}, semel.KindUnknown, 3},
		"a gateway's timeout":  {504, "<html>", []string{"Content-Type", "text/html"}, semel.KindUnknown, 3},
		"a login page":         {200, "<html>", []string{"Content-Type", "text/html"}, semel.KindUnknown, 1},
		"JSON that is none":    {200, "{", nil, semel.KindUnknown, 1},
		"created":              {201, "1", nil, semel.KindUnknown, 1},
		"nothing":              {204, "", nil, semel.KindUnknown, 1},
		"another server":       {404, "not found", []string{"Content-Type", "text/plain"}, semel.KindUnknown, 1},
		"a firewall":           {403, "<html>", []string{"Content-Type", "text/html"}, semel.KindUnknown, 1},
		"a login":              {302, "", []string{"Location", "/login"}, semel.KindUnknown, 1},
		"net/http":             {400, "400 Bad Request", []string{"Content-Type", "text/plain"}, semel.KindUnknown, 1},
		"a token's expiry":     {401, "", []string{"Content-Type", "text/plain"}, semel.KindNotDone, 1},
		"a limiter":            {429, "slow down", []string{"Content-Type", "text/plain"}, semel.KindNotDone, 3},
		"another's conflict":   {409, "{}", []string{"Content-Type", "application/json"}, semel.KindUnknown, 1},
		"a kind of the future": {409, problemBody(409, "new", "perhaps", false), nil, semel.KindUnknown, 1},
		"a document of others": {400, `{"type":"about:blank","title":"Bad","status":400}`, nil, semel.KindUnknown, 1},
	} {
		cl := scripted(t, Options{Retries: 2}, func(int, *http.Request, string) (*http.Response, error) {
			return respond(c.status, c.body, c.header...), nil
		})
		reply, err := cl.Call(t.Context(), credit("alice", "k"))
		if semel.KindOf(err) != c.kind || reply.Attempts != c.attempts || err == nil {
			t.Errorf("%s: %v after %d: %v", name, semel.KindOf(err), reply.Attempts, err)
		}
	}
}

// A foreign status refuses a call only if nobody says it of a call that was
// executed; of what only reads, every one is not done.
func TestForeignStatuses(t *testing.T) {
	t.Parallel()
	refused := map[int]bool{401: true, 405: true, 407: true, 411: true, 413: true, 414: true, 415: true, 421: true, 429: true, 431: true}
	for status := 300; status < 600; status++ {
		cl := scripted(t, Options{Retries: -1}, func(int, *http.Request, string) (*http.Response, error) {
			return respond(status, "<html>", "Content-Type", "text/html"), nil
		})
		want := semel.KindUnknown
		if refused[status] {
			want = semel.KindNotDone
		}
		if _, err := cl.Call(t.Context(), credit("alice", "k")); semel.KindOf(err) != want {
			t.Errorf("call, %d: %v", status, err)
		}
		if _, err := cl.State(t.Context(), "account/alice"); semel.KindOf(err) != semel.KindNotDone {
			t.Errorf("state, %d: %v", status, err)
		}
	}
}

// What takes a person, or may never come, is not waited for, though it is
// retryable.
func TestWhatIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for code, status := range map[message.Code]int{
		message.CodeInDoubt: 409, message.CodeDead: 409, message.CodeUnknownAgent: 404, message.CodeUnknownKey: 404,
		message.CodeKeyInFuture: 400, message.CodeStorageFull: 507,
	} {
		n := 0
		cl := scripted(t, Options{}, func(int, *http.Request, string) (*http.Response, error) {
			n++
			return respond(status, problemBody(status, string(code), code.Kind().String(), true)), nil
		})
		if _, err := cl.State(t.Context(), "account/alice"); n != 1 || err == nil {
			t.Errorf("%s: asked %d times, %v", code, n, err)
		}
	}
}

// An earlier attempt to read leaves nothing behind, whatever it was answered.
func TestReadsHaveNoHistory(t *testing.T) {
	t.Parallel()
	cl := scripted(t, Options{}, func(n int, _ *http.Request, _ string) (*http.Response, error) {
		if n == 1 {
			return respond(500, problemBody(500, "internal", "unknown", true)), nil
		}
		return respond(404, problemBody(404, "unknown_agent", "not_done", true)), nil
	})
	if _, err := cl.State(t.Context(), "account/alice"); semel.KindOf(err) != semel.KindNotDone || !errors.Is(err, semel.ErrUnknownAgent) {
		t.Error(err)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "localhost:7075", "/x", "ftp://a", "http://", "http://a?b", "http://u:p@a", "http://a/%zz"} {
		if _, err := New(url, nil); err == nil {
			t.Errorf("%q is taken", url)
		}
	}
	for _, o := range []Options{{PageSize: 1001}, {PageSize: -1}, {BackoffBase: -1}, {Token: "a\n"}} {
		if _, err := New("http://a", &o); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	// A path is kept.
	var got string
	hc := &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
		got = r.URL.String()
		return nil, io.EOF
	})}
	c := newClient(t, "https://a/semel/", Options{HTTP: hc, Retries: -1})
	if err := c.Ready(t.Context()); semel.KindOf(err) != semel.KindNotDone || got != "https://a/semel/readyz" {
		t.Errorf("%s, %v", got, err)
	}
	if hc.CheckRedirect != nil {
		t.Error("the caller's own client was changed")
	}
}
