package core

import "github.com/semel-dev/semel/message"

// lostCall is what is said of a call whose answer was not recorded, because
// the process ended or the shard was opened again.
const lostCall = "the session that began the call ended before its answer was recorded"

// recoverEffect takes up an effect that the last session left. The policy may
// be another one than it was asked, or called, under: what counts then is what
// the record says may have happened, and the present policy says what is done
// about it.
func (s *Shard) recoverEffect(r message.Row, rec *Recovered) error {
	k := message.RowKey{Table: message.TableEffect, Key: r.Key}
	e, err := readEffect(k, r.Value)
	if err != nil {
		return err
	}
	s.effects[e.id] = e
	s.doubtful.follow(e, e.status == effectDoubt)
	e.mem.suspect = rec.Unclean && s.trial.spend()
	e.mem.away = rec.Calling[e.id]
	e.mem.seq, e.mem.former = s.sealed, true
	s.noteDoubt(e)
	s.markOrigin(e) // the last session may have ended before it did
	switch {
	case e.status == effectDoubt && e.resolved:
		s.recoverResolution(e)
	case e.withdrawn:
		if !s.cfg.Guest {
			s.recoverWithdrawn(e)
		}
	case e.status == effectDoubt:
		if s.policy(e).Policy == Probe {
			s.enqueue(e)
		}
	case s.foreign(e):
		// A program that has it decides by its policy, which is not known here.
	case e.status == effectAsked:
		s.recoverAsked(e)
	default:
		s.recoverStarted(e)
	}
	return nil
}

// foreign says whether an effect is another program's: it stays as it is, until
// that one opens the store.
func (s *Shard) foreign(e *effectRecord) bool {
	return s.cfg.Guest || s.behavior.Effects[e.name] == nil
}

// recoverAsked goes on with an effect of which no call is recorded.
func (s *Shard) recoverAsked(e *effectRecord) {
	switch s.policy(e).Policy {
	case Keyed:
		e.mem.maybe = true
	case ReadOnly:
		e.mem.maybe = e.unrecorded == keyedUnrecorded
	default:
		if e.unrecorded != nothingUnrecorded {
			s.recoverStarted(e)
			return
		}
	}
	s.enqueue(e)
}

// recoverStarted goes on with an effect of which a call may have happened.
func (s *Shard) recoverStarted(e *effectRecord) {
	e.status = effectStarted
	switch s.policy(e).Policy {
	case Probe:
		s.enqueue(e)
	case ReadOnly, Keyed: // the policy was another one when it was called
		e.status, e.unrecorded, e.mem.maybe = effectAsked, keyedUnrecorded, true
		s.enqueue(e)
	case AtMostOnce:
		s.settleEffect(e, EffectResult{
			ID: e.id, Status: message.StatusUnknown, Code: string(message.CodeOutcomeUnknown), Detail: lostCall,
		})
	default:
		e.reason = lostCall
		s.doubt(e)
	}
}
