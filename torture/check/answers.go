package check

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// answers judges what clients heard about each key (rules 2, 3 and 5).
func (j *judge) answers() {
	for _, o := range j.h.order {
		if o.kind == OpRead {
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
		if o.kind == OpMalformed && o.first != nil && o.first.answered == OK {
			j.found(CodeMalformedAccepted, []place{o.first.callAt, o.first.retAt}, "%s has a body that the action does not take, and it is done", o)
		}
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

// onceFresh finds two answers that both say that this very request did it.
func (j *judge) onceFresh(o *operation) {
	var fresh *request
	for _, r := range o.requests {
		if r.altered || !r.decided() || r.replayed {
			continue
		}
		if fresh != nil {
			j.found(CodeExecutedTwice, []place{fresh.callAt, fresh.retAt, r.callAt, r.retAt}, "%s was executed twice: two answers are no replays", o)
			return
		}
		fresh = r
	}
}

// altered judges the answer to another payload under the key, after the key was
// decided.
func (j *judge) altered(o *operation, r *request) {
	if o.first == nil || r.call <= o.first.ret {
		return // whichever comes first is the key's; clients do not do that
	}
	lines := []place{o.first.callAt, o.first.retAt, r.callAt, r.retAt}
	switch {
	case r.transient():
	case r.code != codeConflict || r.answered != Fail:
		j.found(CodeConflictMissing, lines, "%s was decided, and another payload under its key is answered %d %s and no conflict", o, r.status, r.code)
	case leaks(r, o.first):
		j.found(CodeConflictLeak, lines, "another payload under the key of %s is refused, and told the reply", o)
	}
}

// leaks says whether a conflict's text has something of the reply in it.
func leaks(conflict, first *request) bool {
	if first.answered != OK {
		return false
	}
	sum := sha256.Sum256([]byte(conflict.text))
	return first.reply != "" && strings.HasPrefix(hex.EncodeToString(sum[:]), first.reply) ||
		first.receipt != "" && strings.Contains(conflict.text, first.receipt) ||
		first.told && strings.Contains(conflict.text, `"cents"`)
}
