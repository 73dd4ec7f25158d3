package core

import (
	"fmt"
	"slices"

	"github.com/semel-dev/semel/message"
)

// Submit brings a message from outside. It must be keyed, sequenced or have a
// random ID, and be validated; c gets one answer.
func (s *Shard) Submit(now message.Time, c *Caller, m *message.Message) {
	s.advanceClock(now)
	typ := s.behavior.Types[m.To.Type]
	if typ == nil {
		s.refuse(c, 0, message.CodeUnknownAgentType, "there is no agent type %q", m.To.Type)
		return
	}
	action := typ.Actions[m.Action]
	if action == nil {
		s.refuse(c, 0, message.CodeUnknownAction, "agents of type %q have no action %q", m.To.Type, m.Action)
		return
	}
	if n := sizeMessage(m); n > s.limits.message {
		s.refuse(c, 0, message.CodeTooLarge, "the message has %d bytes with all that is stored of it; at most %d are allowed", n, s.limits.message)
		return
	}
	if len(m.Trace) > message.MaxTraceBytes {
		m.Trace = ""
	}
	env := s.newEnvelope()
	env.msg, env.cell, env.action = m, s.cellOf(m.To, typ), action
	env.wait(c)
	if m.Sent == 0 {
		m.Sent = s.now
	}
	switch {
	case m.Key != "":
		s.identity = message.AppendKeyIdentity(append(s.identity[:0], env.cell.key...), m.Principal, m.Key)
		if s.join(env, s.identity) {
			return
		}
		s.needOutcome(env, s.identity)
	case m.Source != "":
		s.identity = append(append(append(s.identity[:0], env.cell.key...), 's'), m.Source...)
		if s.join(env, s.identity) {
			return
		}
		s.live(env, s.identity)
		env.rows = append(env.rows, needed{key: message.RowKey{Table: message.TableCursor, Key: sequenceKey(env.cell, m.Source)}})
	}
	c.env = env
	live := env.active != ""
	s.advance(env)
	if env.finished && !live {
		s.reuse(env)
	}
}

// Query reads an agent: fn sees its state, its version and whether it exists,
// and must change nothing. It sees every step so far.
func (s *Shard) Query(now message.Time, c *Caller, a message.Agent, fn func(State, uint64, bool) Answer) {
	s.admin(now, c, &envelope{msg: &message.Message{To: a}, query: fn})
}

// Remove deletes an agent: its state and its timers. What the dedup log
// records of it stays, and so does what is under way.
func (s *Shard) Remove(now message.Time, c *Caller, a message.Agent) {
	s.admin(now, c, &envelope{msg: &message.Message{To: a}, remove: true})
}

func (s *Shard) admin(now message.Time, c *Caller, env *envelope) {
	s.advanceClock(now)
	a := env.msg.To
	typ := s.behavior.Types[a.Type]
	if typ == nil {
		s.refuse(c, 0, message.CodeUnknownAgentType, "there is no agent type %q", a.Type)
		return
	}
	env.cell = s.cellOf(a, typ)
	env.wait(c)
	c.env = env
	s.advance(env)
}

// join attaches the envelope's caller to the envelope that is alive for the
// same identity, if there is one.
func (s *Shard) join(env *envelope, identity []byte) bool {
	other := s.active[string(identity)]
	if other == nil {
		return false
	}
	c := env.callers[0]
	c.env = other
	if env.msg.Key != "" && other.msg.Fingerprint == env.msg.Fingerprint {
		other.callers = append(other.callers, c)
		if i := slices.Index(other.cell.volatile, other); i >= 0 && c.Accept {
			other.cell.volatile = slices.Delete(other.cell.volatile, i, i+1)
			s.advance(other) // it need not wait to be accepted
		}
	} else {
		other.joined = append(other.joined, joiner{c, env.msg})
	}
	return true
}

// live makes the envelope the one that is alive for its identity.
func (s *Shard) live(env *envelope, identity []byte) {
	env.active = string(identity)
	s.active[env.active] = env
}

