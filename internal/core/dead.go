package core

import (
	"github.com/semel-dev/semel/message"
)

// die puts a message among the dead letters. It was consumed by then; whoever
// waits for its outcome is told where it is.
func (s *Shard) die(env *envelope, attempts int, reason string) {
	m := env.msg
	identify(m)
	d := &DeadLetter{Message: m, Reason: truncate(reason), Attempts: attempts, At: s.now}
	key := s.key(m.ID[:])
	a := s.open.arena
	start := len(a)
	s.write(message.TableDead, 0, message.Put, key, s.value(appendDead(a, key, d), start))
	s.dead++
	s.work.Alarms = append(s.work.Alarms, Alarm{Kind: AlarmDead, Agent: m.To, ID: m.ID, Detail: d.Reason})

	if m.Answer != nil {
		if len(env.rows) > 0 {
			value, _ := s.row(env, 0)
			s.changeOpen(m.To, env.rows[0].key, value, func(o *message.Outcome) bool {
				o.Status, o.Doubt = message.StatusDead, m.ID
				return true
			})
		}
		return
	}
	if m.Key == "" && m.ReplyTo == nil {
		return
	}
	o := &message.Outcome{
		Status: message.StatusDead, Action: m.Action, Fingerprint: m.Fingerprint, FirstSeen: m.Sent,
		Attempts: attempts, Doubt: m.ID, ReplyTo: m.ReplyTo,
	}
	open := s.outcomeKey(env.cell, m)
	s.putOpen(open, o)
	s.answerWaiters(open, s.openSeq(), o)
}

// changeOpen changes an open outcome, if it is still open and change says that
// it did, and tells those who wait for it when it does not simply go on.
func (s *Shard) changeOpen(a message.Agent, k message.RowKey, value []byte, change func(o *message.Outcome) bool) {
	if value == nil {
		return
	}
	o, err := ReadOutcome(k, value)
	if err != nil {
		s.work.Alarms = append(s.work.Alarms, Alarm{Kind: AlarmCorrupt, Agent: a, Detail: err.Error()})
		return
	}
	if !change(o) {
		return
	}
	key := s.key(k.Key)
	s.putOpen(key, o)
	if o.Status != message.StatusInFlight {
		s.answerWaiters(key, s.openSeq(), o)
	}
}

// reopen makes the outcome of a dead letter that is tried again in flight. A
// message of the inside that waits or runs has no open row; it had one only
// because it was dead.
func (s *Shard) reopen(env *envelope) {
	m := env.msg
	switch {
	case len(env.rows) == 0:
	case m.Answer == nil && m.Key == "":
		s.write(message.TableOpen, 0, message.Delete, s.key(env.rows[0].key.Key), nil)
	default:
		value, _ := s.row(env, 0)
		s.changeOpen(m.To, env.rows[0].key, value, func(o *message.Outcome) bool {
			if o.Doubt != m.ID {
				return false // another dead letter keeps it
			}
			o.Status, o.Doubt = s.standing(env.rows[0].key.Key)
			return true
		})
	}
	if env.operator != nil {
		s.answer(env.operator, s.openSeq(), Answer{Outcome: &message.Outcome{Status: message.StatusDone}})
		env.operator = nil
	}
}

// RetryDead takes a message back from the dead letters and tries it again.
func (s *Shard) RetryDead(now message.Time, c *Caller, id message.ID) {
	s.withDead(now, c, id, func(env *envelope) { s.advance(env) })
}

// DiscardDead gives a dead letter up. Whoever waits for its outcome hears that
// it was discarded: a certain no if the message itself failed, for each of its
// attempts was undone; an unknown if it was the answer to something that the
// agent had asked, for that may have happened.
func (s *Shard) DiscardDead(now message.Time, c *Caller, id message.ID) {
	s.withDead(now, c, id, func(env *envelope) {
		env.discard = true
		s.advance(env)
	})
}

func (s *Shard) discardDead(env *envelope) {
	m := env.msg
	s.removeDead(env)
	o := &message.Outcome{Status: message.StatusRejected, Code: "discarded", Detail: "an operator discarded the message"}
	if m.Answer != nil {
		o.Status = message.StatusUnknown
	}
	if len(env.rows) > 0 {
		if value, _ := s.row(env, 0); value != nil {
			s.settleOpen(env, value, o)
		}
	}
	s.answer(env.operator, s.openSeq(), Answer{Outcome: &message.Outcome{Status: message.StatusDone}})
	s.finish(env)
}

// withDead reads a dead letter and does something with its message.
func (s *Shard) withDead(now message.Time, c *Caller, id message.ID, then func(*envelope)) {
	s.advanceClock(now)
	k := message.RowKey{Table: message.TableDead, Key: id[:]}
	s.issue(&Load{Keys: []message.RowKey{k}, apply: func(values [][]byte) error {
		value := values[0]
		if r := s.overlay.get(k.Table, k.Key); r != nil {
			value = r.value
		}
		if value == nil || s.reviving[id] {
			s.refuse(c, s.latest(), message.CodeUnknownDead, "there is no dead letter %s", id)
			return nil
		}
		d, err := ReadDead(k, value)
		if err != nil {
			s.refuse(c, 0, message.CodeStoreUnavailable, "%v", err)
			return nil
		}
		s.reviving[id] = true
		env := s.accepted(d.Message, fromDead)
		env.deadKey, env.operator = k.Key, c
		if d.Message.Answer == nil && (d.Message.Key != "" || d.Message.ReplyTo != nil) {
			env.rows = []needed{{key: message.RowKey{Table: message.TableOpen, Key: identityKey(env.cell, d.Message.Identity())}}}
		}
		then(env)
		return nil
	}})
}

// removeDead takes a message out of the dead letters.
func (s *Shard) removeDead(env *envelope) {
	s.write(message.TableDead, 0, message.Delete, s.key(env.deadKey), nil)
	delete(s.reviving, env.msg.ID)
	s.dead--
}
