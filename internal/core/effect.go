package core

import (
	"bytes"
	"fmt"
	"time"

	"github.com/semel-dev/semel/message"
)

// effectMemory is what is known of an effect only while the process lives.
type effectMemory struct {
	waiting  bool         // it is in the queue of those that may be called
	running  bool         // a call or probe is under way
	probing  bool         // what is under way is a probe
	retryAt  message.Time // when to call or probe again; zero if nothing is planned
	returned message.Time // when the last call that came back in this session did
	probed   message.Time // when the last probe was begun
	probes   int          // probes that could not tell, since the last call
	settling *envelope    // its result is on its way to the agent
	maybe    bool         // a call before the last may have happened
	former   bool         // a call of a former session may still come back
	away     bool         // ... and one is known not to have come back yet
	suspect  bool
	seq      message.Seq // the unit that asked
	doubtful int         // its place among the effects in doubt, from 1; 0 if it is not
}

// defaultCallTimeout applies to effects that set no deadline.
const defaultCallTimeout = 30 * time.Second

func (s *Shard) policy(e *effectRecord) *Effect {
	if p := s.behavior.Effects[e.name]; p != nil {
		return p
	}
	return &Effect{Policy: Ask, Timeout: defaultCallTimeout, MaxAttempts: 1}
}

// addEffect writes an effect that a step asked for and queues its call. When a
// key is used again after its retention, its effect may be there still, in
// doubt or on its way: that one stands, because the outside world knows both
// by one key, and a call may have happened.
func (s *Shard) addEffect(e *effectRecord) {
	if old := s.effects[e.id]; old != nil {
		if old.then == "" && old.name == e.name && bytes.Equal(old.body, e.body) {
			old.then, old.link = e.then, e.link // nobody waited for it, now somebody does
			if old.withdrawn && !old.told() {
				s.endWithdrawn(old)
				return
			}
			s.putEffect(old)
			s.noteDoubt(old)
		}
		s.markOrigin(old)
		return
	}
	s.effects[e.id] = e
	e.mem.seq = s.openSeq()
	e.unrecorded = s.policy(e).Policy.unrecorded()
	s.putEffect(e)
	if !s.foreign(e) { // what was promised may be kept by another program
		s.enqueue(e)
	}
}

func (s *Shard) putEffect(e *effectRecord) {
	key := s.key(e.id[:])
	a := s.open.arena
	start := len(a)
	s.write(message.TableEffect, 0, message.Put, key, s.value(appendEffect(a, key, e), start))
	s.doubtful.follow(e, e.status == effectDoubt)
}

func (s *Shard) enqueue(e *effectRecord) {
	if !e.mem.waiting && !e.mem.running {
		e.mem.waiting = true
		s.startable = append(s.startable, e)
	}
}

// pumpEffects begins calls, as many as may run at once. It is called when a
// new unit was opened, so that a started record is never in the unit that
// asked: a crash between the two commits leaves an effect that was certainly
// not called (invariant 7).
func (s *Shard) pumpEffects() {
	for len(s.startable) > 0 && s.running < s.cfg.Running && !s.Full() && !s.cfg.Guest {
		e := s.startable[0]
		if e.mem.seq >= s.openSeq() {
			return
		}
		s.startable[0] = nil
		s.startable = s.startable[1:]
		e.mem.waiting = false
		if s.effects[e.id] != e || e.mem.settling != nil || e.mem.running {
			continue
		}
		switch e.status {
		case effectAsked:
			s.call(e)
		case effectStarted, effectDoubt:
			s.probe(e)
		}
	}
}

// call begins a call: at once where the policy allows it to be repeated and
// the record says so, else when the record that it was begun is durable.
func (s *Shard) call(e *effectRecord) {
	p := s.policy(e)
	after := e.mem.seq
	e.attempts++
	e.started, e.epoch, e.timeout = s.now, s.epoch, p.Timeout
	e.mem.probes, e.mem.retryAt = 0, 0
	switch kind := p.Policy.unrecorded(); {
	case kind == nothingUnrecorded:
		e.status = effectStarted
		s.putEffect(e)
		after = s.openSeq()
	case kind > e.unrecorded: // it was asked under another policy
		e.unrecorded = kind
		s.putEffect(e)
		after = s.openSeq()
	}
	s.job(e, p, after, false)
}

func (s *Shard) probe(e *effectRecord) {
	e.mem.retryAt, e.mem.probed = 0, s.now
	s.job(e, s.policy(e), 0, true)
}

