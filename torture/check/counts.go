package check

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Counts are figures of a run.
type Counts struct {
	Operations int            `json:"operations"` // keys, without reads
	Reads      int            `json:"reads"`
	Requests   int            `json:"requests"` // calls and reads; those of a batch are one each
	Sent       int            `json:"sent"`     // over HTTP, without the last round
	ByKind     map[string]int `json:"by_kind"`
	Done       int            `json:"done"`
	Rejected   int            `json:"rejected"`
	Refused    int            `json:"refused"`   // every request of them
	Malformed  int            `json:"malformed"` // of the refused, those that nobody can take
	Unknown    int            `json:"unknown"`   // for good
	Undecided  int            `json:"undecided"`
	Duplicates int            `json:"duplicates"` // operations of which a request was sent or passed on twice at once
	Altered    int            `json:"altered"`    // keys that were used for another payload too, which was answered
	Lost       int            `json:"lost"`       // requests whose answer did not come
	Replayed   int            `json:"replayed"`   // answers, without those of the last round
	Again      int            `json:"again"`      // requests of the last round
	Moved      int            `json:"moved"`      // replays that may be of the request itself, which went from node to node
	Faults     map[string]int `json:"faults"`
	Effects    map[string]int `json:"effects"` // by policy
	Calls      int            `json:"calls"`   // that the outside world heard
	Probes     int            `json:"probes"`
	Doubts     map[string]int `json:"doubts"`  // settled, by what was said
	Doubted    map[string]int `json:"doubted"` // operations that were in doubt, by policy
	Accounts   int            `json:"accounts"`
	// Of a cluster, by the fault of a node: until others answered for all that it had.
	Takeovers map[string]Takeover `json:"takeovers,omitempty"`
	// How long it was from the first request of an operation on an account to its
	// decision, at most, of those that were decided before the drain.
	Longest int64 `json:"longest_ns"`
	// Of the bank, if there is one.
	Transactions *Transactions `json:"transactions,omitempty"`
}

// Takeover is how long it took others to answer for what a node had, in
// nanoseconds.
type Takeover struct {
	Times  int   `json:"times"`
	Median int64 `json:"median_ns"`
	Most   int64 `json:"most_ns"`
}

func (h *history) takeovers() map[string]Takeover {
	took := make(map[string][]int64)
	for _, e := range h.outages {
		if e.Moved != 0 {
			took[e.Fault] = append(took[e.Fault], e.Moved-e.At)
		}
	}
	all := make(map[string]Takeover)
	for fault, t := range took {
		slices.Sort(t)
		all[fault] = Takeover{len(t), t[len(t)/2], t[len(t)-1]}
	}
	return all
}

func (j *judge) count() {
	c := &j.report.Counts
	c.ByKind, c.Faults, c.Effects = make(map[string]int), make(map[string]int), make(map[string]int)
	c.Doubts, c.Doubted = make(map[string]int), make(map[string]int)
	sent := 0.0
	for _, o := range j.h.order {
		c.ByKind[o.kind]++
		if o.kind == OpRead {
			c.Reads++
		} else {
			c.Operations++
			c.operation(o)
		}
		for _, r := range o.requests {
			if c.request(r); r.phase != PhaseAgain {
				sent += 1 / float64(max(r.batch, 1))
			}
		}
	}
	c.Sent = int(sent + 0.5)
	twice := make(map[string]bool) // by key
	for _, e := range j.h.faults {
		if c.Faults[e.Fault]++; e.Fault == FaultTwice || e.Fault == FaultDuplicate {
			for _, key := range e.befell() {
				twice[key] = true
			}
		}
	}
	c.Duplicates = len(twice)
	for _, e := range j.h.arrivals {
		if c.Calls++; e.Type == Effect {
			c.Effects[e.Policy]++
		}
	}
	c.Probes = len(j.h.probes)
	for _, e := range j.h.settles {
		c.Doubts[e.Resolution]++
	}
	c.Accounts = len(j.h.states)
	c.Takeovers = j.h.takeovers()
	c.Transactions = j.h.transactions()
}

func (c *Counts) operation(o *operation) {
	if o.first != nil && o.first.phase == PhaseLoad && o.kind != OpEffect && o.kind != OpTransaction { // which wait for the outside world and people, and for each other
		c.Longest = max(c.Longest, o.first.ret-o.begun().call)
	}
	switch {
	case o.first == nil && o.failed():
		if c.Refused++; o.kind == OpMalformed {
			c.Malformed++
		}
	case o.first == nil:
		c.Undecided++
	case o.first.answered == OK:
		c.Done++
	case o.first.answered == Fail:
		c.Rejected++
	default:
		c.Unknown++
	}
	if slices.ContainsFunc(o.requests, func(r *request) bool { return r.code == codeInDoubt }) {
		c.Doubted[o.policy]++
	}
}

func (c *Counts) request(r *request) {
	c.Requests++
	switch {
	case r.altered:
		if r.answered != "" && !r.transient() {
			c.Altered++
		}
	case r.phase == PhaseAgain:
		c.Again++
	case r.replayed:
		if c.Replayed++; r.again {
			c.Moved++
		}
	}
	if r.answered == Info && r.status == 0 {
		c.Lost++
	}
}

