package check

import (
	"fmt"
	"slices"
	"strings"
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
	Refused    int            `json:"refused"` // every request of them
	Unknown    int            `json:"unknown"` // for good
	Undecided  int            `json:"undecided"`
	Duplicates int            `json:"duplicates"` // operations of which two requests were under way at once
	Altered    int            `json:"altered"`    // keys that were used for another payload too
	Lost       int            `json:"lost"`       // requests whose answer did not come
	Replayed   int            `json:"replayed"`   // answers, without those of the last round
	Again      int            `json:"again"`      // requests of the last round
	Faults     map[string]int `json:"faults"`
	Effects    map[string]int `json:"effects"` // by policy
	Calls      int            `json:"calls"`   // that the outside world heard
	Probes     int            `json:"probes"`
	Doubts     map[string]int `json:"doubts"`  // settled, by what was said
	Doubted    map[string]int `json:"doubted"` // operations that were in doubt, by policy
	Accounts   int            `json:"accounts"`
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
				sent += 1 / float64(r.batch)
			}
		}
	}
	c.Sent = int(sent + 0.5)
	for _, e := range j.h.faults {
		c.Faults[e.Fault]++
	}
	for _, e := range j.h.arrivals {
		if c.Calls++; e.Type == Effect {
			c.Effects[e.Policy]++
		}
	}
	c.Probes = len(j.h.probes)
	for _, e := range j.h.settles {
		c.Doubts[e.Resolution]++
	}
	c.Duplicates = c.Faults[FaultTwice] + c.Faults[FaultDuplicate]
	c.Accounts = len(j.h.states)
}

func (c *Counts) operation(o *operation) {
	switch {
	case o.first == nil && o.failed():
		c.Refused++
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
		c.Altered++
	case r.phase == PhaseAgain:
		c.Again++
	case r.replayed:
		c.Replayed++
	}
	if r.answered == Info && r.status == 0 {
		c.Lost++
	}
}

// rows are the figures for people.
func (c *Counts) rows() [][2]string {
	return [][2]string{
		{"operations", fmt.Sprintf("%d (%s): %d done, %d rejected, %d refused, %d unknown for good, %d undecided", c.Operations, list(c.ByKind), c.Done, c.Rejected, c.Refused, c.Unknown, c.Undecided)},
		{"requests", fmt.Sprintf("%d, in %d over HTTP and the last round: %d sent in duplicate, %d with another payload under a used key, %d whose answer was lost; %d answered by a replay; %d in the last round", c.Requests, c.Sent, c.Duplicates, c.Altered, c.Lost, c.Replayed, c.Again)},
		{"faults", list(c.Faults)},
		{"effects", fmt.Sprintf("%s, in %d calls and %d probes", list(c.Effects), c.Calls, c.Probes)},
		{"in doubt", fmt.Sprintf("operations: %s; settled as: %s", list(c.Doubted), list(c.Doubts))},
		{"accounts", fmt.Sprintf("%d, %d reads of them", c.Accounts, c.Reads)},
	}
}

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
	c, goal := &j.report.Counts, j.h.manifest.Goal
	want := func(asked, from int) int {
		if asked == 0 {
			return from
		}
		return max(asked, 0)
	}
	lack := func(what string, have, least int) {
		if have < least {
			j.report.Lacking = append(j.report.Lacking, fmt.Sprintf("%s: %d, at least %d are wanted", what, have, least))
		}
	}
	operations := want(o.Operations, goal.Operations)
	lack("operations", c.Operations, operations)
	lack("kills", c.Faults[FaultKill], want(o.Kills, goal.Kills))
	// Chance has its way with both; half of what is meant is enough.
	lack("operations sent in duplicate", c.Duplicates, percentOf(operations, goal.Duplicates/2))
	lack("lost replies", c.Faults[FaultLostReply], percentOf(c.Sent, goal.LostReplies/2))
	lack("operations that are done", c.Done, 1)
	if operations > 500 {
		lack("altered payloads", c.Altered, 1)
		for _, p := range j.h.manifest.Policies {
			lack("effects of the policy "+p, c.Effects[p], 1)
		}
	}
}

func percentOf(n int, percent float64) int { return int(float64(n) * percent / 100) }
