package web_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/twopc/partytest"
	"github.com/semel-dev/semel/twopc/web"
)

// What each answer means, to prepare and to commit.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const yes, no, unknown, notDone = "yes", "no", "unknown", "not done"
	const doc, json = "application/problem+json", "application/json"
	for _, c := range []struct {
		status          int
		media, body     string
		prepare, commit string
	}{
		{200, json, `{"vote":"yes"}`, yes, yes},
		{200, json + "; charset=utf-8", `{"vote":"read_only","reply":[1]}`, yes, yes},
		{200, json, `{"vote":"maybe"}`, unknown, yes},
		{200, json, `{"vote":"yes","handle":"` + strings.Repeat("x", 65) + `"}`, unknown, yes},
		{200, json, `{"vo`, unknown, yes},
		{200, "text/html", `{"vote":"yes"}`, unknown, yes},
		{204, "", "", unknown, yes},
		{202, json, `{"vote":"yes"}`, unknown, unknown},
		{409, doc, `{"code":"insufficient_funds","data":{"a":1}}`, no, unknown},
		{422, doc, `{"code":"insufficient_funds"}`, no, unknown},
		{409, doc, `{"code":"resolved_otherwise"}`, no, no},
		{422, doc, `{"code":"resolved_otherwise"}`, no, unknown},
		{409, json, `{"code":"resolved_otherwise"}`, unknown, unknown}, // a proxy's
		{409, doc, `{}`, unknown, unknown},
		{503, doc, `{"code":"not_done"}`, notDone, notDone},
		{429, doc, `{"code":"not_done"}`, notDone, notDone},
		{503, doc, `{"code":"other"}`, unknown, unknown},
		{503, "text/plain", "upstream reset", unknown, unknown}, // a proxy's, after it had sent the request
		{400, doc, `{"code":"not_done"}`, unknown, unknown},
		{404, doc, `{"code":"resolved"}`, unknown, unknown},
		{500, doc, `{"code":"resolved"}`, unknown, unknown},
		{302, "", "", unknown, unknown},
		{200, json, `{"vote":"yes","reply":"` + strings.Repeat("x", 2<<20) + `"}`, unknown, unknown},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", c.media)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		p := client(t, server.URL)
		kind := func(err error) string {
			switch {
			case err == nil:
				return yes
			case semel.KindOf(err) == semel.KindRejected:
				return no
			case semel.KindOf(err) == semel.KindNotDone:
				return notDone
			}
			return unknown
		}
		b := partytest.Branch(t, partytest.Ask{})
		if _, err := p.Prepare(t.Context(), b); kind(err) != c.prepare {
			t.Errorf("%d %.60s: prepare says %v", c.status, c.body, err)
		}
		if err := p.Commit(t.Context(), twopc.Prepared{Tx: b.Tx, Name: b.Name}); kind(err) != c.commit {
			t.Errorf("%d %.60s: commit says %v", c.status, c.body, err)
		}
		if err := p.Abort(t.Context(), twopc.Prepared{Tx: b.Tx, Name: b.Name}); kind(err) != c.commit {
			t.Errorf("%d %.60s: abort says %v", c.status, c.body, err)
		}
		server.Close()
		if _, err := p.Prepare(t.Context(), b); kind(err) != notDone {
			t.Errorf("where nobody listens, prepare says %v", err)
		}
	}
}

// FAULTS 62, 64: where it connects, and what its errors repeat.
func TestOutbound(t *testing.T) {
	t.Parallel()
	const secret = "s3cret"
	called := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		called = true
		if r.Header.Get("Authorization") != secret || r.Header.Get("Idempotency-Key") == "" {
			t.Errorf("the header is %v", r.Header)
		}
		http.Error(w, r.Header.Get("Authorization"), http.StatusTeapot)
	}))
	defer server.Close()
	c := web.Config{URL: server.URL, Header: http.Header{"Authorization": {secret}}}
	p, err := web.New(c)
	if err != nil {
		t.Fatal(err)
	}
	b := partytest.Branch(t, partytest.Ask{})
	if _, err := p.Prepare(t.Context(), b); semel.KindOf(err) != semel.KindNotDone || called || !strings.Contains(err.Error(), "not a public address") {
		t.Errorf("to a private address it says %v", err)
	}
	c.AllowPrivate = true
	if p, err = web.New(c); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Prepare(t.Context(), b); err == nil || strings.Contains(err.Error(), secret) || !called {
		t.Errorf("it says %v", err)
	}
	for _, url := range []string{"", "ftp://x", "http://u:" + secret + "@x/", "http://x/?k=" + secret, "http://x/?", "http://x/#f"} {
		if _, err := web.New(web.Config{URL: url}); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := web.New(web.Config{URL: "http://x/", Header: http.Header{"Idempotency-Key": {"x"}}}); err == nil {
		t.Error("a configured key is taken")
	}
}

