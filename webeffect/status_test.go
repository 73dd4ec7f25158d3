package webeffect_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/webeffect"
)

// Every class of status under every policy, judged by what the provider heard.
func TestStatusAndPolicy(t *testing.T) {
	t.Parallel()
	statuses := map[string][]int{
		"done":     {200, 201, 202, 204, 226},
		"rejected": {400, 401, 402, 403, 404, 405, 410, 413, 418, 422, 451, 499},
		"unknown":  {101, 300, 301, 302, 303, 304, 307, 308, 408, 409, 425, 429, 500, 502, 503, 504, 599},
	}
	for class, all := range statuses {
		for _, status := range all {
			for _, policy := range allPolicies {
				t.Run(fmt.Sprintf("%d %s", status, policy), func(t *testing.T) {
					t.Parallel()
					p := serve(t, func(p *provider, w http.ResponseWriter, r seen) {
						if strings.HasPrefix(r.path, "/probe/") {
							_, _ = w.Write([]byte(`"found"`))
							return
						}
						w.Header().Set("Location", "/elsewhere")
						w.WriteHeader(status)
						if status >= 200 && status != 204 && status != 304 {
							_, _ = w.Write([]byte(`{"n":1.0}`))
						}
					})
					app := open(t, nil, specs{"pay": p.spec(policy)})
					for repetition := range 2 {
						o, err := call(t, app, "pay", "k", `{"cents":5}`)
						if o.Replayed != (repetition == 1) {
							t.Errorf("call %d: replayed is %v", repetition, o.Replayed)
						}
						checkStatus(t, class, policy, status, o, err)
					}
					checkHeard(t, p, class, policy)
				})
			}
		}
	}
}

func checkStatus(t *testing.T, class, policy string, status int, o semel.Outcome, err error) {
	t.Helper()
	switch {
	case class == "done":
		want := `{"n":1.0}`
		if status == 204 {
			want = "null"
		}
		if err != nil || string(o.Reply) != want {
			t.Fatalf("%s, %v", o.Reply, err)
		}
	case class == "rejected":
		r := rejection(t, err, webeffect.CodeRejected)
		want := fmt.Sprintf(`{"status":%d,"body":{"n":1.0}}`, status)
		if string(r.Data) != want || string(o.Data) != want || !strings.Contains(r.Detail, fmt.Sprint(status)) {
			t.Fatalf("%+v, %s", r, o.Data)
		}
	case policy == "read_only": // given up: nothing changed there
		r := rejection(t, err, webeffect.CodeNotDone)
		if r.Data != nil || !strings.Contains(r.Detail, fmt.Sprint(status)) {
			t.Fatalf("%+v", r)
		}
	case policy == "probe":
		if err != nil || string(o.Reply) != `"found"` {
			t.Fatalf("%s, %v", o.Reply, err)
		}
	case policy == "at_most_once":
		wantError(t, err, semel.ErrOutcomeUnknown)
		if !strings.Contains(err.Error(), fmt.Sprint(status)) {
			t.Fatal(err)
		}
	default: // ask at once, keyed after its attempts
		wantError(t, err, semel.ErrInDoubt)
	}
}

// checkHeard looks at what the provider got: never a second call, except where
// the policy allows it, and then with the same key.
func checkHeard(t *testing.T, p *provider, class, policy string) {
	t.Helper()
	wantCalls, wantProbes := 1, 0
	if class == "unknown" {
		switch policy {
		case "keyed", "read_only":
			wantCalls = 2 // its attempts
		case "probe":
			wantProbes = 1
		}
	}
	if calls, probes, _ := p.counts(); calls != wantCalls || probes != wantProbes {
		t.Errorf("%d calls and %d probes; want %d and %d", calls, probes, wantCalls, wantProbes)
	}
	heard := p.heard()
	for _, c := range heard {
		if len(c.key) != 32 || c.key != heard[0].key || c.path == "/elsewhere" {
			t.Errorf("a call of %s has the key %q, the first %q", c.path, c.key, heard[0].key)
		}
	}
}

