package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/message"
)

// cutConnection ends the connection of a request without an answer.
func cutConnection(t *testing.T, w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// A network that loses requests, loses answers, cuts answers in two and
// delivers twice: each call takes effect once (FAULTS 1 to 4).
func TestCallsThroughABadNetwork(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := make(map[string]int)
	var keys, bodies sync.Map // by path: what the first attempt had
	b := newBank(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			key := r.Header.Get("Idempotency-Key")
			if first, again := keys.LoadOrStore(r.URL.Path, key); again && first != key {
				t.Errorf("%s: key %s, at first %s", r.URL.Path, key, first)
			}
			if first, again := bodies.LoadOrStore(r.URL.Path, string(body)); again && first != string(body) {
				t.Errorf("%s: body %s, at first %s", r.URL.Path, body, first)
			}
			mu.Lock()
			seen[r.URL.Path]++
			n := seen[r.URL.Path]
			mu.Unlock()
			execute := func() *httptest.ResponseRecorder {
				rec := httptest.NewRecorder()
				again := r.Clone(r.Context())
				again.Body = io.NopCloser(bytes.NewReader(body))
				next.ServeHTTP(rec, again)
				return rec
			}
			switch n {
			case 1: // the request is lost
				cutConnection(t, w)
			case 2: // the answer is lost
				execute()
				cutConnection(t, w)
			case 3: // it is delivered twice, and the answer is cut in two
				execute()
				rec := execute()
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				text := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n" + rec.Body.String()
				_, _ = io.WriteString(conn, text)
				_ = conn.Close()
			case 4: // cut in two by somebody who hides it
				rec := execute()
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"+rec.Body.String())
				_ = conn.Close()
			default:
				rec := execute()
				for k, v := range rec.Header() {
					w.Header()[k] = v
				}
				w.WriteHeader(rec.Code)
				_, _ = w.Write(rec.Body.Bytes())
			}
		})
	})
	for _, r := range []Request{credit("alice", "pay-1"), credit("bob", "")} {
		reply, err := b.c.Call(t.Context(), r)
		// net/http itself repeats what was sent on an idle connection that is
		// cut: the header Idempotency-Key allows it.
		mu.Lock()
		n := seen["/v1/agents/"+r.Agent+"/credit"]
		mu.Unlock()
		if err != nil || string(reply.Body) != `{"cents":5}` || n != 5 || reply.Attempts > 5 || !reply.Replayed {
			t.Errorf("%+v, %v; it was sent %d times", reply, err, n)
		}
		if got := b.cents(t, strings.TrimPrefix(r.Agent, "account/")); got != 5 {
			t.Errorf("%s has %d", r.Agent, got)
		}
		if _, carries := message.KeyTime(reply.Key); r.Key == "" && !carries || r.Key != "" && reply.Key != r.Key {
			t.Errorf("the key is %q", reply.Key)
		}
	}
}

