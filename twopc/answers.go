package twopc

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// verdict says how something that was asked for ended.
type verdict int

const (
	wasDone   verdict = iota
	wasNo             // it said no
	wasFailed         // it may have happened or not; it may be asked again
)

// heard is what a branch answered.
type heard struct {
	verdict  verdict
	readOnly bool
	handle   string
	reply    json.RawMessage
	refusal  refusal // if it said no
	detail   string  // if it failed
	unsure   bool    // a call before the one that answered may have done something, too
}

// voted takes the vote of a branch.
func (t *transaction) voted(i int, h heard, now time.Time) []order {
	b := &t.Branches[i]
	if !b.Preparing {
		return nil
	}
	b.Preparing, b.Effect = false, ""
	b.Unsure = b.Unsure || h.unsure
	switch {
	case h.verdict == wasFailed && b.outside():
		// Whatever it was, what it did may be there.
		b.Unsure, b.Error = true, text(h.detail)
	case h.verdict == wasFailed:
		h.verdict, h.refusal = wasNo, refusal{Code: "not_prepared", Detail: h.detail}
		fallthrough
	case h.verdict == wasNo:
		b.Vote, b.Error = VoteNo, text(h.refusal.Detail)
	case h.readOnly:
		b.Vote, b.Error = VoteReadOnly, ""
	default:
		b.Vote, b.Handle, b.Error = VoteYes, h.handle, ""
	}
	if !t.undecided() { // it came too late, and what it prepared is dropped
		if b.Vote == VoteYes && !b.outside() {
			b.Acked = time.Time{} // it is told once more, should it have been told before it was asked
		}
		orders := t.tell(i, now)
		t.settle(now)
		return orders
	}
	switch b.Vote {
	case VoteAsked:
		b.Again = t.retryVote(i, now)
		return nil
	case VoteNo:
		h.refusal.Branch = i + 1
		return t.decide(Aborted, h.refusal.bounded(), now)
	}
	if t.replies()+len(h.reply) > maxReplies {
		return t.decide(Aborted, &refusal{Code: CodeTooLarge, Branch: i + 1, Detail: fmt.Sprintf(
			"the replies have more than %d bytes together", maxReplies)}, now)
	}
	b.Reply = h.reply
	return t.advance(now)
}

// ended takes the answer of the one agent of a transaction in one phase: it is
// the decision.
func (t *transaction) ended(h heard, now time.Time) {
	b := &t.Branches[0]
	if !t.undecided() || !b.Preparing {
		return
	}
	if h.verdict == wasDone && len(h.reply) > maxReplies {
		h = heard{verdict: wasFailed, detail: fmt.Sprintf("it was done, and its reply has %d bytes, of which at most %d can be kept", len(h.reply), maxReplies)}
	}
	b.Preparing, b.Body = false, nil
	b.Told, b.Acked, t.Decided, t.Finished = now, now, now, now
	switch h.verdict {
	case wasDone:
		b.Vote, b.Reply, t.State = VoteYes, h.reply, Committed
	case wasNo:
		h.refusal.Branch = 1
		b.Vote, b.Error, t.State, t.Refusal = VoteNo, text(h.refusal.Detail), Aborted, h.refusal.bounded()
	default:
		b.Error, t.State = text(h.detail), Unclear
	}
}

// told takes the acknowledgement of a branch.
func (t *transaction) told(i int, h heard, r *rules, now time.Time) (orders []order) {
	b := &t.Branches[i]
	if !b.Telling {
		return nil
	}
	b.Telling, b.Effect = false, ""
	switch {
	case h.verdict == wasDone:
		b.Acked, b.Error = now, ""
	case h.verdict == wasNo:
		b.Acked, b.Hazard = now, text(cmpText(h.refusal.Detail, h.refusal.Code))
		orders = append(orders, order{kind: alarm, branch: i, what: AlarmMixed, detail: b.Hazard})
	case b.Resolved == nil:
		b.Error, b.Again = text(h.detail), now.Add(backoff(t.Tx, i, b.Attempts, r.retryBase, r.retryMax))
	}
	t.settle(now)
	return orders
}

// replies is how many bytes of replies are kept.
func (t *transaction) replies() (n int) {
	for i := range t.Branches {
		n += len(t.Branches[i].Reply)
	}
	return n
}

// bounded is the refusal as it is kept.
func (f *refusal) bounded() *refusal {
	if f.Code == "" {
		f.Code = "rejected"
	}
	f.Code, f.Detail = text(f.Code), text(f.Detail)
	if len(f.Data) > maxData {
		f.Data = nil
	}
	return f
}

// text makes what somebody else said something that a state can hold: short,
// also as JSON, where a character may need six bytes.
func text(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxText)], "?")
	size := 0
	for i, c := range s {
		switch {
		case c < ' ', c == '<', c == '>', c == '&', c == '\u2028', c == '\u2029':
			size += 6
		case c == '"', c == '\\':
			size += 2
		default:
			size += utf8.RuneLen(c)
		}
		if size > maxText {
			return s[:i]
		}
	}
	return s
}

func cmpText(a, b string) string {
	if a == "" {
		return b
	}
	return a
}
