package twopc

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
)

// Votes that could not be had are asked for again after so long: not for long,
// because everybody else is prepared and waits.
const (
	voteRetryBase = 100 * time.Millisecond
	voteRetryMax  = 5 * time.Second
)

// retryVote is when a branch is asked for its vote again.
func (t *transaction) retryVote(i int, now time.Time) time.Time {
	return now.Add(backoff(t.Tx, i, t.Branches[i].Attempts, voteRetryBase, voteRetryMax))
}

// backoff grows with the attempts. It is spread by what it is about, and not by
// chance, because a step must be the same when it is repeated.
func backoff(tx string, branch, attempts int, base, most time.Duration) time.Duration {
	d := most
	if attempts < 30 {
		d = min(base<<max(attempts-1, 0), most)
	}
	if d <= 0 {
		d = most // base<<n wrapped around
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d/%d", tx, branch, attempts)
	return d/2 + time.Duration(h.Sum64()%uint64(d/2+1))
}

// woken does what is due.
func (t *transaction) woken(r *rules, now time.Time) []order {
	switch {
	case t.undecided() && t.OnePhase:
		return nil
	case t.undecided() && !now.Before(t.Deadline):
		return t.decide(Aborted, t.late(), now)
	case t.undecided():
		var orders []order
		for i := range t.Branches {
			if due(t.Branches[i].Again, now) {
				orders = append(orders, t.ask(i))
			}
		}
		return orders
	case !t.decided():
		return nil
	}
	var orders []order
	for i := range t.Branches {
		if due(t.Branches[i].Again, now) {
			orders = append(orders, t.tell(i, now)...)
		}
	}
	t.settle(now)
	if t.Finished.IsZero() && due(t.alarmAt(r), now) {
		t.Alarm = now.Add(r.alarmAfter)
		for i := range t.Branches {
			if b := &t.Branches[i]; b.hazardous() {
				orders = append(orders, order{kind: alarm, branch: i, what: AlarmMixed, detail: b.Hazard})
			} else if !b.over() {
				orders = append(orders, order{kind: alarm, branch: i, what: AlarmInDoubt, detail: fmt.Sprintf(
					"it was decided %v ago and is not acknowledged, after %d attempts: %s", now.Sub(t.Decided).Round(time.Second), b.Attempts, b.Error)})
			}
		}
	}
	return orders
}

func due(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// late says for whom a transaction waited until its time was over.
func (t *transaction) late() *refusal {
	f := &refusal{Code: CodeTimeout}
	var waits []string
	for i := range t.Branches {
		b := &t.Branches[i]
		if b.Vote != VoteAsked {
			continue
		}
		if f.Branch == 0 {
			f.Branch = i + 1
		}
		say := b.subject() + " did not vote in time"
		if b.Error != "" {
			say += ": " + b.Error
		} else if !b.outside() {
			say += "; another transaction or a hold may have it"
		}
		waits = append(waits, say)
	}
	f.Detail = text(fmt.Sprintf("within %v %s", t.Deadline.Sub(t.Began), strings.Join(waits, "; ")))
	return f
}

// alarmAt is when somebody is told that a decision is not acknowledged.
func (t *transaction) alarmAt(r *rules) time.Time {
	if t.Alarm.IsZero() {
		return t.Decided.Add(r.alarmAfter)
	}
	return t.Alarm
}

// forgotten says whether nothing of the transaction needs to be known any more.
func (t *transaction) forgotten(r *rules, now time.Time) bool {
	return !t.Finished.IsZero() && !now.Before(t.Finished.Add(r.keep))
}

// next is when the transaction must be woken; zero if it need not be.
func (t *transaction) next(r *rules) (at time.Time) {
	if t.undecided() && t.OnePhase {
		return at
	}
	earlier := func(x time.Time) {
		if !x.IsZero() && (at.IsZero() || x.Before(at)) {
			at = x
		}
	}
	for i := range t.Branches {
		earlier(t.Branches[i].Again)
	}
	switch {
	case t.undecided():
		earlier(t.Deadline)
	case !t.Finished.IsZero():
		return t.Finished.Add(r.keep)
	case t.decided():
		earlier(t.alarmAt(r))
	}
	return at
}
