package twopc

import "time"

// Decision is what a participant hears that asks what to do with something
// that it has prepared.
type Decision string

// The decisions.
const (
	Wait   Decision = "wait"   // nothing is decided yet; ask again
	Commit Decision = "commit" // keep it
	Abort  Decision = "abort"  // drop it
)

// inquired answers a question about prepared work. Where nothing is known of the
// transaction the answer is Abort: it is forgotten after all of its branches
// were told, and none is prepared before it is durably known, so that this one
// is no part of it. The name of a transaction is never given again.
func (t *transaction) inquired(tx, name, handle string) Decision {
	switch {
	case !t.is(tx):
		return Abort
	case t.undecided() && !t.OnePhase:
		return Wait
	case t.State != Committed:
		return Abort
	}
	for i := range t.Branches {
		b := &t.Branches[i]
		if branchName(i) != name || !b.outside() || b.Vote != VoteYes {
			continue
		}
		switch handle {
		case b.Handle:
			return Commit
		case "":
			return Wait // who asks does not say which it is: it is told soon, by name
		}
	}
	return Abort
}

// presume remembers that a transaction which nobody knows is aborted: then who
// asks has it from a commit, which only the owner of the shard can make, and not
// from the memory of a former one.
func (t *transaction) presume(tx string, now time.Time) {
	t.Inquired++
	if t.Tx == "" || t.State == presumed {
		*t = transaction{Tx: tx, State: presumed, Decided: now, Finished: now, Inquired: t.Inquired}
	}
}

// Resolution is how an operator ended what cannot end by itself.
type Resolution struct {
	Who string    `json:"who"`
	Why string    `json:"why"`
	At  time.Time `json:"at"`
}

// resolve takes note that an operator gave a branch up, or knows that it went
// the other way. It reports what is wrong, by a code and a text, if it cannot.
func (t *transaction) resolve(name string, res Resolution) (orders []order, code, detail string) {
	for i := range t.Branches {
		b := &t.Branches[i]
		switch {
		case branchName(i) != name:
			continue
		case !t.decided():
			return nil, CodeUndecided, "nothing is decided, so there is nothing to resolve: its timeout ends that"
		case !b.outside() && !b.hazardous() && b.Resolved == nil:
			return nil, CodeNotNeeded, "the branch is an agent of this store, which hears of the decision as soon as it can: if it cannot, see why among its retries, and the dead letters"
		case b.Resolved != nil && b.Resolved.Who == res.Who && b.Resolved.Why == res.Why:
			return nil, "", ""
		case b.Resolved != nil:
			return nil, CodeNotNeeded, "it was resolved by " + b.Resolved.Who + " before"
		case b.over() && !b.hazardous():
			return nil, CodeNotNeeded, "the branch has acknowledged the decision"
		}
		b.Resolved, b.Again = &res, time.Time{}
		if b.Telling {
			orders = append(orders, order{kind: withdraw, branch: i, key: b.Effect})
		}
		t.settle(res.At)
		return orders, "", ""
	}
	return nil, CodeUnknownBranch, "the transaction has no such branch"
}
