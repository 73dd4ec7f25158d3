package httpsink_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/semel-dev/semel/outbox"
	"github.com/semel-dev/semel/outbox/httpsink"
)

func TestCloudEvent(t *testing.T) {
	t.Parallel()
	got := make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		h := r.Header.Clone()
		body, _ := io.ReadAll(r.Body)
		h.Set("body", string(body))
		h.Set("host", r.Host)
		got <- h
	}))
	defer server.Close()
	sink, err := httpsink.New(httpsink.Config{URL: server.URL, Source: "/billing", Header: http.Header{"Authorization": {"Bearer x"}}})
	if err != nil {
		t.Fatal(err)
	}
	m := outbox.Message{
		ID: "id 1", Key: "käse", Topic: "audit", Type: "order.paid", Body: []byte("\x00b"), Number: 7, SentAt: time.Unix(1, 0),
		Headers: map[string]string{"traceparent": "00-1", "x-note": "a%\n", "authorization": "stolen", "ce-id": "stolen", "host": "stolen", "bad name": "x"},
	}
	if r := sink.Deliver(t.Context(), []outbox.Message{m}); r[0].Verdict != outbox.Done {
		t.Fatalf("%+v", r)
	}
	h := <-got
	for name, want := range map[string]string{
		"ce-specversion": "1.0", "ce-id": "id%201", "ce-source": "/billing", "ce-type": "order.paid", "ce-time": "1970-01-01T00:00:01Z",
		"ce-topic": "audit", "ce-partitionkey": "k%C3%A4se", "ce-sequence": "00000000000000000007", "content-type": "application/json",
		"traceparent": "00-1", "x-note": "a%25%0A", "authorization": "Bearer x", "body": "\x00b", "host": server.Listener.Addr().String(),
		"idempotency-key": httpsink.Key("/billing", "id 1"),
	} {
		if h.Get(name) != want {
			t.Errorf("%s is %q, not %q", name, h.Get(name), want)
		}
	}
	if httpsink.Key("/a", "b") != "/a#b" || httpsink.Key("/billing", "id 1") == httpsink.Key("/billing", "id 2") {
		t.Error("keys")
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var code int
		_, _ = fmt.Sscan(r.Header.Get("ce-type"), &code)
		if code == 0 {
			panic(http.ErrAbortHandler) // no answer
		}
		w.Header().Set("Retry-After", "3")
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
	}))
	sink, err := httpsink.New(httpsink.Config{URL: server.URL, Source: "/s"})
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[int]outbox.Verdict{
		200: outbox.Done, 204: outbox.Done, 302: outbox.NotDone, 400: outbox.Refused, 401: outbox.NotDone, 404: outbox.NotDone, 408: outbox.Unknown,
		409: outbox.Unknown, 413: outbox.Refused, 422: outbox.Refused, 425: outbox.Unknown, 429: outbox.NotDone, 500: outbox.Unknown, 503: outbox.NotDone, 0: outbox.Unknown,
	} {
		r := sink.Deliver(t.Context(), []outbox.Message{{ID: "1", Type: fmt.Sprint(code)}})[0]
		if r.Verdict != want || want != outbox.Done && r.Err == nil {
			t.Errorf("%d is %v: %v", code, r.Verdict, r.Err)
		}
		if (code == 429 || code == 503) && r.After != 3*time.Second {
			t.Errorf("%d: after %v", code, r.After)
		}
	}
	server.Close()
	if r := sink.Deliver(t.Context(), []outbox.Message{{ID: "1"}})[0]; r.Verdict != outbox.NotDone {
		t.Errorf("nobody there: %+v", r)
	}
	for _, c := range []httpsink.Config{{}, {URL: "ftp://a", Source: "s"}, {URL: "http://a"}, {URL: "http://a", Source: "a b"}} {
		if _, err := httpsink.New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
