package core

import (
	"fmt"
	"slices"

	"github.com/semel-dev/semel/message"
)

// A store refuses a unit that is too large, and the shard then begins again
// with the same messages: one such unit stops it for ever. So what a unit will
// have is counted when it is decided (openUnit.bytes), and what one message
// can add is bounded:
//
//	    0          full                   last                     MaxUnitBytes
//	    |-----------|-----------------------|---------------------------|
//	worth a commit  ^   no more is begun    ^  room for one message that began before it
//
// One message adds at most: what its step replies, sends and asks for (step),
// or itself as a dead letter and the outcome that says so (two messages, which
// is as much); the outcome that waited for it, before that (message); its
// agent's state (MaxState); its agent's control row, with the messages that
// wait to be tried again (message); and rows that hold no more than names and
// numbers (smallRows).

// limits are in bytes, encoded.
type limits struct {
	message int // of one message, or of one effect with its answer
	step    int // of what a step replies, sends and asks for
	full    int // of a unit that is worth a commit: a larger one gains nothing over two
	last    int // of a unit that can take one more message
}

const (
	fullUnit  = 1 << 20
	smallRows = 16 << 10
	// flatBound bounds the encoding of a flat state, and flatGuess is what is
	// expected of one that was never encoded.
	flatBound, flatGuess = 4096, 128
)

func limitsOf(cfg Config) (limits, error) {
	whole := cfg.MaxUnitBytes
	l := limits{message: whole / 8, step: whole / 4, full: min(whole/4, fullUnit)}
	l.last = whole - l.step - 2*l.message - smallRows - cfg.MaxState
	if least := whole / 8; l.last < least {
		return l, fmt.Errorf("a state of MaxState = %d bytes does not fit with the rest of a step into a unit of MaxUnitBytes = %d; "+
			"allow states of %d bytes at most, or larger units", cfg.MaxState, whole, max(cfg.MaxState+l.last-least, 0))
	}
	return l, nil
}

// Full says that the open unit must be sealed before more is put into it.
func (s *Shard) Full() bool {
	u := s.open
	return u.bytes-u.slack >= s.limits.full || u.bytes >= s.limits.last
}

// Bytes is about what the open unit will have.
func (s *Shard) Bytes() int { return s.open.bytes - s.open.slack }

// whenRoom does something that writes when the open unit has room for it: now,
// or as soon as that is sealed.
func (s *Shard) whenRoom(f func()) {
	if s.Full() {
		s.postponed = append(s.postponed, f)
		return
	}
	f()
}

// resumePostponed goes on with what found the last unit full.
func (s *Shard) resumePostponed() {
	for len(s.postponed) > 0 && !s.Full() {
		f := s.postponed[0]
		s.postponed[0] = nil
		s.postponed = s.postponed[1:]
		f()
	}
}

// flat says whether the cell's state need not be encoded before Seal.
func (s *Shard) flat(c *cell) bool { return s.cfg.MaxState >= flatBound && c.state.Flat() }

// countState counts the row that Seal will write of the cell's state, the
// largest of those that the unit's steps leave behind.
func (s *Shard) countState(c *cell, size, likely int) {
	s.touch(c)
	n := &c.counted
	if n.state == 0 && s.cfg.Feed {
		s.open.bytes += sizeNested(len(c.key)) // among the unit's changes
	}
	if row := len(c.key) + stateBytes + size; row > n.state {
		s.open.bytes += row - n.state
		n.state = row
	}
	if slack := size - likely; slack > n.slack {
		s.open.slack += slack - n.slack
		n.slack = slack
	}
}

// countControl counts the row that Seal will write of the cell's control row.
func (s *Shard) countControl(c *cell) {
	row := len(c.key) + controlBytes + len(c.control.token) + sizeRetries(c.control.retries) + maxUint*mailWindow + c.control.sizeVoid()
	if n := &c.counted; row > n.control {
		s.open.bytes += row - n.control
		n.control = row
	}
}

// counted is what openUnit.bytes has of a cell in the unit that it last
// changed in.
type counted struct{ state, slack, control int }

// roomToRetry says whether an agent can keep one more message that waits to be
// tried again: one always, more while they do not outgrow the control row.
func (s *Shard) roomToRetry(c *cell, r *retry) bool {
	if c.control == nil || len(c.control.retries) == 0 {
		return true
	}
	return sizeRetries(c.control.retries)+sizeRetry(r) <= s.limits.message
}