// needOutcome says which rows decide whether a keyed message is new: none, if
// the window proves that its identity was not seen since before it could be.
// Then, if nothing keeps it, the message runs within this event, and need not
// be found by duplicates before its outcome is. Only a full unit can still
// keep it; admit makes it live then.
func (s *Shard) needOutcome(env *envelope, identity []byte) {
	if s.window.provesNew(hashIdentity(identity), s.firstSeen(env.msg.Key)) {
		if c := env.cell; !c.loaded || c.control != nil || s.trial.env != nil {
			s.live(env, identity)
		}
		return
	}
	s.live(env, identity)
	s.outcomeRows(env)
}

// outcomeRows makes a keyed message depend on every row that may hold its
// outcome: the open one, and those of the generations that there are now. A
// message that waits may see new ones begin, so they are named again for
// every read.
func (s *Shard) outcomeRows(env *envelope) {
	key := []byte(env.active)
	env.rows = append(env.rows[:0], needed{key: message.RowKey{Table: message.TableOpen, Key: key}})
	for _, g := range s.retention.since(s.firstSeen(env.msg.Key)) {
		env.rows = append(env.rows, needed{key: message.RowKey{Table: message.TableDedup, Gen: g, Key: key}})
	}
}

// replay answers a message whose outcome is recorded, or which must be refused
// for what its key says. It reports whether it did.
func (s *Shard) replay(env *envelope) bool {
	m := env.msg
	switch {
	case m.Key != "":
		for i := range env.rows {
			value, after := s.row(env, i)
			if value == nil {
				continue
			}
			o, err := ReadOutcome(env.rows[i].key, value)
			if err != nil {
				s.refuseAll(env, after, message.CodeOutcomeUnknown, err.Error())
				return true
			}
			s.replayOutcome(env, o, after)
			return true
		}
		return s.refuseByTime(env)
	case m.Source != "":
		value, after := s.row(env, 0)
		if value == nil {
			return false
		}
		taken, err := readNumber(env.rows[0].key, value)
		if err != nil {
			s.refuseAll(env, after, message.CodeOutcomeUnknown, err.Error())
			return true
		}
		if m.Position > taken {
			return false
		}
		// The cursor says that it was consumed, and nothing says what came of
		// it: done means here only that its source need not send it again. Its
		// step may have rejected it, or it may be a dead letter.
		o := &message.Outcome{Status: message.StatusDone, Action: m.Action, Detail: "consumed before; what came of it is not kept"}
		s.answerAll(env, after, Answer{Outcome: o, Replayed: true})
		env.consumed = true
		s.finish(env)
		return true
	}
	return false
}

func (s *Shard) replayOutcome(env *envelope, o *message.Outcome, after message.Seq) {
	if o.Fingerprint != env.msg.Fingerprint {
		s.counters.Conflicts += uint64(len(env.callers))
		s.refuseAll(env, after, message.CodeConflict, "this key was used before with another action or payload; use a new key for a new request")
		return
	}
	for _, c := range env.callers {
		if !c.Accept && o.Status == message.StatusInFlight {
			c.late = true
			s.await(c, env.active)
			continue
		}
		s.answer(c, after, Answer{Outcome: o, Replayed: true})
	}
	env.callers = nil
	s.finish(env)
}

// refuseByTime refuses keys whose own time says that their outcome may have
// been forgotten, or that their clock is wrong.
func (s *Shard) refuseByTime(env *envelope) bool {
	t, ok := message.KeyTime(env.msg.Key)
	if !ok {
		return false
	}
	at := message.Time(t)
	if at <= s.retention.horizon(s.lead) {
		s.refuseAll(env, s.latest(), message.CodeKeyExpired, expiredDetail) // the horizon may be in the open unit
		return true
	}
	if at > s.now+message.Time(s.cfg.Skew) {
		s.refuseAll(env, 0, message.CodeKeyInFuture, "the key's own time is ahead of the server's clock by more than the allowed skew; check the caller's clock")
		return true
	}
	s.noteLead(at)
	return false
}

const expiredDetail = "the key is older than the dedup log remembers; whether it was executed is not known any more"

// answer sends one answer; the caller is done with.
func (s *Shard) answer(c *Caller, after message.Seq, a Answer) {
	c.env, c.open = nil, ""
	if after <= s.durable {
		after = 0
	}
	if a.Replayed && a.Outcome != nil {
		s.counters.Replays++
	}
	s.work.Answers = append(s.work.Answers, AnswerTo{After: after, Caller: c, Answer: a})
}