// A connection that breaks is unknown, one that never was is not done.
func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { cutConnection(t, w) }))
	defer srv.Close()
	c := newClient(t, srv.URL, Options{Retries: 2})
	reply, err := c.Call(t.Context(), credit("alice", ""))
	var unknown *semel.UnknownError
	if semel.KindOf(err) != semel.KindUnknown || !errors.As(err, &unknown) || unknown.Code != CodeConnectionLost || reply.Attempts != 3 || reply.Key == "" {
		t.Errorf("%+v, %v", reply, err)
	}
	// What only reads cannot have taken effect.
	if _, err := c.State(t.Context(), "account/alice"); semel.KindOf(err) != semel.KindNotDone {
		t.Error(err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String()
	_ = l.Close()
	reply, err = newClient(t, nobody, Options{Retries: 1}).Call(t.Context(), credit("alice", "k"))
	var notDone *semel.NotDoneError
	if semel.KindOf(err) != semel.KindNotDone || !errors.As(err, &notDone) || notDone.Code != CodeUnreachable || reply.Attempts != 2 {
		t.Errorf("%+v, %v", reply, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Call(ended, credit("alice", "k")); !errors.Is(err, semel.ErrCanceled) || !errors.Is(err, context.Canceled) || semel.KindOf(err) != semel.KindNotDone {
		t.Error(err)
	}
}

// The caller gives up while the server is at work.
func TestGivingUpIsUnknown(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		cancel()
		<-r.Context().Done()
	}))
	defer srv.Close()
	_, err := newClient(t, srv.URL, Options{}).Call(ctx, credit("alice", "k"))
	if semel.KindOf(err) != semel.KindUnknown || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Once an attempt may have taken effect, a refusal of a later one does not make
// the call not done.
func TestARefusalSaysNothingOfEarlierAttempts(t *testing.T) {
	t.Parallel()
	last := func(status int, code string) (Reply, error) {
		c := scripted(t, Options{Retries: 1}, func(n int, r *http.Request, _ string) (*http.Response, error) {
			if n == 1 {
				return nil, io.ErrUnexpectedEOF
			}
			return respond(status, problemBody(status, code, "not_done", false)), nil
		})
		return c.Call(t.Context(), credit("alice", "k"))
	}
	for status, code := range map[int]string{429: "overloaded", 503: "closed", 401: "unauthorized", 400: "invalid_request"} {
		if _, err := last(status, code); semel.KindOf(err) != semel.KindUnknown || !strings.Contains(err.Error(), code) {
			t.Errorf("%s: %v", code, err)
		}
	}
	// Had the first attempt been recorded, this would be its repetition.
	if _, err := last(422, "idempotency_conflict"); semel.KindOf(err) != semel.KindNotDone || !errors.Is(err, semel.ErrConflict) {
		t.Error(err)
	}
}

// In flight is asked again without limit, and with the server's waiting.
func TestInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := scripted(t, Options{Retries: -1}, func(n int, r *http.Request, _ string) (*http.Response, error) {
			if r.Header.Get("Prefer") != "wait=30" || r.Header.Get("Idempotency-Key") != `"k"` {
				t.Errorf("%v", r.Header)
			}
			if n < 50 {
				return respond(409, problemBody(409, "in_flight", "unknown", true), "Retry-After", "1"), nil
			}
			return respond(200, `7`), nil
		})
		reply, err := c.Call(t.Context(), credit("alice", "k"))
		if err != nil || string(reply.Body) != "7" || reply.Attempts != 50 {
			t.Errorf("%+v, %v", reply, err)
		}
		if waited := time.Since(start); waited < 49*time.Second || waited > 50*time.Second {
			t.Errorf("Retry-After was not honoured: %v", waited)
		}
	})
}

// The deadline decides how long the server waits; what is in flight then is
// told before the deadline, not after a wait that cannot end well.
func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		c := scripted(t, Options{}, func(n int, r *http.Request, _ string) (*http.Response, error) {
			if r.Header.Get("Prefer") != "wait=5" {
				t.Errorf("%q", r.Header.Get("Prefer"))
			}
			time.Sleep(5 * time.Second)
			return respond(409, problemBody(409, "in_flight", "unknown", true), "Retry-After", "1"), nil
		})
		if _, err := c.Call(ctx, credit("alice", "k")); !errors.Is(err, semel.ErrInFlight) || ctx.Err() != nil {
			t.Error(err)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := scripted(t, Options{}, func(n int, r *http.Request, _ string) (*http.Response, error) {
			switch n {
			case 1:
				return respond(429, problemBody(429, "overloaded", "not_done", true), "Retry-After", "7"), nil
			case 2: // a proxy's own answer, with a date
				return respond(503, "busy", "Content-Type", "text/plain", "Retry-After", time.Now().Add(8*time.Second).UTC().Format(http.TimeFormat)), nil
			}
			return respond(200, `null`), nil
		})
		reply, err := c.Call(t.Context(), credit("alice", "k"))
		if waited := time.Since(start); err != nil || reply.Attempts != 3 || waited < 14*time.Second || waited > 16*time.Second {
			t.Errorf("%+v after %v: %v", reply, waited, err)
		}
		// Nobody wants to wait for a day.
		start = time.Now()
		c = scripted(t, Options{}, func(int, *http.Request, string) (*http.Response, error) {
			return respond(503, problemBody(503, "closed", "not_done", true), "Retry-After", "86400"), nil
		})
		if _, err := c.Call(t.Context(), credit("alice", "k")); !errors.Is(err, semel.ErrClosed) || time.Since(start) != 0 {
			t.Error(err)
		}
	})
}

