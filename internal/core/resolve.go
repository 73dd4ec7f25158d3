package core

import (
	"fmt"
	"time"

	"github.com/semel-dev/semel/message"
)

// Resolve settles a doubt by a person's word. Status Done brings Body to the
// agent as the effect's reply, Rejected brings Code and Detail, NotDone calls
// the effect again under the same key; it is refused if a former call could
// still arrive when the doubt was read, since who looked then has not seen the
// end. The first resolution wins; the same one again changes nothing.
func (s *Shard) Resolve(now message.Time, c *Caller, id message.ID, r Resolution) {
	s.advanceClock(now)
	s.whenRoom(func() { s.resolve(c, id, r) })
}

func (s *Shard) resolve(c *Caller, id message.ID, r Resolution) {
	r.At = s.now
	e, asks := s.effects[id], r.Tenant
	if e != nil && asks != "" && asks != e.agent.Tenant {
		e = nil // for this tenant there is no such effect, and no resolution of its own
	}
	if e == nil || e.mem.settling != nil || e.status != effectDoubt || e.resolved {
		s.resolvedBefore(id, func(was *Resolution, err error) {
			switch {
			case err != nil:
				s.refuse(c, 0, message.CodeStoreUnavailable, "%v", err)
			case was == nil || asks != "" && asks != was.Tenant:
				s.refuse(c, s.latest(), message.CodeUnknownDoubt, "no effect %s is in doubt", id)
			case was.Status == r.Status && string(was.Body) == string(r.Body) && was.Code == r.Code:
				s.answer(c, s.latest(), Answer{Outcome: resolvedOutcome(was), Value: was.By, Replayed: true})
			default:
				s.answer(c, s.latest(), Answer{Fault: &message.Fault{
					Code: message.CodeAlreadyResolved, Ref: id,
					Detail: fmt.Sprintf("%s settled this doubt as %s", was.By, was.Status),
				}})
			}
		})
		return
	}
	if r.Status == message.StatusNotDone {
		switch {
		case s.foreign(e): // it has the call's deadline, and makes the next call
			s.refuse(c, 0, message.CodeUnknownEffect,
				"this program does not have the effect %q, so it cannot call it again; say it where the effect is called", e.name)
			return
		case r.Seen.Epoch == s.epoch && r.Seen.At > s.now:
			s.refuse(c, 0, message.CodeInvalidRequest, "the doubt was not seen then; give back what was told when it was read")
			return
		case !s.settled(e, r.Seen):
			s.early(c, e, r.Seen)
			return
		}
	}
	r.Tenant = e.agent.Tenant
	if n := s.sizeResult(e, len(r.Tenant)+len(r.Body)+len(r.Code)+len(r.Detail)+len(r.By)); n > s.limits.message {
		s.refuse(c, 0, message.CodeTooLarge, "the resolution has %d bytes with all that is stored of it; at most %d are allowed", n, s.limits.message)
		return
	}
	s.putResolution(id, &r)
	s.answer(c, s.openSeq(), Answer{Outcome: resolvedOutcome(&r), Value: r.By})
	if r.Status != message.StatusNotDone || e.withdrawn {
		// The word is durable before the agent hears it: no other may be taken.
		e.resolved = true
		s.putEffect(e)
		s.settleEffect(e, EffectResult{ID: id, Status: r.Status, Body: r.Body, Code: r.Code, Detail: r.Detail})
		return
	}
	s.again(e)
	s.enqueue(e)
	s.pumpEffects()
}

// early answers a *not done* that comes too early, unless it was taken before:
// what was said of the last call says nothing of this one.
func (s *Shard) early(c *Caller, e *effectRecord, seen Look) {
	s.resolvedBefore(e.id, func(was *Resolution, err error) {
		if err == nil && was != nil && was.Status == message.StatusNotDone && was.Seen == seen {
			s.answer(c, s.latest(), Answer{Outcome: resolvedOutcome(was), Value: was.By, Replayed: true})
			return
		}
		f := &message.Fault{Code: message.CodeTooEarly}
		wait := time.Duration(s.settleTime(e) - s.now)
		f.Detail = "a former call could still arrive when the doubt was read; read it and look again, and say then what you see"
		if wait > 0 {
			f.After = (wait + time.Second - 1).Truncate(time.Second) // what is told in seconds is told in full
			f.Detail = fmt.Sprintf("a former call may still arrive; read the doubt and look again in %s, and say then what you see", f.After)
		}
		s.answer(c, s.latest(), Answer{Fault: f})
	})
}

// recoverResolution takes up a doubt that a person settled, of which the
// agent had not heard when the last session ended: the first word stands.
func (s *Shard) recoverResolution(e *effectRecord) {
	s.resolvedBefore(e.id, func(was *Resolution, err error) {
		switch {
		case err != nil:
			s.work.Alarms = append(s.work.Alarms, Alarm{Kind: AlarmCorrupt, Agent: e.agent, ID: e.id, Detail: err.Error()})
		case was == nil: // older than the retention: a person has to say it again
			e.resolved = false
			if e.withdrawn {
				s.recoverWithdrawn(e)
			}
		default:
			s.settleEffect(e, EffectResult{ID: e.id, Status: was.Status, Body: was.Body, Code: was.Code, Detail: was.Detail})
		}
	})
}

func resolvedOutcome(r *Resolution) *message.Outcome {
	return &message.Outcome{Status: r.Status, Body: r.Body, Code: r.Code, Detail: r.Detail, Settled: r.At}
}

func (s *Shard) putResolution(id message.ID, r *Resolution) {
	key := s.key(ResolutionKey(id))
	a := s.open.arena
	start := len(a)
	s.write(message.TableDedup, s.retention.current(), message.Put, key, s.value(appendResolution(a, key, r), start))
}

// resolvedBefore reads how a doubt was resolved, nil if it was not.
func (s *Shard) resolvedBefore(id message.ID, then func(*Resolution, error)) {
	key := ResolutionKey(id)
	if r := s.overlay.get(message.TableDedup, key); r != nil {
		then(ReadResolution(message.RowKey{Table: message.TableDedup, Key: key}, r.value))
		return
	}
	l := &Load{}
	for _, g := range s.retention.since(0) {
		l.Keys = append(l.Keys, message.RowKey{Table: message.TableDedup, Gen: g, Key: key})
	}
	l.apply = func(values [][]byte) error {
		if r := s.overlay.get(message.TableDedup, key); r != nil {
			then(ReadResolution(message.RowKey{Table: message.TableDedup, Key: key}, r.value))
			return nil
		}
		for i, v := range values {
			if v != nil {
				then(ReadResolution(l.Keys[i], v))
				return nil
			}
		}
		then(nil, nil)
		return nil
	}
	s.issue(l)
}
