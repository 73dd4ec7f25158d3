package torture

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path"
	"sync"
	"testing"

	"github.com/semel-dev/semel/torture/check"
)

// A key is used for something else also while it is open, and never before an
// answer says that the server knows it: of two that race, either may be the first.
func TestKeysAreAlteredWhenTheServerKnowsThem(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	payload := make(map[string]string) // of a key, as it came first
	open, early, actions := 0, 0, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		key, mine := r.Header.Get("Idempotency-Key"), path.Base(r.URL.Path)+string(body)
		mu.Lock()
		defer mu.Unlock()
		was, known := payload[key]
		if !known {
			payload[key] = mine
		}
		switch {
		case known && was != mine:
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `{"code":"idempotency_conflict","kind":"not_done"}`)
		case r.Header.Get("Prefer") == accept:
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, `{"status":"in_flight"}`)
		default:
			fmt.Fprint(w, `{"cents":5,"receipt":"r"}`)
		}
	}))
	defer server.Close()
	l := newTestLoader(t, server.URL)
	m := &maker{rng: rand.New(rand.NewPCG(1, 1)), run: "t", name: "0-0", accounts: 4, policies: AllPolicies(), span: 1000}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		if o := m.next(); o.kind != check.OpRead && o.kind != check.OpMalformed {
			l.play(t.Context(), o, rng)
		}
	}
	decided, kind := make(map[string]bool), make(map[string]string)
	request := make(map[string]check.Record)
	for _, r := range written(t, l.rec.f.Name()) {
		switch asked := request[r.ID]; {
		case r.Type == check.Invoke && r.Phase == check.PhaseAltered:
			if !decided[r.Key] {
				open++
			}
			if r.Op != kind[r.Key] {
				actions++
			}
			fallthrough
		case r.Type == check.Invoke:
			if request[r.ID] = r; kind[r.Key] == "" {
				kind[r.Key] = r.Op
			}
		case asked.Phase == check.PhaseAltered:
			if r.Code != "idempotency_conflict" {
				early++
			}
		case final(&r):
			decided[asked.Key] = true
		case r.Code != codeOpen:
			t.Errorf("the request was not the first with its key: %+v", r)
		}
	}
	if open < 5 || actions < 3 || early > 0 {
		t.Errorf("%d keys were altered while they were open, %d got another action, %d were altered before they were known", open, actions, early)
	}
}