// rows are the figures for people.
func (c *Counts) rows() [][2]string {
	rows := [][2]string{
		{"operations", fmt.Sprintf("%d (%s): %d done, %d rejected, %d malformed and refused, %d refused otherwise, %d unknown for good, %d undecided", c.Operations, list(c.ByKind), c.Done, c.Rejected, c.Malformed, c.Refused-c.Malformed, c.Unknown, c.Undecided)},
		{"requests", fmt.Sprintf("%d, in %d over HTTP and the last round: %d sent in duplicate, %d with another payload under a used key, %d whose answer was lost; %d answered by a replay; %d in the last round", c.Requests, c.Sent, c.Duplicates, c.Altered, c.Lost, c.Replayed, c.Again)},
		{"faults", list(c.Faults)},
		{"effects", fmt.Sprintf("%s, in %d calls and %d probes", list(c.Effects), c.Calls, c.Probes)},
		{"in doubt", fmt.Sprintf("operations: %s; settled as: %s", list(c.Doubted), list(c.Doubts))},
		{"moved", fmt.Sprintf("%d replays may be of the request itself, which went from node to node", c.Moved)},
		{"accounts", fmt.Sprintf("%d, %d reads of them; no operation on them took longer than %v to be decided", c.Accounts, c.Reads, brief(c.Longest))},
	}
	if c.Transactions != nil {
		rows = append(rows, c.Transactions.rows()...)
	}
	for _, fault := range slices.Sorted(keysOf(c.Takeovers)) {
		t := c.Takeovers[fault]
		rows = append(rows, [2]string{"takeover after " + fault, fmt.Sprintf("%v (median of %d), %v at most", brief(t.Median), t.Times, brief(t.Most))})
	}
	return rows
}

// brief is a time for people.
func brief(ns int64) time.Duration { return time.Duration(ns).Round(time.Millisecond) }

func list(m map[string]int) string {
	if len(m) == 0 {
		return "none"
	}
	var parts []string
	for _, k := range slices.Sorted(keysOf(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}

// lacking says why a history proves too little.
func (j *judge) lacking(o Options) {
	c, goal, m := &j.report.Counts, j.h.manifest.Goal, &j.h.manifest
	say := func(form string, args ...any) {
		j.report.Lacking = append(j.report.Lacking, fmt.Sprintf(form, args...))
	}
	if !m.Finished {
		say("its end: the run was not played to it%s", strings.TrimSuffix(": "+m.Failed, ": "))
	}
	if len(j.flaws) > 0 {
		say("a whole history: %s", list(j.flaws))
	}
	if refused := j.refusedForGood(); len(refused) > 0 {
		say("operations that the server takes: of the others it refused for good %s", list(refused))
	}
	want := func(asked, from int) int {
		if asked == 0 {
			return from
		}
		return max(asked, 0)
	}
	lack := func(what string, have, least int) {
		if have < least {
			say("%s: %d, at least %d are wanted", what, have, least)
		}
	}
	operations := want(o.Operations, goal.Operations)
	// What is malformed is over when it is refused; everything else by a decision.
	lack("operations", c.Done+c.Rejected+c.Unknown+c.Malformed, operations)
	lack("kills", c.Faults[FaultKill], want(o.Kills, goal.Kills))
	// Chance has its way with both; half of what is meant is enough.
	lack("operations sent in duplicate", c.Duplicates, percentOf(operations, goal.Duplicates/2))
	lack("lost replies", c.Faults[FaultLostReply], percentOf(c.Sent, goal.LostReplies/2))
	lack("operations that are done", c.Done, 1)
	if t := c.Transactions; t != nil {
		if late, all := t.Aborted[codeTimeout], t.Committed+sum(t.Aborted); late > 1 && late*100 > all {
			say("transactions that are decided in time: %d of %d were aborted because their time was over: the machine is too slow, or they wait for each other", late, all)
		}
		lack("transactions", t.Committed+t.Undecided+sum(t.Aborted), percentOf(operations, goal.Transactions/2))
		lack("transactions that are committed", t.Committed-t.Reads, 1)
		lack("consistent reads of the bank", t.Reads, 1)
	}
	if operations > 500 {
		lack("altered payloads", c.Altered, 1)
		for _, p := range m.Policies {
			lack("effects of the policy "+p, c.Effects[p], 1)
		}
	}
}

// refusedForGood counts operations that are well-formed, and were refused for
// another reason than that the server was busy, by that reason.
func (j *judge) refusedForGood() map[string]int {
	codes := make(map[string]int)
	for _, o := range j.h.order {
		if o.kind == OpRead || o.kind == OpMalformed || !o.refusedForGood() {
			continue
		}
		i := slices.IndexFunc(o.requests, func(r *request) bool { return r.refused() && !r.transient() })
		codes[o.requests[i].code]++
	}
	return codes
}

func sum(m map[string]int) (n int) {
	for _, k := range m {
		n += k
	}
	return n
}

func percentOf(n int, percent float64) int { return int(float64(n) * percent / 100) }
