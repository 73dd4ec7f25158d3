package core

import (
	"fmt"

	"github.com/semel-dev/semel/message"
)

// LateResult hears of a call that a former session of this process began. What
// it says is certain, so it settles an effect that nothing else has settled
// meanwhile; else it can only contradict.
func (s *Shard) LateResult(now message.Time, r EffectResult) {
	s.advanceClock(now)
	s.whenRoom(func() { s.lateArrival(r) })
}

func (s *Shard) lateArrival(r EffectResult) {
	e := s.effects[r.ID]
	if e != nil {
		r = s.fit(e, r)
	}
	if e != nil && !r.Probe {
		e.mem.away, e.mem.returned = false, s.now
	}
	switch {
	case !r.certain():
		return
	case e == nil || e.mem.settling != nil || e.resolved:
		s.lateResult(r)
		return
	case e.status == effectAsked && s.policy(e).Policy.unrecorded() == nothingUnrecorded,
		e.mem.running && !e.mem.probing && e.status == effectStarted && !s.policy(e).ProbeCloses:
		// It is called again, because somebody said that it was not done. (A
		// provider that closes keys refused the first call, and means the second.)
		s.belied(e, r)
	}
	s.settleEffect(e, r)
}

// belied hears a certain answer of an effect that was said not to be done.
func (s *Shard) belied(e *effectRecord, r EffectResult) {
	s.resolvedBefore(r.ID, func(was *Resolution, err error) {
		if was == nil {
			was = &Resolution{Status: message.StatusNotDone, By: "a probe", Tenant: e.agent.Tenant, At: s.now}
		}
		s.contradict(was, r)
	})
}

// noteSettlement remembers how an effect was settled of which a former session
// may have left a call, so that its late answer is compared with that. What a
// person said is in the store.
func (s *Shard) noteSettlement(e *effectRecord, r EffectResult) {
	if !e.mem.former || e.resolved {
		return
	}
	was := Resolution{Status: r.Status, Code: r.Code, Detail: r.Detail, By: "the effect itself", Tenant: e.agent.Tenant, At: s.now}
	if s.policy(e).Policy == ReadOnly {
		was.Status = 0 // reads do not contradict each other
	}
	s.settledAs[e.id] = was
}

// lateResult hears of a call whose effect was settled meanwhile. A result that
// says otherwise is recorded and alarmed: nobody may believe it silently.
func (s *Shard) lateResult(r EffectResult) {
	if !r.certain() {
		return
	}
	if was, ok := s.settledAs[r.ID]; ok {
		if was.Status != 0 && was.Status != r.Status {
			delete(s.settledAs, r.ID)
			s.contradict(&was, r)
		}
		return
	}
	s.resolvedBefore(r.ID, func(was *Resolution, err error) {
		if err == nil && was != nil && contradicts(was, r) {
			s.contradict(was, r)
		}
	})
}

// contradicts says whether a certain answer differs from a resolution. One no is
// as good as another: only of a reply does it matter what it says.
func contradicts(was *Resolution, r EffectResult) bool {
	return was.Status != r.Status || r.Status == message.StatusDone && string(was.Body) != string(r.Body)
}

// contradict keeps a late answer beside the settlement that it contradicts. The
// first one is kept, and alarmed.
func (s *Shard) contradict(was *Resolution, r EffectResult) {
	if was.Conflict != "" {
		return
	}
	was.Conflict = truncate(fmt.Sprintf("a late answer says %s %s %s", r.Status, r.Code, r.Body))
	s.putResolution(r.ID, was)
	// Without the bodies: what a provider says may be secret, and alarms are logged.
	detail := fmt.Sprintf("settled as %s by %s; a late answer says %s %s", was.Status, was.By, r.Status, r.Code)
	s.work.Alarms = append(s.work.Alarms, Alarm{Kind: AlarmConflict, ID: r.ID, Detail: detail})
}