// What is not the contract's gets nowhere near the work.
func TestRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sqlite", "")
	good := `{"tx":"t","branch":"b","body":{"write":7}}`
	for _, c := range []struct {
		method, path, key, body string
		status                  int
	}{
		{"POST", "/prepare", "t/c", good, 400},
		{"POST", "/prepare", "", good, 400},
		{"POST", "/prepare", "t/b", `{"tx":"t"`, 400},
		{"POST", "/prepare", "T/b", `{"tx":"T","branch":"b"}`, 400},
		{"POST", "/prepare", "t/b", `{"tx":"t","branch":"b","body":"` + strings.Repeat("x", 2<<20) + `"}`, 400},
		{"GET", "/prepare", "t/b", good, 404},
		{"POST", "/prepared", "t/b", good, 404},
		{"POST", "/other", "t/b", good, 404},
		{"POST", "/prepare", "t/b", good, 200},
		{"POST", "/prepare", "t/b", good, 200},
		{"POST", "/prepare", "t/b", `{"tx":"t","branch":"b","body":{"write":8}}`, 409},
		{"GET", "/prepared", "", "", 200},
		{"POST", "/commit", "t/b", `{"tx":"t","branch":"b"}`, 200},
		{"POST", "/prepare", "t/b", good, 409},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
		r.Header.Set("Idempotency-Key", c.key)
		got := httptest.NewRecorder()
		w.handler.ServeHTTP(got, r)
		if got.Code != c.status {
			t.Errorf("%s %s %.40q: %d %s", c.method, c.path, c.body, got.Code, got.Body)
		}
	}
	if got := w.sum(t); got != 7 {
		t.Errorf("the sum is %d", got)
	}
}

// FAULTS 44: a branch that waits asks, does what it is told, and nothing on its own.
func TestInquire(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sqlite", "")
	server := httptest.NewServer(w.handler)
	defer server.Close()
	p := client(t, server.URL)
	say := make(map[string]string) // by transaction
	coordinator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tx := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/base/v1/transactions/"), "/decision")
		if r.Method != http.MethodGet || r.URL.Query().Get("branch") != "b1" || !r.URL.Query().Has("handle") {
			t.Errorf("asked was %s %s", r.Method, r.URL)
		}
		if say[tx] == "" {
			http.Error(w, `{"decision":"commit"}`, http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"decision":"`+say[tx]+`"}`)
	}))
	defer coordinator.Close()
	to := web.Config{URL: coordinator.URL + "/base", AllowPrivate: true}
	var all []twopc.Prepared
	for i, n := range []int{1, 20, 300, 4000, 50000} {
		all = append(all, partytest.Yes(t, p, partytest.Branch(t, partytest.Ask{Write: n})))
		say[all[i].Tx] = []string{"wait", "commit", "abort", "perhaps", ""}[i]
	}
	if waiting, err := w.full.Inquire(t.Context(), to, time.Hour); err != nil || waiting != 0 {
		t.Errorf("the young ones: %d, %v", waiting, err)
	}
	waiting, err := w.full.Inquire(t.Context(), to, 0)
	if waiting != 3 || err == nil || !strings.Contains(err.Error(), all[3].Tx) || !strings.Contains(err.Error(), all[4].Tx) || strings.Contains(err.Error(), all[0].Tx) {
		t.Errorf("%d wait: %v", waiting, err)
	}
	if got := w.sum(t); got != 20 {
		t.Errorf("the sum is %d", got)
	}
	if list, err := p.Recover(t.Context()); err != nil || len(list) != 3 {
		t.Errorf("listed is %+v, %v", list, err)
	}
	if err := p.Commit(t.Context(), all[2]); !partytest.Refused(err, twopc.CodeResolvedOtherwise) {
		t.Errorf("a commit of what was told to abort says %v", err)
	}
	if err := w.ledger.Clean(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if list, err := p.Recover(t.Context()); err != nil || len(list) != 3 {
		t.Errorf("after cleaning, listed is %+v, %v", list, err)
	}
}

// A commit whose end the store does not tell is unknown to the coordinator, and a
// function that fails is not.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	ledger := &failing{}
	server := httptest.NewServer(web.NewHandler(ledger, web.Work[int]{
		Prepare: func(context.Context, int, twopc.Branch) (twopc.Vote, error) { return twopc.Vote{}, ledger.work },
	}))
	defer server.Close()
	p, b := client(t, server.URL), partytest.Branch(t, partytest.Ask{})
	for _, c := range []struct {
		begin, work, commit error
		kind                semel.Kind
	}{
		{begin: io.EOF, kind: semel.KindNotDone}, {work: io.EOF, kind: semel.KindNotDone}, {commit: io.EOF, kind: semel.KindUnknown}, {},
	} {
		ledger.begin, ledger.work, ledger.commit = c.begin, c.work, c.commit
		if _, err := p.Prepare(t.Context(), b); semel.KindOf(err) != c.kind {
			t.Errorf("%+v: it says %v", c, err)
		}
	}
}

type failing struct{ begin, work, commit error }

func (f *failing) Within(ctx context.Context, _, _ string, do func(context.Context, int, web.Entry) (web.Entry, error)) error {
	if f.begin != nil {
		return f.begin
	}
	if _, err := do(ctx, 0, web.Entry{}); err != nil {
		return err
	}
	return f.commit
}

func (f *failing) Prepared(context.Context) ([]web.Entry, error) { return nil, errors.New("no list") }
