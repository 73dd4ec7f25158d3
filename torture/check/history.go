package check

import (
	"cmp"
	"fmt"
	"slices"
)

// place is where a line stands.
type place struct {
	file int32 // among history.files; -1 is nowhere
	line int32
}

var nowhere = place{-1, 0}

// request is what one client sent once, and what became of it.
type request struct {
	id      string
	op      *operation
	altered bool
	phase   string
	batch   int   // calls in the same request, 0 if it is none of a batch
	call    int64 // when it was sent
	callAt  place

	answered string // ok, fail or info; empty if the history does not say
	ret      int64  // when it was answered
	retAt    place
	status   int
	code     string
	kind     string
	reply    string // a hash
	receipt  string
	text     string
	replayed bool
	again    bool // it went from node to node, so that a replay may be of this request
	told     bool // the reply had a balance
	balance  int64
	balances []int64 // of a transaction's parts
	by       string  // who refused a transaction

	doubled bool // the network may have passed it on once more, with an answer that nobody heard
}

// decided says whether the answer is a decision about the key, for good.
func (r *request) decided() bool {
	return r.answered == OK || r.answered == Fail && r.kind == kindRejected || r.answered == Info && r.code == codeUnknown
}

// refused says that this request has not taken effect and will not. It says
// nothing of others with its key.
func (r *request) refused() bool { return r.answered == Fail && r.kind == kindNotDone }

// operation is all requests with one key. A read has no key and is one request.
type operation struct {
	key, kind, agent, to, policy, print string
	cents                               int64
	parts                               []change // of a transaction
	requests                            []*request
	first                               *request // the earliest decision, nil if there is none
}

func (o *operation) String() string {
	switch o.kind {
	case OpEffect:
		return fmt.Sprintf("the effect %s (%s, %d cents)", o.key, o.policy, o.cents)
	case OpTransfer:
		return fmt.Sprintf("the transfer %s of %d from %s to %s", o.key, o.cents, o.agent, o.to)
	case OpRead:
		return fmt.Sprintf("the read %s of %s", o.requests[0].id, o.agent)
	case OpTransaction:
		return o.movement()
	}
	return fmt.Sprintf("the %s %s of %d on %s", o.kind, o.key, o.cents, o.agent)
}

// effective says that the request may have taken effect, or may still. What was
// refused has not, but a copy of it may have, whose answer nobody heard; unless the
// refusal was for good, which is the copy's too.
func (r *request) effective() bool {
	return !r.altered && (!r.refused() || r.doubled && r.transient())
}

// begun is the first request that may have taken effect, or else the first one.
func (o *operation) begun() *request {
	rank := func(r *request) int {
		switch {
		case r.effective():
			return 0
		case !r.altered:
			return 1
		}
		return 2
	}
	return slices.MinFunc(o.requests, func(a, b *request) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.call, b.call))
	})
}

// failed says that no request of it can have taken effect: each was refused, or
// nothing can be done with its body.
func (o *operation) failed() bool {
	if o.first != nil {
		return o.first.answered == Fail
	}
	if o.kind == OpMalformed {
		return true
	}
	return !slices.ContainsFunc(o.requests, (*request).effective)
}

// refusedForGood says that each request was refused, and that the next one would
// be too: not because the server was busy.
func (o *operation) refusedForGood() bool {
	return o.first == nil && o.failed() && slices.ContainsFunc(o.requests, func(r *request) bool { return r.refused() && !r.transient() })
}

// known is the earliest answer that says that the server has the key on its disk:
// it has accepted it, is in doubt about it, or has decided it; nil if there is
// none. Before it another payload may be the one that came first.
func (o *operation) known() (first *request) {
	for _, r := range o.requests {
		if !r.altered && (r.decided() || r.code == codeInDoubt || r.status == statusAccepted) && (first == nil || r.ret < first.ret) {
			first = r
		}
	}
	return first
}

// undecided says that nobody knows whether it took effect.
func (o *operation) undecided() bool { return o.first == nil && !o.failed() }

// event is a line of another kind than requests.
type event struct {
	Record
	place
}

// history is everything that was recorded.
type history struct {
	manifest Manifest
	files    []string
	requests []*request
	order    []*operation // of their first lines
	byKey    map[string]*operation

	arrivals []*event // effect and call, as the outside world heard them
	probes   []*event
	settles  []*event
	states   []*event
	left     []*event // doubts, dead letters and open transactions
	listings []*event // of the transactions that are not over
	drains   []*event
	faults   []*event
	outages  []*event // the faults of servers
	looked   *event
	end      int64 // the last time in it
	holes    bool  // lines are missing
}

// calm is when the last fault was over, and the line that says so; nil if there
// was none.
func (h *history) calm() (at int64, last *event) {
	for _, e := range h.faults {
		if over := max(e.At, e.Until); last == nil || over > at {
			at, last = over, e
		}
	}
	return at, last
}