func (s *Shard) job(e *effectRecord, p *Effect, after message.Seq, probe bool) {
	e.mem.running, e.mem.probing = true, probe
	s.running++
	if probe {
		s.counters.Probes++
	} else {
		s.counters.Calls++
	}
	if after <= s.durable {
		after = 0
	}
	s.work.Calls = append(s.work.Calls, EffectJob{
		After: after, Probe: probe, ID: e.id, Name: e.name, Agent: e.agent,
		Attempt: e.attempts, Body: e.body, Trace: e.trace, Timeout: p.Timeout,
	})
}

// EffectDone gives back a call or a probe.
func (s *Shard) EffectDone(now message.Time, r EffectResult) {
	s.advanceClock(now)
	s.whenRoom(func() { s.effectDone(r) })
}

func (s *Shard) effectDone(r EffectResult) {
	e := s.effects[r.ID]
	if e == nil || e.mem.settling != nil {
		s.running--
		s.lateResult(r)
		s.pumpEffects()
		return
	}
	r = s.fit(e, r)
	e.mem.running = false
	s.running--
	if !r.Probe {
		e.mem.returned = s.now
	}
	switch {
	case r.certain():
		if r.Probe && e.status == effectAsked {
			s.belied(e, r) // a person was wrong, and no second call was made yet
		}
		s.settleEffect(e, r)
	case r.Probe && e.status == effectAsked:
		s.enqueue(e) // a person knew while the probe was under way, and the call may be made
	case r.Probe && r.Status == message.StatusNotDone:
		s.probedNotDone(e)
	case r.Probe:
		s.probedUnknown(e, r)
	case r.Status == message.StatusNotDone:
		s.calledNotDone(e, r)
	default:
		s.calledUnknown(e, r)
	}
	s.pumpEffects()
}

// calledNotDone: the call certainly had no effect. It is made again, and given
// up after a bounded number of attempts.
func (s *Shard) calledNotDone(e *effectRecord, r EffectResult) {
	e.reason = truncate(r.Detail)
	if e.withdrawn {
		if !e.mem.maybe {
			e.status = effectAsked
		}
		s.endWithdrawn(e)
		return
	}
	if p := s.policy(e); e.attempts >= p.MaxAttempts {
		if e.mem.maybe { // this call was not done, but one before it may have been
			s.doubt(e)
			return
		}
		r.Code, r.Detail = "gave_up", fmt.Sprintf("not done in %d attempts: %s", e.attempts, e.reason)
		s.settleEffect(e, r)
		return
	}
	e.status = effectAsked
	s.putEffect(e) // or a crash would find a call that may have happened
	e.mem.seq = s.openSeq()
	s.effectLater(e, s.backoff(e.id, e.attempts))
}

// calledUnknown: the call may have had its effect. The policy decides.
func (s *Shard) calledUnknown(e *effectRecord, r EffectResult) {
	e.reason = truncate(r.Detail)
	if e.withdrawn {
		e.mem.maybe = e.mem.maybe || s.policy(e).Policy != ReadOnly
		s.endWithdrawn(e)
		return
	}
	switch p := s.policy(e); p.Policy {
	case ReadOnly, Keyed:
		e.mem.maybe = e.mem.maybe || p.Policy == Keyed
		if e.attempts < p.MaxAttempts {
			s.effectLater(e, s.backoff(e.id, e.attempts))
			return
		}
		if !e.mem.maybe {
			r.Status, r.Code = message.StatusNotDone, "gave_up"
			s.settleEffect(e, r)
			return
		}
		s.doubt(e)
	case Probe:
		s.enqueue(e)
	case AtMostOnce:
		r.Code = string(message.CodeOutcomeUnknown)
		s.settleEffect(e, r)
	default:
		s.doubt(e)
	}
}

// probedNotDone: the outside world does not know of the call. That counts only
// if no call that was begun could still arrive when the probe looked, however
// late it answers. Then it is as if the call had said so: it is made again, after
// a pause, a bounded number of times.
func (s *Shard) probedNotDone(e *effectRecord) {
	closed := s.policy(e).ProbeCloses
	if settled := s.settleTime(e); e.mem.probed < settled && !closed {
		s.effectLater(e, time.Duration(max(settled-s.now, 0)))
		return
	}
	if e.withdrawn {
		s.settleEffect(e, EffectResult{ID: e.id, Status: message.StatusNotDone, Code: CodeWithdrawn, Detail: "not done, as a probe found, and withdrawn"})
		return
	}
	if e.attempts >= s.policy(e).MaxAttempts {
		s.settleEffect(e, EffectResult{
			ID: e.id, Status: message.StatusNotDone, Code: "gave_up",
			Detail: fmt.Sprintf("not done in %d attempts, as a probe found: %s", e.attempts, e.reason),
		})
		return
	}
	s.again(e)
	s.effectLater(e, s.backoff(e.id, e.attempts))
}