// checkSize says what of a step's consequences does not fit.
func (s *Shard) checkSize(env *envelope, res Result) error {
	c, m := env.cell, env.msg
	total := 0
	var err error
	one := func(n int, what, name string) {
		total += n
		if n > s.limits.message && err == nil {
			err = fmt.Errorf("%s %s has %d bytes with all that is stored of it; at most %d are allowed", what, name, n, s.limits.message)
		}
	}
	if res.Verdict != Refused || res.Keep {
		for _, x := range s.step.sends {
			// Its row, and its share of the row that counts them.
			one(10+sealBytes+sizeMessage(x)+3+numberBytes, "the message", x.Action)
		}
		for _, t := range s.step.timers {
			key := len(c.key) + len(t.name)
			if t.msg == nil {
				total += key
				continue
			}
			one(8+2*key+sizeTimer(timerRow{due: t.due, msg: t.msg}), "the timer's message", t.msg.Action)
		}
		for _, e := range s.step.effects {
			one(len(e.id)+sizeEffect(e), "the effect", e.name)
		}
		for _, id := range s.step.withdrawn {
			total += sizeBytes(len(id)) // of a promise
			e := s.effects[id]
			if i := slices.IndexFunc(s.step.effects, func(e *effectRecord) bool { return e.id == id }); e == nil && i >= 0 {
				e = s.step.effects[i]
			}
			if e == nil {
				continue
			}
			one(s.sizeResult(e, 2*1024), "the answer to the withdrawn effect", e.name)
			one(len(e.id)+sizeEffect(e), "the withdrawn effect", e.name) // its row, which may say so for long
			if r := s.overlay.get(message.TableOpen, originKey(e)); r != nil {
				total += len(r.key) + len(r.value) + outcomeBytes // see markOrigin; else it is read first
			}
		}
		if n := len(s.step.hold.token); n > message.MaxNameBytes {
			return fmt.Errorf("the hold's token has %d bytes; at most %d are allowed", n, message.MaxNameBytes)
		}
	}
	answer := len(res.Body) + len(res.Code) + len(res.Detail)
	switch {
	case m.Answer == nil:
		row := len(c.key) + len(m.Principal) + len(m.Key) + len(m.Action) + outcomeBytes
		if m.Key != "" {
			total += row + answer
		}
		if m.ReplyTo != nil {
			if res.Verdict == Deferred {
				total += row + sizeReplyTo(m.ReplyTo)
			} else {
				one(s.sizeReply(m.Principal, m.ReplyTo, answer), "the reply", m.Action)
			}
		}
	case len(env.rows) > 0:
		// It settles the message that asked first, which may owe a reply, or
		// changes its open row. That has all that each is made of, besides the
		// answer.
		open := env.rows[0].key.Key
		value, _ := s.row(env, 0)
		row := len(open) + len(value) + outcomeBytes
		total += 2*row + answer
		if value != nil && open[len(c.key)] == 'i' {
			one(row+len(m.Principal)+answer, "the reply", m.Action)
		}
	}
	if env.origin == fromDead && len(env.rows) > 0 { // see reopen
		value, _ := s.row(env, 0)
		total += len(env.rows[0].key.Key) + len(value) + outcomeBytes
	}
	if err == nil && total > s.limits.step {
		err = fmt.Errorf("the step's reply, messages, timers and effects have %d bytes with all that is stored of them; at most %d are allowed", total, s.limits.step)
	}
	return err
}

// sizeReply is at least the row of a reply whose texts have so many bytes.
func (s *Shard) sizeReply(principal string, to *message.ReplyTo, texts int) int {
	return 10 + 3 + numberBytes + len(principal) + sizeReplyTo(to) + texts + traceBytes + outcomeBytes
}

// fit makes an effect's result one that can be kept until the agent has
// consumed it. One that is too large is as good as none: what is certain would
// be so without what it says.
func (s *Shard) fit(e *effectRecord, r EffectResult) EffectResult {
	n := s.sizeResult(e, len(r.Body)+len(r.Code)+len(r.Detail))
	if n <= s.limits.message {
		return r
	}
	if r.Status == message.StatusDone || r.Status == message.StatusRejected {
		r.Detail = fmt.Sprintf("it is %s, but its answer has %d bytes with all that is stored of it; at most %d are allowed", r.Status, n, s.limits.message)
		r.Status = message.StatusUnknown
	}
	r.Body, r.Code, r.Detail = nil, truncate(r.Code), truncate(r.Detail)
	return r
}

// sizeResult is at least the message, and at least the resolution, that brings
// texts of so many bytes to the agent.
func (s *Shard) sizeResult(e *effectRecord, texts int) int {
	return sizeAgent(e.agent) + len(e.then) + len(e.principal) + sizeLink(e.link) + texts + traceBytes + outcomeBytes
}
