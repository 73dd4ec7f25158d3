package core

import (
	"fmt"
	"time"

	"github.com/semel-dev/semel/message"
)

// effectMemory is what is known of an effect only while the process lives.
type effectMemory struct {
	waiting  bool         // it is in the queue of those that may be called
	running  bool         // a call or probe is under way
	retryAt  message.Time // when to call or probe again; zero if nothing is planned
	probes   int          // probes that could not tell, since the last call
	settling *envelope    // its result is on its way to the agent
	maybe    bool         // keyed: a call before the last may have happened
	suspect  bool
	seq      message.Seq // the unit that asked
}

// defaultCallTimeout applies to effects that set no deadline.
const defaultCallTimeout = 30 * time.Second

func (s *Shard) policy(e *effectRecord) *Effect {
	if p := s.behavior.Effects[e.name]; p != nil {
		return p
	}
	return &Effect{Policy: Ask, Timeout: defaultCallTimeout, MaxAttempts: 1}
}

// addEffect writes an effect that a step asked for and queues its call.
func (s *Shard) addEffect(e *effectRecord) {
	s.effects[e.id] = e
	e.mem.seq = s.openSeq()
	s.putEffect(e)
	s.enqueue(e)
}

func (s *Shard) putEffect(e *effectRecord) {
	key := s.key(e.id[:])
	a := s.open.arena
	start := len(a)
	s.write(message.TableEffect, 0, message.Put, key, s.value(appendEffect(a, key, e), start))
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
	for len(s.startable) > 0 && s.running < s.cfg.Running && !s.Full() {
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
			if !e.notDone { // else a person knew, and the call waits for its time
				s.probe(e)
			}
		}
	}
}

// call begins a call: at once where the policy allows it to be repeated, else
// when the record that it was begun is durable.
func (s *Shard) call(e *effectRecord) {
	p := s.policy(e)
	after := e.mem.seq
	e.attempts++
	e.started, e.epoch = s.now, s.epoch
	e.mem.probes, e.mem.retryAt = 0, 0
	if p.Policy != ReadOnly && p.Policy != Keyed {
		e.status = effectStarted
		s.putEffect(e)
		after = s.openSeq()
	}
	s.job(e, p, after, false)
}

func (s *Shard) probe(e *effectRecord) {
	e.mem.retryAt = 0
	s.job(e, s.policy(e), 0, true)
}

