package check

import "fmt"

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
	batch   int   // calls in the same request
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
	told     bool // the reply had a balance
	balance  int64
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
	}
	return fmt.Sprintf("the %s %s of %d on %s", o.kind, o.key, o.cents, o.agent)
}

// begun is when the first request was sent.
func (o *operation) begun() *request {
	first := o.requests[0]
	for _, r := range o.requests {
		if !r.altered && (first.altered || r.call < first.call) {
			first = r
		}
	}
	return first
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
	for _, r := range o.requests {
		if !r.refused() {
			return false
		}
	}
	return true
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
	left     []*event // doubts and dead letters
	drains   []*event
	faults   []*event
	looked   bool
	end      int64 // the last time in it
}