func (s *Shard) answerAll(env *envelope, after message.Seq, a Answer) {
	for _, c := range env.callers {
		s.answer(c, after, a)
		a.Replayed = true // the first caller had it executed, the others hear of it
	}
	env.callers = nil
}

func (s *Shard) refuse(c *Caller, after message.Seq, code message.Code, form string, args ...any) {
	s.answer(c, after, Answer{Fault: &message.Fault{Code: code, Detail: fmt.Sprintf(form, args...)}})
}

func (s *Shard) refuseAll(env *envelope, after message.Seq, code message.Code, detail string) {
	s.answerAll(env, after, Answer{Fault: &message.Fault{Code: code, Detail: detail}})
	s.dropBehind(env, env.msg.Position, after, code)
	s.finish(env)
}

// dropBehind refuses what waits behind a position of a source that was not
// consumed: a cursor that moved over a later one would pass it off as
// consumed for ever. The source sends all of them again, in order.
func (s *Shard) dropBehind(env *envelope, position uint64, after message.Seq, code message.Code) {
	if env.msg.Source == "" || env.consumed {
		return
	}
	keep := env.joined[:0]
	for _, j := range env.joined {
		if j.msg.Position <= position {
			keep = append(keep, j)
			continue
		}
		s.refuse(j.caller, after, code, "position %d of its source, which comes first, was not executed; send it again from there", position)
	}
	clear(env.joined[len(keep):])
	env.joined = keep
}

// finish ends an envelope's life. Whoever came with the same identity but
// another fingerprint, or with another position of the same source, is looked
// at again, against what is recorded now.
func (s *Shard) finish(env *envelope) {
	env.finished = true
	if env.active != "" {
		delete(s.active, env.active)
		env.active = ""
	}
	joined := env.joined
	env.joined = nil
	for _, j := range joined {
		j.caller.env = nil
		s.Submit(s.now, j.caller, j.msg)
	}
}

// await makes a caller wait for an open row to settle.
func (s *Shard) await(c *Caller, key string) {
	c.env, c.open, c.accepted = nil, key, true
	s.waits[key] = append(s.waits[key], c)
}

// Cancel takes a caller back: it does not want to wait any longer. What it
// asked for may be under way; the answer says what is known. A caller that was
// answered already gets no second answer.
func (s *Shard) Cancel(now message.Time, c *Caller) {
	s.advanceClock(now)
	switch {
	case c.open != "":
		s.waits[c.open] = without(s.waits[c.open], c)
		if len(s.waits[c.open]) == 0 {
			delete(s.waits, c.open)
		}
		after := message.Seq(0) // a row that the overlay forgot is durable
		if r := s.overlay.get(message.TableOpen, []byte(c.open)); r != nil {
			after = r.seq
		}
		s.refuse(c, after, message.CodeInFlight, "it was accepted and goes on; ask again with the same key")
	case c.env != nil:
		env := c.env
		if i := slices.Index(env.callers, c); i >= 0 && len(env.callers) > 1 {
			env.callers = slices.Delete(env.callers, i, i+1)
			s.refuse(c, 0, message.CodeInFlight, "others asked for the same and wait; ask again with the same key")
			return
		}
		env.callers = without(env.callers, c)
		position := env.msg.Position
		if i := slices.IndexFunc(env.joined, func(j joiner) bool { return j.caller == c }); i >= 0 {
			position = env.joined[i].msg.Position
			env.joined = slices.Delete(env.joined, i, i+1)
		}
		s.refuse(c, 0, message.CodeCanceled, "the caller gave up before it was executed")
		s.dropBehind(env, position, 0, message.CodeCanceled)
		if len(env.callers) == 0 && !env.accepted() {
			s.abandon(env)
		}
	}
}

// abandon drops an envelope that nobody waits for and that was not accepted.
func (s *Shard) abandon(env *envelope) {
	env.cell.volatile = without(env.cell.volatile, env)
	s.trial.queue = without(s.trial.queue, env)
	env.abandoned = true
	s.finish(env)
}

func without[T comparable](list []T, x T) []T {
	for i, y := range list {
		if y == x {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}