// settleTime is when "not done" about an effect that was started may be
// believed: after the call's deadline and a lease. That a call's owner is proved
// dead, by an exclusive lock, spares the lease, which is zero then, and not the
// deadline: what it sent may still be on its way, or be worked at by the
// provider, and a probe overtakes it. (The word of a probe that closed the key counts at once
// too, but not a person's, who closed nothing.) They are counted from when
// the call came back: when it was let go nobody knows, for its record may have
// taken any time to become durable.
func (s *Shard) settleTime(e *effectRecord) message.Time {
	began := max(e.started, e.mem.returned)
	if e.epoch != s.epoch {
		// A former owner may have let its call go as late as this.
		began = max(s.began, e.mem.returned)
	}
	if e.mem.away {
		began = s.now
	}
	// The deadline may be another one since the call was made.
	return later(later(began, max(e.timeout, s.policy(e).Timeout)), s.cfg.Lease)
}

// again makes an effect that did not happen one that was only asked; the
// caller says when it is called.
func (s *Shard) again(e *effectRecord) {
	e.status, e.mem.maybe = effectAsked, false
	e.unrecorded = s.policy(e).Policy.unrecorded()
	s.putEffect(e)
	e.mem.seq = s.openSeq()
	if s.dropDoubt(e) {
		s.markOrigin(e)
	}
}

// probedUnknown: nobody could tell. People are told when it lasts, and probing
// goes on.
func (s *Shard) probedUnknown(e *effectRecord, r EffectResult) {
	e.reason = truncate(r.Detail)
	e.mem.probes++
	if p := s.policy(e); e.mem.probes >= p.MaxAttempts && e.status != effectDoubt {
		s.doubt(e)
	}
	s.effectLater(e, s.backoff(e.id, e.mem.probes))
}

// doubt parks an effect until a person, or a probe, settles it.
func (s *Shard) doubt(e *effectRecord) {
	if s.Full() { // a restart can find many
		s.whenRoom(func() {
			if s.effects[e.id] == e && e.mem.settling == nil && e.status != effectDoubt {
				s.doubt(e)
			}
		})
		return
	}
	e.status = effectDoubt
	s.putEffect(e)
	s.work.Alarms = append(s.work.Alarms, Alarm{Kind: AlarmDoubt, Agent: e.agent, ID: e.id, Detail: e.name + ": " + e.reason})
	s.noteDoubt(e)
	s.markOrigin(e)
}

// settleEffect brings an effect's result to the agent. The effect's row goes
// in the commit that has the agent's step.
func (s *Shard) settleEffect(e *effectRecord, r EffectResult) {
	m := &message.Message{
		ID: e.id.Child(0), To: e.agent, Action: e.then, Principal: e.principal, Body: r.Body, Sent: s.now, Trace: e.trace,
		Answer: &message.Answer{Status: r.Status, Code: r.Code, Detail: r.Detail, Link: e.link},
	}
	s.noteSettlement(e, r)
	if e.then == "" {
		s.consumeEffect(e)
		return
	}
	env := s.accepted(m, fromEffect)
	env.effect = e
	env.suspect = e.mem.suspect
	e.mem.settling = env
	s.advance(env)
}

func (s *Shard) consumeEffect(e *effectRecord) {
	delete(s.effects, e.id)
	s.doubtful.follow(e, false)
	s.write(message.TableEffect, 0, message.Delete, s.key(e.id[:]), nil)
}

func (s *Shard) effectLater(e *effectRecord, wait time.Duration) {
	e.mem.retryAt = later(s.now, wait)
	s.alarms.add(wakeEntry{at: e.mem.retryAt, effect: e})
}

// wakeEffect goes on with an effect whose wait is over.
func (s *Shard) wakeEffect(e *effectRecord) {
	if s.effects[e.id] != e || e.mem.settling != nil || e.mem.retryAt == 0 || e.mem.retryAt > s.now {
		return
	}
	e.mem.retryAt = 0
	s.enqueue(e)
	s.pumpEffects()
}
