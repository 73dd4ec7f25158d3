package core

import (
	"github.com/semel-dev/semel/message"
)

// admit decides what happens to an envelope of which everything is known: it
// is answered from the record, refused, made to wait, or run.
func (s *Shard) admit(env *envelope) {
	if s.Full() && env.query == nil {
		if env.active == "" && env.msg.Key != "" && !env.accepted() {
			s.live(env, identityKey(env.cell, env.msg.Identity())) // invariant 4: now it outlives its event
		}
		s.full = append(s.full, env) // one event can bring more than a unit holds
		return
	}
	c := env.cell
	if env.query != nil && c.broken == nil {
		a := env.query(c.state, c.version, c.exists)
		s.answerAll(env, c.dirtyIn, a)
		c.used = true
		return
	}
	if s.overtaken(env) {
		return
	}
	if env.kills {
		s.condemn(env)
		return
	}
	if env.discard {
		s.discardDead(env)
		return
	}
	if !env.accepted() && !env.remove && s.replay(env) {
		return
	}
	if !env.accepted() && c.broken != nil {
		s.refuseAll(env, 0, message.CodeStoreUnavailable, c.broken.Error())
		return
	}
	if !env.accepted() && !env.remove && env.callers[0].Refuse != "" {
		s.countRefusal(env)
		s.refuseAll(env, 0, env.callers[0].Refuse, "there is no room for new work now; nothing of this call was accepted, try again later")
		return
	}
	if s.blocked(c, env) {
		switch {
		case env == c.taking:
			c.taking = nil // a hold came in between, or a bad row; drain takes it again
			if s.trial.env == env {
				s.endTrial(env) // or every other agent would wait for it
			}
			s.drain(c)
		case env.accepted():
			s.park(env)
		case env.wantsAcceptance():
			s.acceptNow(env, 0)
			s.park(env)
		default:
			c.volatile = append(c.volatile, env)
		}
		return
	}
	if s.onTrial(env) {
		return
	}
	if env.remove {
		s.removeAgent(env)
		return
	}
	s.run(env)
}

// resumeFull goes on with what found the last unit full.
func (s *Shard) resumeFull() {
	waiting := s.full
	s.full = nil
	for _, env := range waiting {
		s.advance(env)
	}
}

// blocked says whether something keeps the message from its agent.
func (s *Shard) blocked(c *cell, env *envelope) bool {
	if env.origin == fromDead && env.msg.Branch != nil && !decides(env.msg) {
		return false // it votes no, and parked it would forget why
	}
	if c.broken != nil {
		return true
	}
	k := c.control
	if k == nil || k.passes(env.msg) {
		return false
	}
	if env == c.taking {
		return k.until != 0 // it was taken because it is first
	}
	return k.until != 0 || len(k.retries) > 0 || k.head < k.tail
}

func (s *Shard) removeAgent(env *envelope) {
	c := env.cell
	o := &message.Outcome{Status: message.StatusDone}
	if !c.exists {
		s.refuseAll(env, c.dirtyIn, message.CodeUnknownAgent, "there is no agent "+c.agent.String())
		return
	}
	if err := s.end(c); err != nil {
		s.refuseAll(env, 0, message.CodeHandlerFailed, err.Error())
		return
	}
	s.removeTimers(c)
	s.answerAll(env, s.openSeq(), Answer{Outcome: o})
	s.finish(env)
	s.drain(c)
}

// end leaves nothing of an agent's state.
func (s *Shard) end(c *cell) error {
	st, err := c.typ.Load(c.typ.Schema, nil)
	if err != nil {
		return err
	}
	c.state, c.version, c.exists, c.changed = st, 0, false, true
	s.countState(c, 0, 0)
	return nil
}
