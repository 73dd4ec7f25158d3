package sim

import (
	"slices"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// Answers that agree with each other and with what is recorded may all be
// another's. So the handlers' own words are remembered, and an op's outcome is
// held against what was said of that very op.

// opOf is the op that a message, or an answer, lets its agent settle; nil if it
// is none.
func (s *Sim) opOf(m *message.Message) *op {
	asked := bodyOf(m.Body)
	if m.Answer != nil {
		asked = bodyOf(m.Answer.Link.Context)
	}
	if asked.part != whole || int(asked.op) >= len(s.clients.ops) {
		return nil
	}
	o := s.clients.ops[asked.op]
	if m.Answer == nil && (m.Key == "" || m.Action != o.action) {
		return nil
	}
	return o
}

// says runs a handler and remembers what it says. The step may yet be lost:
// what is remembered may be too much.
func (s *Sim) says(m *message.Message, handle func() core.Result) core.Result {
	o := s.opOf(m)
	if o != nil && m.Answer == nil {
		o.runs++ // it may panic
	}
	r := handle()
	if o != nil && r.Verdict == core.Refused && !slices.Contains(o.codes, r.Code) {
		o.codes = append(o.codes, r.Code)
	}
	return r
}

// checkOutcome: a settled outcome is what a handler said of this op, and not of
// another.
func (s *Sim) checkOutcome(o *op, out *message.Outcome) {
	switch {
	case out.Action != o.action:
		s.failf("%s is answered with an outcome of %s", o, out.Action)
	case out.Status == message.StatusDone && o.agent.Type != "tally" && bodyOf(out.Body).op != o.n:
		s.failf("%s is answered with the reply to op%d", o, bodyOf(out.Body).op)
	case out.Status == message.StatusRejected && out.Code != discarded && !slices.Contains(o.codes, out.Code):
		s.failf("%s is rejected as %q; its handler said %q", o, out.Code, o.codes)
	case out.Attempts < 1 || out.Attempts > o.runs && out.Code != discarded: // which may have been tried and never run
		s.failf("%s took %d attempts, says its outcome, and its handler ran %d times", o, out.Attempts, o.runs)
	case out.FirstSeen == 0 || out.FirstSeen > out.Settled && !s.backwards[s.shardOf(o.agent)]:
		s.failf("%s was first seen at %d, says its outcome, and settled at %d", o, out.FirstSeen, out.Settled)
	}
}

// discarded is the code of a dead letter that a person gave up.
const discarded = "discarded"
