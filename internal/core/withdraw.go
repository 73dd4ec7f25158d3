package core

import (
	"fmt"

	"github.com/semel-dev/semel/message"
)

// An agent withdraws an effect when it no longer wants it: it is about to undo what
// the effect may have done, and a call after that would stand. So a withdrawn
// effect is never called (again), whatever a probe, a person or a later program
// says of it. Its agent is answered once, soon: what is certain if that is known,
// else that it may have happened. If a person or a probe may still find out, the
// effect stays in doubt, for the books.

// CodeWithdrawn is the code of the answer of a withdrawn effect whose end is not known.
const CodeWithdrawn = "withdrawn"

// withdraw is what a step of the agent asked for. It answers by the outbox and not
// at once: the step is not at its end.
func (s *Shard) withdraw(a message.Agent, id message.ID) {
	e := s.effects[id]
	if e == nil || e.agent != a || e.withdrawn {
		return // it is settled, or was never asked
	}
	e.withdrawn = true
	if e.told() {
		// The row says so all the same: what tells may be lost with the session,
		// and the next one must not call.
		s.putEffect(e)
		return
	}
	s.endWithdrawn(e)
}

// told says whether something is on its way that ends the effect, or says of its
// last call what a withdrawal has to know.
func (e *effectRecord) told() bool {
	return e.mem.settling != nil || e.resolved || e.mem.running && !e.mem.probing
}

// mayHave says whether a call of the effect may have had its effect.
func (e *effectRecord) mayHave() bool {
	return e.status != effectAsked || e.mem.maybe || e.mem.former && e.unrecorded == keyedUnrecorded
}

// endWithdrawn answers the agent of a withdrawn effect of which no call is under way.
func (s *Shard) endWithdrawn(e *effectRecord) {
	if !e.mayHave() {
		s.answerWithdrawn(e, message.StatusNotDone, "it was withdrawn, and no call was made that may have had its effect")
		s.noteSettlement(e, EffectResult{Status: message.StatusNotDone, Code: CodeWithdrawn})
		s.consumeEffect(e)
		return
	}
	if s.dropDoubt(e) {
		s.markOrigin(e)
	}
	s.answerWithdrawn(e, message.StatusUnknown, fmt.Sprintf("it was withdrawn, and may have happened: %s", e.reason))
	e.then, e.link = "", message.Link{}
	switch policy := s.policy(e).Policy; {
	case policy == Keyed || policy == ReadOnly || policy == AtMostOnce:
		s.noteSettlement(e, EffectResult{Status: message.StatusUnknown, Code: CodeWithdrawn})
		s.consumeEffect(e) // nobody could find out but by a call
		return
	case e.status == effectDoubt:
		s.putEffect(e)
	default:
		e.status = effectStarted
		s.putEffect(e)
		s.doubt(e)
	}
	if s.policy(e).Policy == Probe && e.mem.retryAt == 0 {
		s.enqueue(e) // the probe goes on
	}
}

func (s *Shard) answerWithdrawn(e *effectRecord, status message.Status, detail string) {
	if e.then == "" {
		return // nobody waits
	}
	s.send(&message.Message{
		ID: e.id.Child(0), To: e.agent, Action: e.then, Principal: e.principal, Sent: s.now, Trace: e.trace,
		Answer: &message.Answer{Status: status, Code: CodeWithdrawn, Detail: truncate(detail), Link: e.link},
	})
}

// recoverWithdrawn takes up an effect that was withdrawn before the last session
// ended. A call that was under way then may have happened. Only one that is in doubt
// and of which nobody waits to hear has been ended before.
func (s *Shard) recoverWithdrawn(e *effectRecord) {
	if e.then == "" && e.status == effectDoubt {
		if s.policy(e).Policy == Probe {
			s.enqueue(e)
		}
		return
	}
	s.whenRoom(func() {
		if s.effects[e.id] == e && e.mem.settling == nil {
			s.endWithdrawn(e)
		}
	})
}