// After an attempt that may have taken effect, what a front door says tells
// nothing of that attempt; what the provider says under the same key does.
func TestKeyedAfterAnUnknownAttempt(t *testing.T) {
	t.Parallel()
	for status, rejected := range map[int]bool{
		401: false, 403: false, 404: false, 407: false,
		400: true, 402: true, 405: true, 410: true, 422: true, 451: true,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			for _, recovers := range []bool{false, true} {
				p := serve(t, func(p *provider, w http.ResponseWriter, r seen) {
					switch calls, _, _ := p.counts(); {
					case calls == 1: // it takes effect, and the answer is lost
						p.did(r.key)
						w.WriteHeader(503)
					case calls == 3 && recovers:
						_, _ = w.Write([]byte(`"paid"`))
					default:
						w.WriteHeader(status)
					}
				})
				s := p.spec("keyed")
				s.Attempts = 3
				app := open(t, nil, specs{"pay": s})
				o, err := call(t, app, "pay", "k", "1")
				want := 3
				switch {
				case rejected:
					rejection(t, err, webeffect.CodeRejected)
					want = 2
				case recovers:
					if err != nil || string(o.Reply) != `"paid"` {
						t.Errorf("%s, %v", o.Reply, err)
					}
				default:
					wantError(t, err, semel.ErrInDoubt)
				}
				heard := p.heard()
				for _, c := range heard {
					if c.key != heard[0].key {
						t.Errorf("the keys are %q and %q", heard[0].key, c.key)
					}
				}
				if len(heard) != want {
					t.Errorf("%d calls; want %d", len(heard), want)
				}
			}
		})
	}
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	p := serve(t, func(_ *provider, w http.ResponseWriter, _ seen) {})
	s := p.spec("ask")
	s.URL += "?a=b%20c"
	s.Method = "PUT"
	s.Headers = map[string]string{"authorization": "Bearer s3cret"}
	vendor := p.spec("ask")
	vendor.Headers = map[string]string{"Content-Type": "application/vnd.api+json", "User-Agent": "shop"}
	app := open(t, nil, specs{"pay": s, "vendor": vendor})
	body := " {\"b\": 1.00,\n \"a\":\"\\u0041\"} "
	for i, b := range []string{body, "null", ""} {
		if _, err := call(t, app, "pay", fmt.Sprint("k", i), b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := call(t, app, "vendor", "k", "5"); err != nil {
		t.Fatal(err)
	}
	heard := p.heard()
	h := heard[0].header
	if c := heard[0]; c.method != "PUT" || c.path != "/charge" || c.query != "a=b%20c" || c.body != body ||
		h.Get("Content-Type") != "application/json" || h.Get("User-Agent") != "semel" || h.Get("Authorization") != "Bearer s3cret" ||
		h.Get("Accept-Encoding") != "identity" || len(h["Idempotency-Key"]) != 1 {
		t.Errorf("%+v", c)
	}
	for _, c := range heard[1:3] { // null
		if c.body != "" || c.header.Get("Content-Type") != "" {
			t.Errorf("%+v", c)
		}
	}
	if h := heard[3].header; h.Get("Content-Type") != "application/vnd.api+json" || h.Get("User-Agent") != "shop" {
		t.Errorf("%+v", h)
	}
	keys := make(map[string]bool)
	for _, c := range heard {
		keys[c.key] = true
	}
	if len(keys) != 4 {
		t.Errorf("the keys are %v", keys)
	}
}

func TestReplies(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"":                        `null`,
		" {\"b\": 1.0,\"a\":2}\n": " {\"b\": 1.0,\"a\":2}\n",
		"null":                    `null`,
		"OK <fine>":               `"OK <fine>"`,
		"{\"cut\":":               `"{\"cut\":"`,
		"\xff\x00":                `{"base64":"/wA="}`,
		"\"\xff\"":                `{"base64":"Iv8i"}`,
	} {
		for _, status := range []int{200, 402} {
			t.Run(fmt.Sprintf("%d %q", status, body), func(t *testing.T) {
				t.Parallel()
				p := serve(t, func(_ *provider, w http.ResponseWriter, _ seen) {
					w.WriteHeader(status)
					_, _ = w.Write([]byte(body))
				})
				app := open(t, nil, specs{"pay": p.spec("ask")})
				for range 2 {
					o, err := call(t, app, "pay", "k", "1")
					if status == 200 {
						if string(o.Reply) != want || err != nil {
							t.Errorf("%s, %v", o.Reply, err)
						}
						continue
					}
					r := rejection(t, err, webeffect.CodeRejected)
					var back webeffect.Refusal
					if err := json.Unmarshal(r.Data, &back); err != nil || back.Status != 402 || string(r.Data) != `{"status":402,"body":`+want+"}" {
						t.Errorf("%s, %v", r.Data, err)
					}
				}
			})
		}
	}
}

