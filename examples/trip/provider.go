package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// provider sells flights and hotels, and takes payments. It keeps what an
// idempotency key was answered, refuses a booking whose reference was cancelled
// before it came, and is as unreliable as any.
type provider struct {
	mu       sync.Mutex
	answered map[string]answer   // by Idempotency-Key
	booked   map[string][]string // by reference: what became of it
	lost     bool                // it has lost an answer
}

type answer struct {
	status int
	body   any
}

func newProvider() *provider {
	return &provider{answered: make(map[string]answer), booked: make(map[string][]string)}
}

// maxCents is what it takes at once.
const maxCents = 500_000

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var b Booking
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := r.Header.Get("Idempotency-Key")
	a, again := p.answered[key]
	if !again {
		a = p.do(strings.TrimPrefix(r.URL.Path, "/"), b)
		p.answered[key] = a
	}
	if r.URL.Path == "/hotel" && !p.lost {
		p.lost = true
		panic(http.ErrAbortHandler) // it is done, and the connection breaks
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body)
}

// do does what is asked for the first time.
func (p *provider) do(path string, b Booking) answer {
	what, cancel := strings.CutSuffix(path, "/cancel")
	was := p.booked[b.Ref]
	switch {
	case cancel:
		p.booked[b.Ref] = append(was, "cancelled")
		return answer{http.StatusOK, Receipt{"cancelled " + b.Ref}}
	case len(was) > 0:
		return answer{http.StatusGone, map[string]string{"error": "the reference is used or closed"}}
	case b.Cents > maxCents:
		return answer{http.StatusPaymentRequired, map[string]string{"error": "declined"}}
	}
	p.booked[b.Ref] = append(was, "booked")
	return answer{http.StatusOK, Receipt{what + " of " + b.Ref}}
}

// lines are the books, a reference a line.
func (p *provider) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for ref, what := range p.booked {
		all = append(all, fmt.Sprintf("%-16s %s", ref, strings.Join(what, ", ")))
	}
	slices.Sort(all)
	return all
}
