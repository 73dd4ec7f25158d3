package outbox_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/semel-dev/semel/outbox"
)

// event is what the writers send: the n-th change of a key's row, by a transaction.
type event struct {
	Key string
	N   int64
	Tx  string
}

// receiver takes effects: each message's id once. It fails at random, before its
// effect and after it.
type receiver struct {
	mu         sync.Mutex
	seen       map[string]bool
	last       map[string]int64 // the n of each key's last effect
	done       map[string]bool  // transactions with an effect
	duplicates int
	wrong      []string
	calm       atomic.Bool
	more       chan struct{}
}

func (r *receiver) take(id string, body []byte) outbox.Verdict {
	luck := rand.N(20)
	if r.calm.Load() {
		luck = 19
	}
	if luck == 0 {
		return outbox.NotDone
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return outbox.Refused
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[id] {
		r.duplicates++
		return outbox.Done
	}
	r.seen[id] = true
	if e.N != r.last[e.Key]+1 {
		r.wrong = append(r.wrong, fmt.Sprintf("%s: %d came after %d", e.Key, e.N, r.last[e.Key]))
	}
	r.last[e.Key], r.done[e.Tx] = e.N, true
	select {
	case r.more <- struct{}{}:
	default:
	}
	if luck == 1 {
		return outbox.Unknown // the effect was, the answer is lost
	}
	return outbox.Done
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	switch r.take(req.Header.Get("ce-id"), body) {
	case outbox.NotDone:
		w.WriteHeader(http.StatusServiceUnavailable)
	case outbox.Unknown:
		w.WriteHeader(http.StatusBadGateway)
	case outbox.Refused:
		w.WriteHeader(http.StatusBadRequest)
	}
}
