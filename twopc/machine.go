package twopc

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The protocol, as a pure machine: an event comes, the state changes, and what
// must be asked for in the same commit is returned. It holds that
//
//  1. the decision is made once: State leaves Undecided and never changes again;
//  2. it is Committed only if every branch has voted yes;
//  3. agents are asked one after the other in the order of their names, and
//     outside participants when all agents have voted;
//  4. every branch that may be prepared is told of the decision until it has
//     acknowledged it, or an operator says that it never can;
//  5. what is told to a branch never changes, because the decision does not: of a
//     branch that prepared more than one thing, the one that voted is kept.
type orderKind int

const (
	askAgent   orderKind = iota // prepare, if there is more than one participant
	askOutside                  // Prepare of a participant
	tellAgent
	tellOutside
	withdraw
	alarm
)

// order is something that the agent is to ask for.
type order struct {
	kind   orderKind
	branch int // its index
	commit bool
	handle string
	key    string // of the effect that is withdrawn
	what   AlarmKind
	detail string
}

// rules are the times that the machine goes by.
type rules struct {
	retryBase, retryMax time.Duration // between attempts of telling
	alarmAfter          time.Duration
	keep                time.Duration
}

// begin starts a transaction.
func (t *transaction) begin(now time.Time, timeout time.Duration) []order {
	t.State, t.Began, t.Deadline = Undecided, now, now.Add(timeout)
	t.OnePhase = len(t.Branches) == 1 && !t.Branches[0].outside()
	return t.advance(now)
}

// advance asks for the next votes, and commits when all are there.
func (t *transaction) advance(now time.Time) []order {
	for _, i := range t.agents() {
		switch b := &t.Branches[i]; b.Vote {
		case VoteNone:
			b.Vote, b.Preparing = VoteAsked, true
			return []order{{kind: askAgent, branch: i}}
		case VoteAsked:
			return nil
		}
	}
	var orders []order
	waiting := false
	for i := range t.Branches {
		b := &t.Branches[i]
		if b.Vote == VoteNone {
			b.Vote = VoteAsked
			orders = append(orders, t.ask(i))
		}
		waiting = waiting || b.Vote == VoteAsked
	}
	if waiting {
		return orders
	}
	return t.decide(Committed, nil, now)
}

// agents are the indices of the agents' branches, in the order in which they are
// asked: that of their names. All transactions have the same order, so of those
// that wait for each other's agents one always has the last one, and goes on.
func (t *transaction) agents() []int {
	var list []int
	for i := range t.Branches {
		if !t.Branches[i].outside() {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(i, j int) int {
		a, b := &t.Branches[i], &t.Branches[j]
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.ID, b.ID))
	})
	return list
}

// ask has a participant outside prepare.
func (t *transaction) ask(i int) order {
	b := &t.Branches[i]
	b.Preparing, b.Again = true, time.Time{}
	b.Attempts++
	return order{kind: askOutside, branch: i}
}

// decide makes the decision, and tells all branches.
func (t *transaction) decide(s State, why *refusal, now time.Time) []order {
	t.State, t.Refusal, t.Decided = s, why, now
	var orders []order
	for i := range t.Branches {
		b := &t.Branches[i]
		b.Body, b.Again, b.Attempts = nil, time.Time{}, 0
		if s == Committed {
			b.Error = ""
		}
		orders = append(orders, t.tell(i, now)...)
	}
	t.settle(now)
	return orders
}

// tell has a branch hear of the decision, if it needs to and can.
func (t *transaction) tell(i int, now time.Time) []order {
	b := &t.Branches[i]
	commit := t.State == Committed
	switch {
	case b.Telling || !b.Acked.IsZero() || b.Resolved != nil:
		return nil
	case b.Vote == VoteNone, // it was never asked
		b.Vote == VoteNo && !b.outside(), // outside, a call of before a crash may prepare yet, and nobody counted it
		b.Vote == VoteReadOnly && b.outside() && (commit || !b.Unsure):
		b.Acked = now
		return nil
	case b.outside() && b.Preparing:
		// What is prepared is known when its answer is there, and not before: an
		// Abort could overtake the call.
		return []order{{kind: withdraw, branch: i, key: b.Effect}}
	}
	if b.Told.IsZero() {
		b.Told = now
	}
	b.Telling, b.Again = true, time.Time{}
	b.Attempts++
	if !b.outside() {
		return []order{{kind: tellAgent, branch: i, commit: commit}}
	}
	o := order{kind: tellOutside, branch: i, commit: commit, handle: b.Handle}
	if !commit && (b.Unsure || b.Vote != VoteYes) {
		o.handle = "" // all that is prepared of it
	}
	return []order{o}
}

// settle notes that all branches are over.
func (t *transaction) settle(now time.Time) {
	for i := range t.Branches {
		if b := &t.Branches[i]; !b.over() || b.hazardous() {
			t.Finished = time.Time{}
			return
		}
	}
	if t.Finished.IsZero() {
		t.Finished = now
	}
}

// begun gives an order's effect a name by which it can be withdrawn.
func (t *transaction) begun(i int, key string) { t.Branches[i].Effect = key }

// check refuses branches that cannot be a transaction.
func check(branches []branch) error {
	if len(branches) == 0 || len(branches) > MaxParticipants {
		return fmt.Errorf("a transaction has 1 to %d participants, and this one %d", MaxParticipants, len(branches))
	}
	size := 0
	seen := make(map[[2]string]bool)
	for i := range branches {
		b := &branches[i]
		size += len(b.Body)
		if b.outside() {
			if b.Type != "" || b.ID != "" || b.Action != "" {
				return fmt.Errorf("participant %d names both an agent and %q; give one of them", i+1, b.Participant)
			}
			continue
		}
		if b.Type == "" || b.ID == "" || b.Action == "" {
			return fmt.Errorf("participant %d names neither an agent's type, id and action, nor a participant", i+1)
		}
		agent := [2]string{b.Type, b.ID}
		if seen[agent] {
			return fmt.Errorf("agent %s takes part twice, and would wait for itself: combine what it is to do into one action", b.subject())
		}
		seen[agent] = true
	}
	if size > maxBodies {
		return fmt.Errorf("the bodies have %d bytes together; at most %d are allowed", size, maxBodies)
	}
	if b, err := json.Marshal(branches); err != nil {
		return fmt.Errorf("the participants cannot be encoded: %w", err)
	} else if len(b) > maxRequest {
		return fmt.Errorf("the participants have %d bytes together; at most %d are allowed", len(b), maxRequest)
	}
	return nil
}

// MaxParticipants bounds the participants of one transaction: what is known of
// all of them is the state of one agent.
const MaxParticipants = 100

// What keeps the state of a transaction well under an agent's limit of 1 MiB.
const (
	maxBodies  = 256 << 10
	maxRequest = 384 << 10 // bodies, and names as JSON
	maxReplies = 128 << 10
	maxData    = 32 << 10 // of a refusal
	maxText    = 300      // of an error or a detail
)
