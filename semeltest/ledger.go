package semeltest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	Keys     []string        // with which its calls came, each once; none if they came without
	Bodies   []string        // of its calls, as JSON, each once
	Calls    int             // that arrived
	Probes   int             // that arrived
	Happened int             // how often the service did what it was told
	Rejected bool            // the service's answer was no
}

// ledger is what the outside world remembers: crashes of the program leave it
// as it is.
type ledger struct {
	o        *options   // what of a request may change
	mu       sync.Mutex // guards what follows
	records  []*entry
	keys     map[[2]string]*known // by service and key
	effects  map[string]bool      // names of effects whose functions reached a World
	kept     map[string]any       // what tests model by themselves
	wrong    []string             // mistakes that show by themselves
	standing bool                 // it is of a World that stands alone
}

func newLedger(o *options) *ledger {
	return &ledger{o: o, keys: make(map[[2]string]*known), effects: make(map[string]bool)}
}

// request is what a call says.
type request struct {
	key  string // empty: none
	to   string // over HTTP, its method and address
	body any
}

// known is what a service knows by a key.
type known struct {
	effect   string        // the ID of the effect that came with it first
	request  string        // which it came with
	answer   *answered     // the last; nil if the service never did it, nor refused
	happened int           // how often it did
	doing    chan struct{} // closed when the service, which is at it, is done; nil if it is not
}

// know finds or makes what a service knows by a key. mu is held.
func (l *ledger) know(service, key string) *known {
	at := [2]string{service, key}
	if l.keys[at] == nil {
		l.keys[at] = new(known)
	}
	return l.keys[at]
}

// entry is a Record and what the judge knows besides.
type entry struct {
	Record
	policy  core.Policy
	settled bool // what came of it is durable
	lost    bool // a call or its answer got lost on the way, or in a crash
	apart   bool // it is not compared
	last    answered
}

// answered is what a service answered.
type answered struct {
	reply any
	err   error // its no
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
	e := &entry{Record: Record{Service: s.name, ID: id}, apart: s.modelled}
	if run != nil {
		e.Effect, e.Agent, e.policy = run.Job.Name, run.Job.Agent, run.Policy
	}
	l.records = append(l.records, e)
	return e
}

// text is the body of a request.
func (r request) text() []byte {
	b, err := json.Marshal(r.body)
	if err != nil {
		b = fmt.Append(nil, r.body)
	}
	return b
}

// came notes a call that is about to arrive.
func (l *ledger) came(s *Service, run *engine.Running, r request) *entry {
	b := r.text()
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.open(s, run, r.key)
	add := func(all *[]string, one string) {
		if !slices.Contains(*all, one) {
			*all = append(*all, one)
		}
	}
	if r.key != "" {
		add(&e.Keys, r.key)
	}
	add(&e.Bodies, string(b))
	if run == nil && !l.standing {
		l.blame("service %q was called (%s) from outside of any effect, or with a context that is not the effect's: a step must not reach outside, and an effect's function must pass its ctx on", s.name, b)
	}
	return e
}

// blame notes a mistake, once. mu is held.
func (l *ledger) blame(form string, args ...any) {
	if what := fmt.Sprintf(form, args...); !slices.Contains(l.wrong, what) {
		l.wrong = append(l.wrong, what)
	}
}

// settle notes effects of which it is durable what came of them.
func (l *ledger) settle(ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.records {
		e.settled = e.settled || e.Effect != "" && slices.Contains(ids, e.ID)
	}
}

// crash loses what the program was told and has not recorded.
func (l *ledger) crash() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.records {
		e.lost = e.lost || !e.settled
	}
}

// mistakes is what shows to be wrong without a comparison.
func (l *ledger) mistakes() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(l.wrong, "\n    "))
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
	switch {
	case r.Effect == "" && r.ID == "":
		return fmt.Sprintf("the call without a key of service %q", r.Service)
	case r.Effect == "":
		return fmt.Sprintf("the call with key %s of service %q", r.ID, r.Service)
	}
	return fmt.Sprintf("effect %q of %s/%s at service %q", r.Effect, r.Agent.Type, r.Agent.ID, r.Service)
}

// setOut says whether a call ever did, and not only a probe.
func (r *Record) setOut() bool { return len(r.Bodies) > 0 }

// keyed words the keys that calls came with.
func keyed(keys []string, and string) string {
	if len(keys) == 0 {
		return "without a key"
	}
	if len(keys) == 1 {
		return "with the key " + keys[0]
	}
	return "with the keys " + strings.Join(keys, and)
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
