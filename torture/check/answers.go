package check

import "strings"

// answers judges what clients heard about each key (rules 2, 3 and 5).
func (j *judge) answers() {
	for _, o := range j.h.order {
		if o.kind == OpRead {
			j.decision(o)
			continue
		}
		for _, r := range o.requests {
			switch {
			case r.answered == "":
			case r.altered:
				j.altered(o, r)
			default:
				j.answer(o, r)
			}
		}
		j.onceFresh(o)
		j.refusals(o)
		j.decision(o)
	}
}

// answer judges the answer to a request with the payload of the key.
func (j *judge) answer(o *operation, r *request) {
	lines := []place{r.callAt, r.retAt}
	switch r.code {
	case codeConflict:
		j.found(CodeConflictFalse, append(lines, o.begun().callAt), "%s was sent again as it was, and that is called a conflict", o)
	case codeInDoubt:
		if o.kind != OpEffect || o.policy != Ask && o.policy != Probe {
			j.found(CodeDoubtForbidden, lines, "%s is in doubt, which only the policies ask and probe allow", o)
		}
	case codeUnknown:
		if o.kind != OpEffect || o.policy != AtMostOnce {
			j.found(CodeUnknownForbidden, lines, "the outcome of %s is unknown for good, which only the policy at_most_once allows", o)
		}
	case codeDead:
		j.found(CodeDeadLeft, lines, "%s is among the dead letters", o)
	}
	first := o.first
	if first == nil || r == first {
		return
	}
	lines = []place{first.callAt, first.retAt, r.callAt, r.retAt}
	switch {
	case r.decided() && (r.answered != first.answered || r.code != first.code):
		j.found(CodeOutcomeChanged, lines, "%s was answered %s, and then %s", o, outcome(first), outcome(r))
	case r.decided() && r.reply != first.reply:
		j.found(CodeReplyChanged, lines, "%s was answered with one reply, and then with another one", o)
	case r.decided() || r.call <= first.ret+maxSkew:
	case !r.transient():
		j.found(CodeOutcomeLost, lines, "%s was decided (%s), and a later request is answered %d %s", o, outcome(first), r.status, r.code)
	}
}

// transient says that an answer tells nothing of the key: the server was down
// or busy, or the connection broke.
func (r *request) transient() bool {
	switch r.code {
	case "connection_lost", "overloaded", "canceled", "closed", "store_unavailable", "commit_unknown", "storage_full":
		return true
	}
	return strings.HasPrefix(r.code, "http_5") // of whatever stands before the server
}

func outcome(r *request) string {
	switch {
	case r.answered == OK:
		return "done"
	case r.answered == Fail:
		return "rejected: " + r.code
	}
	return "unknown"
}

// onceFresh judges that just one answer is no replay: that of the request which
// did it, and which none can be that came after an answer.
func (j *judge) onceFresh(o *operation) {
	var fresh *request
	for _, r := range o.requests {
		if r.altered || !r.decided() || r.replayed {
			continue
		}
		first := o.first
		if fresh != nil {
			first = fresh
		}
		if fresh != nil || r.call > first.ret+maxSkew {
			j.found(CodeExecutedTwice, []place{first.callAt, first.retAt, r.callAt, r.retAt}, "%s was executed twice: it was decided, and another answer is no replay", o)
			return
		}
		fresh = r
	}
}

// refusals judges that what was refused did not happen: an answer that is a replay
// is that of another request, which can be none of those that were not done. One
// that went from node to node may be that of itself.
func (j *judge) refusals(o *operation) {
	first := o.first
	if first == nil || !first.replayed || first.again {
		return
	}
	lines := []place{first.callAt, first.retAt}
	for _, r := range o.requests {
		switch {
		case r == first || r.altered || r.call > first.ret+maxSkew:
		case r.effective():
			return
		default:
			lines = append(lines, r.callAt, r.retAt)
		}
	}
	if !first.doubled {
		j.found(CodeRefusalFalse, lines, "%s was answered with the replay of another request, and each other one was answered that it is not done", o)
	}
}

// decision judges the earliest decision by itself: whether it is one that can be.
func (j *judge) decision(o *operation) {
	r := o.first
	if r == nil {
		return
	}
	lines := []place{r.callAt, r.retAt}
	switch {
	case o.kind == OpMalformed && r.answered == OK:
		j.found(CodeMalformedAccepted, lines, "%s has a body that the action does not take, and it is done", o)
	case r.answered == OK && !o.toldBy(r):
		j.found(CodeReplyMalformed, lines, "%s is done, and its reply is none of this operation", o)
	case r.answered == Fail && !o.mayBeRejected(r.code):
		j.found(CodeRejectionFalse, lines, "%s was answered rejected: %s, for which there is no reason", o, r.code)
	}
}

// toldBy says whether a reply has what a reply of the operation must have.
func (o *operation) toldBy(r *request) bool {
	switch o.kind {
	case OpEffect:
		return r.receipt != ""
	case OpTransaction:
		return len(r.balances) == len(o.parts)
	}
	return r.told
}

// mayBeRejected says whether the operation can be rejected, for this reason. A
// body that nobody takes is refused, which is no decision.
func (o *operation) mayBeRejected(code string) bool {
	switch o.kind {
	case OpDebit, OpTransfer:
		return code == codeFunds
	case OpEffect:
		return code == codeDeclined
	case OpTransaction: // see bank.go
		return code == codeFunds || code == codeTimeout
	}
	return false
}

// altered judges the answer to another payload under the key, after the server has
// the key.
func (j *judge) altered(o *operation, r *request) {
	known := o.known()
	if known == nil || r.call <= known.ret {
		return // whichever comes first is the key's; clients do not do that
	}
	lines := []place{known.callAt, known.retAt, r.callAt, r.retAt}
	switch {
	case r.transient():
	case r.code != codeConflict || r.answered != Fail:
		j.found(CodeConflictMissing, lines, "%s is known to the server, and another payload under its key is answered %d %s and no conflict", o, r.status, r.code)
	default:
		j.conflict(o, r, lines)
	}
}
