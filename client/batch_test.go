package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/semel-dev/semel"
)

// Only the calls that are worth it are sent again, each with its own key.
func TestBatch(t *testing.T) {
	t.Parallel()
	made := make(map[string]string) // by agent
	c := scripted(t, Options{Retries: 3}, func(n int, r *http.Request, body string) (*http.Response, error) {
		var calls []wireCall
		if err := json.Unmarshal([]byte(body), &calls); err != nil || r.URL.Path != "/v1/calls" {
			t.Fatalf("%s %s %v", r.URL, body, err)
		}
		for _, call := range calls {
			if was, again := made[call.Agent]; again && was != call.Key || call.Key == "" {
				t.Errorf("attempt %d: the key of %s is %q, at first %q", n, call.Agent, call.Key, was)
			}
			made[call.Agent] = call.Key
		}
		problem := func(status int, code, kind string) string {
			return fmt.Sprintf(`{"status":%d,"replayed":false,"problem":%s}`, status, problemBody(status, code, kind, true))
		}
		switch n {
		case 1:
			return nil, io.ErrUnexpectedEOF
		case 2:
			return respond(503, problemBody(503, "closed", "not_done", true)), nil
		case 3:
			return respond(200, `[{"status":200,"replayed":true,"reply":1},`+problem(429, "overloaded", "not_done")+`,`+problem(409, "in_flight", "unknown")+`,`+
				`{"status":422,"replayed":true,"problem":`+problemBody(422, "no", "rejected", false)+`},`+problem(409, "in_doubt", "unknown")+`]`), nil
		case 4:
			if len(calls) != 2 || calls[0].Agent != "account/b" || calls[1].Agent != "account/c" {
				t.Errorf("%s", body)
			}
			return respond(200, `[{"status":200,"replayed":false,"reply":null},`+problem(400, "invalid_request", "not_done")+`]`), nil
		case 5: // invalid_request is said to be retryable here
			return respond(200, `[{"status":200,"replayed":false,"reply":3}]`), nil
		}
		return nil, io.EOF
	})
	got := c.Batch(t.Context(), []Request{credit("a", "ka"), {Agent: "bad"}, credit("b", ""), credit("c", "kc"), credit("d", "kd"), credit("e", "ke")})
	if a := got[0]; a.Err != nil || string(a.Body) != "1" || !a.Replayed || a.Attempts != 3 || a.Key != "ka" {
		t.Errorf("%+v", a)
	}
	if a := got[1]; !errors.Is(a.Err, semel.ErrInvalidRequest) || a.Attempts != 0 {
		t.Errorf("%+v", a)
	}
	if a := got[2]; a.Err != nil || string(a.Body) != "null" || a.Attempts != 4 || a.Key == "" || a.Key != made["account/b"] {
		t.Errorf("%+v", a)
	}
	if a := got[3]; a.Err != nil || string(a.Body) != "3" || a.Attempts != 5 {
		t.Errorf("%+v", a)
	}
	if a := got[4]; semel.KindOf(a.Err) != semel.KindRejected || !a.Replayed {
		t.Errorf("%+v", a)
	}
	if a := got[5]; !errors.Is(a.Err, semel.ErrInDoubt) || a.Attempts != 3 {
		t.Errorf("%+v", a)
	}
}

// A batch whose answer is lost, or is none, is unknown for each call.
func TestBatchThatFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		res  *http.Response
		err  error
		kind semel.Kind
	}{
		"lost":      {nil, io.ErrUnexpectedEOF, semel.KindUnknown},
		"too few":   {respond(200, `[{"status":200,"reply":1}]`), nil, semel.KindUnknown},
		"no list":   {respond(200, `{}`), nil, semel.KindUnknown},
		"neither":   {respond(200, `[{"status":200},{"status":422}]`), nil, semel.KindUnknown},
		"too large": {respond(413, problemBody(413, "too_large", "not_done", false)), nil, semel.KindNotDone},
	} {
		cl := scripted(t, Options{Retries: -1}, func(int, *http.Request, string) (*http.Response, error) { return c.res, c.err })
		for i, a := range cl.Batch(t.Context(), []Request{credit("a", ""), credit("b", "")}) {
			if semel.KindOf(a.Err) != c.kind || a.Attempts != 1 || a.Key == "" {
				t.Errorf("%s %d: %+v", name, i, a)
			}
		}
	}
}

// What is more than one request may carry goes into several.
func TestLargeBatches(t *testing.T) {
	t.Parallel()
	var sizes []int
	c := scripted(t, Options{}, func(_ int, _ *http.Request, body string) (*http.Response, error) {
		var calls []wireCall
		if err := json.Unmarshal([]byte(body), &calls); err != nil || len(body) > 16<<20 {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		sizes = append(sizes, len(calls))
		return respond(200, "["+strings.TrimSuffix(strings.Repeat(`{"status":200,"reply":1},`, len(calls)), ",")+"]"), nil
	})
	many := make([]Request, 2001)
	for i := range many {
		many[i] = Request{Agent: "account/a", Action: "credit"}
	}
	for i := range 15 { // 1 MiB each
		many[i].Body = json.RawMessage(`"` + strings.Repeat("x", 1<<20-3) + `"`)
	}
	for i, a := range c.Batch(t.Context(), many) {
		if a.Err != nil {
			t.Fatal(i, a.Err)
		}
	}
	if fmt.Sprint(sizes) != "[14 1000 987]" {
		t.Error(sizes)
	}
	if got := c.Batch(t.Context(), nil); len(got) != 0 || len(sizes) != 3 {
		t.Error(got, sizes)
	}
}
