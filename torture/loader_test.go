package torture

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel/torture/check"
)

// A client repeats an operation until it is decided, keeps what takes a person for
// the end, and forgets what can never be decided: it would wait for it in vain.
func TestWhatBecomesOfAnOperation(t *testing.T) {
	t.Parallel()
	const (
		done  = `{"cents":5}`
		doubt = `{"code":"in_doubt","kind":"unknown"}`
		busy  = `{"code":"overloaded","kind":"not_done"}`
		wrong = `{"code":"invalid_request","kind":"not_done"}`
		poor  = `{"code":"insufficient_funds","kind":"rejected"}`
	)
	for _, c := range []struct {
		name               string
		kind               string
		answers            []string // none is a connection that is closed
		decided, undecided int
	}{
		{"done", check.OpCredit, []string{done}, 1, 0},
		{"rejected", check.OpCredit, []string{poor}, 1, 0},
		{"lost, busy, and done", check.OpCredit, []string{"", busy, "", done}, 1, 0},
		{"in doubt", check.OpEffect, []string{"", doubt}, 0, 1},
		{"malformed", check.OpMalformed, []string{"", wrong}, 0, 0},
		{"called malformed", check.OpCredit, []string{wrong}, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			keys := make(chan string, 10)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				keys <- r.Header.Get("Idempotency-Key")
				n := int(requests.Add(1)) - 1
				if n >= len(c.answers) || c.answers[n] == "" {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(map[string]int{done: 200, doubt: 409, busy: 429, wrong: 400, poor: 422}[c.answers[n]])
				fmt.Fprint(w, c.answers[n])
			}))
			defer server.Close()
			l := newTestLoader(t, server.URL)
			o := &operation{key: "k", kind: c.kind, agent: "account/a", action: "credit", cents: 5, policy: check.Ask}
			l.play(t.Context(), o, rand.New(never{}))
			if len(l.decided) != c.decided || len(l.undecided) != c.undecided || l.done.Load() != 1 {
				t.Errorf("%d decided, %d undecided, %d played", len(l.decided), len(l.undecided), l.done.Load())
			}
			if int(requests.Load()) != len(c.answers) {
				t.Errorf("%d requests for %d answers", requests.Load(), len(c.answers))
			}
			for range len(c.answers) {
				if key := <-keys; key != `"k"` {
					t.Errorf("the key was %s", key)
				}
			}
		})
	}
}

// never is a source of chance by which nothing happens that need not.
type never struct{}

func (never) Uint64() uint64 { return math.MaxUint64 }

func newTestLoader(t *testing.T, url string) *loader {
	t.Helper()
	rec, err := newRecorder(filepath.Join(t.TempDir(), "client-0.jsonl"), time.Now().UnixNano())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rec.close(); err != nil {
			t.Error(err)
		}
	})
	return &loader{loaderConfig: loaderConfig{URL: url}, rec: rec, stop: make(chan struct{}), client: &http.Client{Timeout: requestTime}}
}

// The end asks for all that is undecided, again and again. What is decided does
// not wait for what is not, and nobody waits for what is refused.
func TestDrain(t *testing.T) {
	t.Parallel()
	var round atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const doubt = `{"status":409,"problem":{"code":"in_doubt","kind":"unknown"}}`
		const done = `{"status":200,"replayed":true,"reply":{"cents":5}}`
		const refused = `{"status":404,"problem":{"code":"unknown_effect","kind":"not_done"}}`
		switch round.Add(1) {
		case 1:
			fmt.Fprintf(w, `[%s,%s,%s,%s]`, doubt, done, doubt, refused)
		case 2:
			fmt.Fprintf(w, `[%s,%s]`, doubt, done)
		default:
			fmt.Fprintf(w, `[%s]`, done)
		}
	}))
	defer server.Close()
	l := newTestLoader(t, server.URL)
	for _, key := range []string{"a", "b", "c", "d"} {
		l.undecided = append(l.undecided, &operation{key: key, kind: check.OpCredit, agent: "account/a", action: "credit"})
	}
	if left := l.drain(t.Context()); left != 1 || round.Load() != 3 {
		t.Errorf("%d are left after %d rounds", left, round.Load())
	}
	var order []string
	for _, o := range l.decided {
		order = append(order, o.key)
	}
	if !slices.Equal(order, []string{"b", "c", "a"}) {
		t.Errorf("they were decided as %q", order)
	}
}

// Callers make every kind of operation, never a key twice, and take new accounts
// from time to time.
func TestMaker(t *testing.T) {
	t.Parallel()
	m := &maker{rng: rand.New(rand.NewPCG(1, 1)), run: "t", name: "0-0", accounts: 4, policies: AllPolicies(), span: 500}
	kinds, keys, accounts, hows := make(map[string]int), make(map[string]bool), make(map[string]bool), make(map[string]bool)
	const n = 2000
	for range n {
		o := m.next()
		if kinds[o.kind+o.policy]++; o.key != "" && keys[o.key] {
			t.Fatalf("the key %s was made twice", o.key)
		}
		keys[o.key], hows[o.how] = true, true
		if o.kind != check.OpEffect {
			accounts[o.agent] = true
		}
		if other := o.altered(m.rng); o.invoke("", "", o.body()).Print == other.invoke("", "", other.body()).Print && o.kind != check.OpMalformed {
			t.Fatalf("what is altered is the same: %s %s", other.action, other.body())
		}
	}
	for _, kind := range []string{check.OpCredit, check.OpDebit, check.OpTransfer, check.OpRead, check.OpMalformed,
		check.OpEffect + check.Keyed, check.OpEffect + check.Probe, check.OpEffect + check.AtMostOnce, check.OpEffect + check.Ask} {
		if kinds[kind] < n/100 {
			t.Errorf("of %s there are %d", kind, kinds[kind])
		}
	}
	if len(accounts) <= 3*4 || len(accounts) > 5*4 {
		t.Errorf("%d accounts were used in 4 generations of 4", len(accounts))
	}
	if len(hows) != 6 { // and none
		t.Errorf("the outside world behaves in these ways: %v", hows)
	}
}