func (s *Shard) job(e *effectRecord, p *Effect, after message.Seq, probe bool) {
	e.mem.running = true
	s.running++
	if after <= s.durable {
		after = 0
	}
	s.work.Calls = append(s.work.Calls, EffectJob{
		After: after, Probe: probe, ID: e.id, Name: e.name, Agent: e.agent,
		Attempt: e.attempts, Body: e.body, Timeout: p.Timeout,
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
	switch {
	case r.Status == message.StatusDone || r.Status == message.StatusRejected:
		s.settleEffect(e, r)
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
	switch p := s.policy(e); p.Policy {
	case ReadOnly, Keyed:
		e.mem.maybe = p.Policy == Keyed
		if e.attempts < p.MaxAttempts {
			s.effectLater(e, s.backoff(e.id, e.attempts))
			return
		}
		if p.Policy == ReadOnly {
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
// when a call that a former owner began can no longer arrive.
func (s *Shard) probedNotDone(e *effectRecord) {
	if wait := s.settleTime(e) - s.now; wait > 0 {
		s.effectLater(e, time.Duration(wait))
		return
	}
	s.again(e)
}

// settleTime is when "not done" about an effect that was started may be
// believed: at once if the call's owner is proved dead or the probe closed the
// key, else after the call's deadline and a lease.
func (s *Shard) settleTime(e *effectRecord) message.Time {
	p := s.policy(e)
	if p.ProbeCloses && p.Policy == Probe || s.cfg.Exclusive && e.epoch != s.epoch {
		return 0
	}
	began := e.started
	if e.epoch != s.epoch {
		began = s.began // a former owner may have let its call go as late as this
	}
	return began + message.Time(p.Timeout+s.cfg.Lease)
}

// again makes an effect that did not happen ready to be called.
func (s *Shard) again(e *effectRecord) {
	e.status, e.notDone, e.mem.maybe = effectAsked, false, false
	s.putEffect(e)
	e.mem.seq = s.openSeq()
	s.clearDoubt(e)
	s.enqueue(e)
}

// probedUnknown: nobody could tell. People are told when it lasts, and probing
// goes on.
func (s *Shard) probedUnknown(e *effectRecord, r EffectResult) {
	e.reason = truncate(r.Detail)
	if e.notDone {
		return // a person knew; the call waits for its time
	}
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
	s.markOrigin(e, message.StatusInDoubt, e.id)
}

func (s *Shard) clearDoubt(e *effectRecord) { s.markOrigin(e, message.StatusInFlight, message.ID{}) }

// markOrigin tells the message that waits for the effect where it stands.
func (s *Shard) markOrigin(e *effectRecord, status message.Status, ref message.ID) {
	if len(e.link.Origin) == 0 {
		return
	}
	k := message.RowKey{Table: message.TableOpen, Key: append(e.agent.AppendKey(nil), e.link.Origin...)}
	mark := func(value []byte) error {
		if inDoubt := s.effects[e.id] == e && e.status == effectDoubt; inDoubt != (status == message.StatusInDoubt) {
			return nil // it went on while the row was read
		}
		if r := s.overlay.get(k.Table, k.Key); r != nil {
			value = r.value
		}
		s.markOpen(e.agent, k, value, status, ref)
		return nil
	}
	if r := s.overlay.get(k.Table, k.Key); r != nil {
		_ = mark(r.value)
		return
	}
	s.issue(&Load{Keys: []message.RowKey{k}, apply: func(values [][]byte) error { return mark(values[0]) }})
}

// settleEffect brings an effect's result to the agent. The effect's row goes
// in the commit that has the agent's step.
func (s *Shard) settleEffect(e *effectRecord, r EffectResult) {
	m := &message.Message{
		ID: e.id.Child(0), To: e.agent, Action: e.then, Principal: e.principal, Body: r.Body, Sent: s.now,
		Answer: &message.Answer{Status: r.Status, Code: r.Code, Detail: r.Detail, Link: e.link},
	}
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
	s.write(message.TableEffect, 0, message.Delete, s.key(e.id[:]), nil)
}

func (s *Shard) effectLater(e *effectRecord, wait time.Duration) {
	e.mem.retryAt = s.now + message.Time(wait)
	s.alarms.add(wakeEntry{at: e.mem.retryAt, effect: e})
}

// wakeEffect goes on with an effect whose wait is over.
func (s *Shard) wakeEffect(e *effectRecord) {
	if s.effects[e.id] != e || e.mem.settling != nil || e.mem.retryAt == 0 || e.mem.retryAt > s.now {
		return
	}
	e.mem.retryAt = 0
	if e.notDone {
		s.again(e)
	} else {
		s.enqueue(e)
	}
	s.pumpEffects()
}

// recoverEffect takes up an effect that the last session left.
func (s *Shard) recoverEffect(r message.Row, unclean bool) error {
	k := message.RowKey{Table: message.TableEffect, Key: r.Key}
	e, err := readEffect(k, r.Value)
	if err != nil {
		return err
	}
	s.effects[e.id] = e
	e.mem.suspect = unclean && s.trial.spend()
	e.mem.seq = s.sealed
	if e.status == effectAsked {
		e.mem.maybe = s.policy(e).Policy == Keyed // no record says whether it was called
		s.enqueue(e)
		return nil
	}
	if e.notDone {
		s.effectLater(e, time.Duration(max(s.settleTime(e)-s.now, 0)))
		return nil
	}
	if e.resolved {
		s.recoverResolution(e)
		return nil
	}
	switch s.policy(e).Policy {
	case Probe:
		s.enqueue(e)
	case ReadOnly, Keyed:
		if e.status == effectStarted { // the policy was another one when it was called
			e.status = effectAsked
			s.enqueue(e)
		}
	case AtMostOnce:
		if e.status == effectStarted {
			s.settleEffect(e, EffectResult{
				ID: e.id, Status: message.StatusUnknown, Code: string(message.CodeOutcomeUnknown),
				Detail: "the process ended while the call was under way",
			})
		}
	default:
		if e.status == effectStarted {
			e.reason = "the process ended while the call was under way"
			s.doubt(e)
		}
	}
	return nil
}