// A probe decides by two statuses only. That nobody could tell must never become
// "not done", which would charge a second time.
func TestProbeStatuses(t *testing.T) {
	t.Parallel()
	for _, status := range []int{201, 202, 204, 301, 400, 401, 403, 410, 429, 500, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			p := serve(t, func(p *provider, w http.ResponseWriter, r seen) {
				if strings.HasPrefix(r.path, "/probe/") {
					w.WriteHeader(status)
					return
				}
				p.did(r.key)
				w.WriteHeader(503)
			})
			app := open(t, nil, specs{"pay": p.spec("probe")})
			_, err := call(t, app, "pay", "k", "1")
			wantError(t, err, semel.ErrInDoubt)
			if d := doubts(t, app); len(d) != 1 || !strings.Contains(d[0].Reason, fmt.Sprint(status)) {
				t.Errorf("%+v", d)
			}
			if calls, probes, effects := p.counts(); calls != 1 || probes < 2 || effects != 1 {
				t.Errorf("%d calls, %d probes, %d effects", calls, probes, effects)
			}
		})
	}
}

// 404 of a probe means that the call was not done: it is made again, with the
// same key.
func TestProbeFindsNothing(t *testing.T) {
	t.Parallel()
	p := serve(t, func(p *provider, w http.ResponseWriter, r seen) {
		calls, _, _ := p.counts()
		switch {
		case strings.HasPrefix(r.path, "/probe/") && p.has(r.key):
			_, _ = w.Write([]byte(`"found"`))
		case strings.HasPrefix(r.path, "/probe/"):
			w.WriteHeader(404)
		case calls == 1:
			w.WriteHeader(503)
		default:
			p.did(r.key)
			_, _ = w.Write([]byte(`"paid"`))
		}
	})
	s := p.spec("probe")
	s.Timeout, s.Attempts = 300*time.Millisecond, 10 // "not done" counts when this has passed
	app := open(t, nil, specs{"pay": s})
	o, err := call(t, app, "pay", "k", "1")
	if reply := string(o.Reply); err != nil || reply != `"paid"` && reply != `"found"` {
		t.Fatalf("%s, %v", o.Reply, err)
	}
	if calls, probes, effects := p.counts(); calls < 2 || probes < 1 || effects != 1 || p.heard()[0].key != p.heard()[1].key {
		t.Errorf("%d calls, %d probes, %d effects", calls, probes, effects)
	}
}

// A probe that makes no connection tells nothing, although a call that makes
// none was not done.
func TestProbeWithoutConnection(t *testing.T) {
	t.Parallel()
	p := serve(t, func(p *provider, w http.ResponseWriter, r seen) {
		p.did(r.key)
		w.WriteHeader(503)
	})
	s := p.spec("probe")
	s.ProbeURL, s.Timeout = refusing(t)+"/probe/{key}", 300*time.Millisecond
	app := open(t, nil, specs{"pay": s})
	_, err := call(t, app, "pay", "k", "1")
	wantError(t, err, semel.ErrInDoubt)
	if calls, _, effects := p.counts(); calls != 1 || effects != 1 {
		t.Errorf("%d calls, %d effects", calls, effects)
	}
}
