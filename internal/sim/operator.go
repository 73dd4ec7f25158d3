package sim

import (
	"slices"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// operate is a person who looks after doubts and dead letters.
func (s *Sim) operate() {
	s.after(s.rng.between(20*time.Millisecond, 120*time.Millisecond), s.operate)
	for i := range s.cfg.Shards {
		shard := message.Shard(i)
		x := s.owner(shard)
		if x == nil || x.p.resume > s.now || x.p.cutOff(toClients) {
			continue
		}
		acked := s.acked(shard)
		for _, row := range acked.scan(message.TableEffect, "") {
			v, err := core.ReadEffect(message.RowKey{Table: message.TableEffect, Key: row.Key}, row.Value)
			if err != nil {
				s.failf("%v", err)
				return
			}
			if e := s.world.effects[v.ID]; v.InDoubt && e != nil && e.leftTo <= s.now && s.rng.oneIn(2) {
				s.resolve(x, v, e)
			}
			if x.ended {
				break
			}
		}
		for _, row := range acked.scan(message.TableDead, "") {
			d, err := core.ReadDead(message.RowKey{Table: message.TableDead, Key: row.Key}, row.Value)
			if err != nil {
				s.failf("%v", err)
				return
			}
			if x.ended {
				break
			}
			if s.rng.oneIn(2) {
				s.bury(x, d)
			}
		}
	}
}

// admin gives an operator's request to a session.
func (s *Sim) admin(x *session, what string, do func(now message.Time, caller *core.Caller), then func(a core.Answer)) {
	q := &request{what: what, p: x.p, index: len(s.clients.open), then: then}
	q.gone = func() {}
	s.clients.open = append(s.clients.open, q)
	if s.keep {
		s.tracef("operator: %s, shard %d", what, x.id)
	}
	if s.networked {
		s.after(message.Time(patience), func() { s.clients.nothing(q) })
	}
	x.submit(q, false, do)
}

// word is what a person says of a doubt.
type word struct {
	core.Resolution
	attempt int  // that *not done* lets be made
	calls   int  // that had been made when they looked
	early   bool // one of them could still arrive
}

// permits says whether a person's *not done* lets an attempt be made. What is
// not told yet counts: the call may come before the answer does.
func (e *outside) permits(attempt int) bool {
	return slices.ContainsFunc(e.words, func(w *word) bool { return w.attempt == attempt && !w.early })
}

// withdraw takes back what was refused: nobody may act on it.
func (e *outside) withdraw(w *word) {
	e.words = slices.DeleteFunc(e.words, func(other *word) bool { return other == w })
}

// resolve settles a doubt as the world knows it at this moment, which may be too
// early to say that it was not done. The word may come late, and twice.
func (s *Sim) resolve(x *session, v core.EffectView, e *outside) {
	r := &word{Resolution: core.Resolution{By: "operator"}, attempt: v.Attempts + 1, calls: len(e.calls), early: e.undecided()}
	switch {
	case e.happened > 0:
		r.Status, r.Body = message.StatusDone, e.reply()
	case !e.undecided() && (e.rejected || s.rng.oneIn(3)):
		r.Status, r.Code = message.StatusRejected, "declined"
		e.rejected = true // and nobody will do it any more
	default:
		r.Status, r.Seen = message.StatusNotDone, x.m.Look(x.clock())
		e.words = append(e.words, r)
	}
	if x.m.Probing(v.ID) {
		s.reach(ResolvedProbing)
	}
	if r.early && r.Status == message.StatusNotDone && s.rng.oneIn(2) { // they say so when it would be believed of a later look
		wait := s.rng.between(callTimeout, 2*callTimeout+s.cfg.Lease)
		e.leftTo = s.now + wait
		s.tellLater(wait, x, v.ID, e, r)
		return
	}
	for i := range pick(s.rng, 1, 1, 2) {
		if i == 0 && s.rng.oneIn(2) {
			s.tell(x, v.ID, e, r)
			continue
		}
		s.tellLater(s.rng.between(0, 3*callTimeout), x, v.ID, e, r)
	}
}

// tellLater brings the word to whoever has the shard then.
func (s *Sim) tellLater(wait message.Time, x *session, id message.ID, e *outside, r *word) {
	s.after(wait, func() {
		to := x
		if x.ended {
			to = s.owner(x.id)
		}
		if to != nil && to.p.resume <= s.now {
			s.tell(to, id, e, r)
		}
	})
}

// tell brings a person's word to a session.
func (s *Sim) tell(x *session, id message.ID, e *outside, r *word) {
	if x.ended {
		return
	}
	s.admin(x, "resolve "+id.String()+" as "+r.Status.String(), func(now message.Time, caller *core.Caller) {
		x.m.Resolve(now, caller, id, r.Resolution)
	}, func(a core.Answer) {
		if a.Fault != nil {
			switch a.Fault.Code {
			case message.CodeTooEarly:
				s.reach(TooEarly)
				e.withdraw(r)
				if a.Fault.After == 0 {
					s.reach(EarlyLook)
				}
			case message.CodeUnknownDoubt, message.CodeAlreadyResolved, message.CodeStoreUnavailable, message.CodeCommitUnknown:
			default:
				s.failf("resolve: %v", a.Fault)
			}
			return
		}
		if r.Status == message.StatusNotDone && !a.Replayed {
			s.checkTaken(e, r)
		}
		if a.Outcome.Status != r.Status {
			s.failf("resolve %s as %s is answered as %s", id, r.Status, a.Outcome.Status)
		}
		if e.resolved != 0 && e.resolved != r.Status && !e.excused {
			s.failf("effect %s was resolved as %s, and then as %s", id, e.resolved, r.Status)
		}
		if r.Status != message.StatusNotDone {
			e.resolved = r.Status
		}
	})
}

// checkTaken: a person's *not done* is taken only if no call before it could
// still arrive when they looked.
func (s *Sim) checkTaken(e *outside, r *word) {
	since := slices.ContainsFunc(e.calls[r.calls:], func(c *outsideCall) bool { return c.attempt < r.attempt && !c.late })
	if (r.early || since) && !e.excused {
		s.failf("effect %s: *not done* was taken, and a call could still arrive when the person looked", e.id)
	}
}

// bury tries a dead letter again, or gives it up.
func (s *Sim) bury(x *session, d *core.DeadLetter) {
	id, action := d.Message.ID, d.Message.Action
	retry := action != "poison" && action != "kill" && action != "invalid"
	if d.Message.Branch != nil && d.Message.Branch.Phase == message.Prepare {
		s.reach(PreparedDead)
		retry = s.rng.oneIn(2) // it votes no, whatever becomes of it
	}
	if (action == "poison" || action == "kill") && s.rng.oneIn(4) && !s.chaos.calm {
		retry = true
	}
	then := func(a core.Answer) {
		if a.Fault == nil {
			return
		}
		switch a.Fault.Code {
		case message.CodeUnknownDead, message.CodeStoreUnavailable, message.CodeCommitUnknown:
		default:
			s.failf("dead letter: %v", a.Fault)
		}
	}
	if retry {
		s.admin(x, "retry the dead "+action, func(now message.Time, caller *core.Caller) { x.m.RetryDead(now, caller, id) }, then)
		return
	}
	s.admin(x, "discard the dead "+action, func(now message.Time, caller *core.Caller) { x.m.DiscardDead(now, caller, id) }, then)
}