// The waits grow, and are drawn at random.
func TestBackoff(t *testing.T) {
	t.Parallel()
	c := newClient(t, "http://semel.test", Options{BackoffBase: 100 * time.Millisecond, BackoffMax: 5 * time.Second})
	for n, limit := range map[int]time.Duration{1: 100 * time.Millisecond, 3: 400 * time.Millisecond, 7: 5 * time.Second, 1000: 5 * time.Second} {
		var least, most time.Duration = time.Hour, 0
		for range 200 {
			w := c.backoff(n)
			least, most = min(least, w), max(most, w)
		}
		if most > limit || most < limit/2 || least > limit/2 {
			t.Errorf("after %d failures from %v to %v, of at most %v", n, least, most, limit)
		}
	}
}

func TestNoMoreRetriesThanAllowed(t *testing.T) {
	t.Parallel()
	for retries, want := range map[int]int{-1: 1, 3: 4, 0: 11} {
		told := 1
		c := scripted(t, Options{Retries: retries, OnRetry: func(err error, _ time.Duration) {
			if told++; !errors.Is(err, semel.ErrStoreUnavailable) {
				t.Error(err)
			}
		}}, func(int, *http.Request, string) (*http.Response, error) {
			return respond(503, problemBody(503, "store_unavailable", "not_done", true)), nil
		})
		if reply, err := c.Call(t.Context(), credit("alice", "k")); reply.Attempts != want || told != want || !errors.Is(err, semel.ErrStoreUnavailable) {
			t.Errorf("%d retries: %+v, %v", retries, reply, err)
		}
	}
}

// A redirect would turn a call into something else.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { elsewhere.Store(true) }))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	_, err := newClient(t, srv.URL, Options{Token: "secret"}).Call(t.Context(), credit("alice", "k"))
	if semel.KindOf(err) != semel.KindUnknown || !strings.Contains(err.Error(), other.URL) || elsewhere.Load() {
		t.Error(err)
	}
}

// Keys reach the server as they are, by whatever way can carry them.
func TestKeysAndNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ key, header string }{
		{"pay-1", `"pay-1"`},
		{`a"b\c`, `"a\"b\\c"`},
		{` edge `, `" edge "`},
		{"clé", "clé"},
		{`"clé`, ""},
		{"clé ", ""},
	} {
		c2 := scripted(t, Options{Token: "tok"}, func(_ int, r *http.Request, body string) (*http.Response, error) {
			if c.header != "" {
				if r.URL.EscapedPath() != "/v1/agents/account/a%2Fb%20c/credit" || r.Header.Get("Idempotency-Key") != c.header || body != `{"cents":5}` {
					t.Errorf("%q: %s %v %s", c.key, r.URL.EscapedPath(), r.Header, body)
				}
			} else {
				var got wireCall
				if err := json.Unmarshal([]byte(body), &got); err != nil || r.URL.Path != "/v1/calls" || got.Key != c.key || got.Agent != "account/a/b c" || got.Action != "credit" || string(got.Body) != `{"cents":5}` {
					t.Errorf("%q: %s %s", c.key, r.URL.Path, body)
				}
			}
			if r.Header.Get("Authorization") != "Bearer tok" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%v", r.Header)
			}
			return respond(200, "1", "Idempotent-Replayed", "true"), nil
		})
		if reply, err := c2.Call(t.Context(), credit("a/b c", c.key)); err != nil || !reply.Replayed || reply.Key != c.key {
			t.Errorf("%q: %+v, %v", c.key, reply, err)
		}
	}
	// And the real server takes the header's forms for the same key.
	b := newBank(t, nil)
	for _, key := range []string{`a"b\c`, "clé", " edge "} {
		for i := range 2 {
			if reply, err := b.c.Call(t.Context(), credit("a/b c", key)); err != nil || reply.Replayed != (i == 1) {
				t.Errorf("%q: %+v, %v", key, reply, err)
			}
		}
	}
}

