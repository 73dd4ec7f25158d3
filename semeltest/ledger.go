package semeltest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
)

// Record is what the outside world knows of one effect: of everything that it
// was told, at one service, from within that effect's function.
type Record struct {
	Service  string
	Effect   string          // its name; empty for calls from outside of any effect
	ID       string          // EffectCall.Key of the effect, whatever its function sent as the key
	Agent    semel.AgentName // who asked for the effect
	Keys     []string        // with which its calls came, each once
	Bodies   []string        // of its calls, as JSON, each once
	Calls    int             // that arrived
	Probes   int             // that arrived
	Happened int             // how often the service did what it was told
	Rejected bool            // the service's answer was no
}

// ledger is what the outside world remembers: crashes of the program leave it
// as it is.
type ledger struct {
	doing    sync.Mutex // held, before mu, while a service does what it is told
	mu       sync.Mutex // guards what follows
	records  []*entry
	answers  map[string]map[string]answered // by service and key: what was done
	effects  map[string]bool                // names of effects whose functions reached a World
	wrong    []string                       // mistakes that show by themselves
	standing bool                           // it is of a World that stands alone
}

func newLedger() *ledger {
	return &ledger{answers: make(map[string]map[string]answered), effects: make(map[string]bool)}
}

// entry is a Record and what the judge knows besides.
type entry struct {
	Record
	policy core.Policy
	lost   bool // a call or its answer got lost on the way
	last   answered
}

// answered is what a service answered.
type answered struct {
	reply any
	err   error  // its no
	to    string // the ID of the effect that it did
}

// open finds or makes the entry of the effect that a call belongs to. mu is
// held.
func (l *ledger) open(s *Service, run *engine.Running, key string) *entry {
	id := key
	if run != nil {
		id = run.Job.ID.String()
		l.effects[run.Job.Name] = true
	}
	for _, e := range l.records {
		if e.Service == s.name && e.ID == id && (e.Effect != "") == (run != nil) {
			return e
		}
	}
	e := &entry{Record: Record{Service: s.name, ID: id}}
	if run != nil {
		e.Effect, e.Agent, e.policy = run.Job.Name, run.Job.Agent, run.Policy
	}
	l.records = append(l.records, e)
	return e
}

// came notes a call that is about to arrive.
func (l *ledger) came(s *Service, run *engine.Running, key string, body any) *entry {
	b, err := json.Marshal(body)
	if err != nil {
		b = fmt.Append(nil, body)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.open(s, run, key)
	add := func(all *[]string, one string) {
		if !slices.Contains(*all, one) {
			*all = append(*all, one)
		}
	}
	add(&e.Keys, key)
	add(&e.Bodies, string(b))
	if run == nil && !l.standing {
		l.wrong = append(l.wrong, fmt.Sprintf("service %q was called (%s) from outside of any effect, or with a context that is not the effect's: a step must not reach outside, and an effect's function must pass its ctx on", s.name, b))
	}
	return e
}

// list copies the records of a service; of all if the name is empty.
func (l *ledger) list(service string) (all []Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.records {
		if service == "" || e.Service == service {
			r := e.Record
			r.Keys, r.Bodies = slices.Clone(r.Keys), slices.Clone(r.Bodies)
			all = append(all, r)
		}
	}
	return all
}

// about finds what is known of an effect. known says whether effects of the
// name reach the outside through a World at all.
func (l *ledger) about(id, effect string) (found *entry, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.records {
		if e.Effect == effect && e.ID == id && (found == nil || e.Happened > 0 || e.Rejected) {
			c := *e
			found = &c
		}
	}
	return found, l.effects[effect]
}

func (r *Record) what() string {
	if r.Effect == "" {
		return fmt.Sprintf("the call with key %s of service %q", r.ID, r.Service)
	}
	return fmt.Sprintf("effect %q of %s/%s at service %q", r.Effect, r.Agent.Type, r.Agent.ID, r.Service)
}

// happened words a count.
func happened(n int) string {
	switch n {
	case 0:
		return "did not happen"
	case 1:
		return "happened once"
	}
	return fmt.Sprintf("happened %d times", n)
}