// What cannot be right is not sent.
func TestRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	c := scripted(t, Options{}, func(int, *http.Request, string) (*http.Response, error) {
		t.Error("it was sent")
		return nil, io.EOF
	})
	for name, r := range map[string]Request{
		"no type": {Agent: "alice", Action: "a"}, "dots": {Agent: "account/..", Action: "a"}, "no id": {Agent: "account/", Action: "a"},
		"no action": {Agent: "account/a"}, "body": {Agent: "account/a", Action: "a", Body: json.RawMessage("{")},
		"key": {Agent: "account/a", Action: "a", Key: "a\nb"}, "long key": {Agent: "account/a", Action: "a", Key: strings.Repeat("k", 256)},
	} {
		_, err := c.Call(t.Context(), r)
		_, submitted := c.Submit(t.Context(), r)
		batch := c.Batch(t.Context(), []Request{r})
		for _, err := range []error{err, submitted, batch[0].Err} {
			if semel.KindOf(err) != semel.KindNotDone {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, _, err := CallJSON[int](t.Context(), c, credit("a", "k"), func() {}); !errors.Is(err, semel.ErrInvalidRequest) {
		t.Error(err)
	}
}

func TestCallJSON(t *testing.T) {
	t.Parallel()
	b := newBank(t, nil)
	r := Request{Agent: "account/alice", Action: "open", Key: "open"}
	balance, reply, err := CallJSON[ledger.Balance](t.Context(), b.c, r, ledger.Open{Cents: 9})
	if err != nil || balance.Cents != 9 || reply.Replayed {
		t.Errorf("%+v %+v %v", balance, reply, err)
	}
	_, reply, err = CallJSON[[]string](t.Context(), b.c, r, ledger.Open{Cents: 9})
	if !errors.Is(err, semel.ErrReplyMisfit) || semel.KindOf(err) != semel.KindUnknown || string(reply.Body) != `{"cents":9}` || !reply.Replayed {
		t.Errorf("%+v %v", reply, err)
	}
}

func TestSubmitAndWait(t *testing.T) {
	t.Parallel()
	outcome := func(status, more string) string {
		return `{"agent":"account/alice","key":"k","principal":"anonymous","action":"credit","status":"` + status + `",` + more + `"attempts":1}`
	}
	for name, c := range map[string]struct {
		last string
		want func(Reply, error) bool
	}{
		"done": {outcome("done", `"reply":{"cents":5},`), func(r Reply, err error) bool { return err == nil && string(r.Body) == `{"cents":5}` }},
		"null": {outcome("done", ``), func(r Reply, err error) bool { return err == nil && string(r.Body) == `null` }},
		"rejected": {outcome("rejected", `"code":"no","detail":"never","data":{"status":402},`), func(_ Reply, err error) bool {
			var no *semel.Rejection
			var p *Problem
			return errors.As(err, &no) && no.Code == "no" && errors.As(err, &p) && string(p.Data) == `{"status":402}`
		}},
		"in_doubt": {outcome("in_doubt", `"doubt":"000102030405060708090a0b0c0d0e0f",`), func(_ Reply, err error) bool {
			var u *semel.UnknownError
			return errors.Is(err, semel.ErrInDoubt) && errors.As(err, &u) && u.Ref[15] == 15
		}},
		"dead": {outcome("dead", `"dead_letter":"000102030405060708090a0b0c0d0e0f",`), func(_ Reply, err error) bool { return errors.Is(err, semel.ErrDead) }},
		"not_done": {outcome("not_done", `"code":"canceled",`), func(_ Reply, err error) bool {
			return errors.Is(err, semel.ErrCanceled) && semel.KindOf(err) == semel.KindNotDone
		}},
		"unknown": {outcome("unknown", ``), func(_ Reply, err error) bool { return errors.Is(err, semel.ErrOutcomeUnknown) }},
	} {
		cl := scripted(t, Options{}, func(n int, r *http.Request, _ string) (*http.Response, error) {
			switch {
			case n == 1:
				if r.Header.Get("Prefer") != "respond-async, wait=30" {
					t.Errorf("%v", r.Header)
				}
				return respond(202, `{"status":"in_flight","outcome":"/v1/outcomes/account/alice?key=k"}`), nil
			case r.URL.String() != "http://semel.test/v1/outcomes/account/alice?key=k":
				t.Errorf("%s", r.URL)
			case n < 4:
				return respond(200, outcome("in_flight", "")), nil
			}
			return respond(200, c.last), nil
		})
		ticket, err := cl.Submit(t.Context(), credit("alice", "k"))
		if err != nil || ticket.Settled || ticket.Key != "k" || ticket.Outcome != "/v1/outcomes/account/alice?key=k" {
			t.Errorf("%s: %+v, %v", name, ticket, err)
		}
		if reply, err := cl.Wait(t.Context(), ticket.Agent, ticket.Key); !c.want(reply, err) {
			t.Errorf("%s: %+v, %v", name, reply, err)
		}
	}
	// Recorded already: that is the answer.
	b := newBank(t, nil)
	for i := range 2 {
		ticket, err := b.c.Submit(t.Context(), credit("alice", "k"))
		if i == 1 && (err != nil || !ticket.Settled || string(ticket.Reply.Body) != `{"cents":5}` || !ticket.Reply.Replayed) {
			t.Errorf("%+v, %v", ticket, err)
		}
	}
	// A 202 is never an outcome.
	cl := scripted(t, Options{}, func(int, *http.Request, string) (*http.Response, error) {
		return respond(202, `{"status":"in_flight"}`), nil
	})
	if _, err := cl.Call(t.Context(), credit("alice", "k")); semel.KindOf(err) != semel.KindUnknown {
		t.Error(err)
	}
}

func TestEffect(t *testing.T) {
	t.Parallel()
	c := scripted(t, Options{}, func(_ int, r *http.Request, body string) (*http.Response, error) {
		if r.URL.Path == "/v1/effects/charge" && r.Header.Get("Idempotency-Key") == `"k"` && body == `{"cents":1}` {
			return respond(422, `{"type":"t","title":"Rejected","status":422,"code":"rejected_by_provider","kind":"rejected","retryable":false,"data":{"status":402,"body":null}}`), nil
		}
		if r.URL.Path == "/v1/calls" && strings.Contains(body, `"agent":"effects/charge"`) && strings.Contains(body, `"action":"run"`) {
			return respond(200, "2"), nil
		}
		t.Errorf("%s %v %s", r.URL.Path, r.Header, body)
		return nil, io.EOF
	})
	_, err := c.Effect(t.Context(), "charge", "k", json.RawMessage(`{"cents":1}`))
	var p *Problem
	if semel.KindOf(err) != semel.KindRejected || !errors.As(err, &p) || !equalJSON(p.Data, []byte(`{"status":402,"body":null}`)) {
		t.Error(err)
	}
	if reply, err := c.Effect(t.Context(), "charge", "clé ", nil); err != nil || string(reply.Body) != "2" {
		t.Errorf("%+v, %v", reply, err)
	}
}
