package core

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/semel-dev/semel/message"
)

// A mailbox is consumed in order, but for messages that bear the token of a
// hold: they pass, and leave a gap that the control row tells of until the
// messages before it are consumed too. Only the first messages can pass, so
// that the gaps are few.

// mailWindow bounds how many positions of one mailbox stay in memory, and how
// far behind its head a message can pass a hold.
const mailWindow = 64

// parked is a message of a mailbox.
type parked struct {
	pos uint64
	msg *message.Message
}

func position(p uint64) []byte { return binary.BigEndian.AppendUint64(nil, p) }

// passes says whether the message need not wait: it bears the token of the hold
// that is set, or it decides a transaction. That one must not wait even when it is
// not what the agent is held for: its prepare may run later than it comes, with any
// number of messages in between.
func (k *controlRow) passes(m *message.Message) bool {
	return decides(m) || k.until != 0 && m.Token != "" && m.Token == k.token && !k.promised()
}

// park keeps an accepted message in its agent's durable mailbox.
func (s *Shard) park(env *envelope) {
	s.consume(env)
	c := env.cell
	k := s.control(c)
	identify(env.msg)
	// A decision does not wait but for a program that can read its agent. In the
	// mailbox it might be behind too many that wait for that very decision.
	if r := (&retry{msg: env.msg, until: s.now}); decides(env.msg) && s.roomToRetry(c, r) {
		k.retries = append(k.retries, r)
		s.countControl(c)
		s.finish(env)
		return
	}
	key := s.key([]byte(c.key), position(k.tail))
	a := s.open.arena
	start := len(a)
	s.write(message.TableMailbox, 0, message.Put, key, s.value(appendMessage(a, key, env.msg), start))
	if from, _ := c.unread(); from == k.tail && k.tail < k.head+mailWindow {
		c.mail = append(c.mail, parked{k.tail, env.msg})
	}
	k.tail++
	s.finish(env)
	if c.broken == nil && k.until == 0 && len(k.retries) == 0 {
		s.drain(c)
	}
}

// drain lets an agent consume what waits for it, as far as nothing keeps it:
// first retries that are due, then the mailbox, then callers.
func (s *Shard) drain(c *cell) {
	if c.draining {
		return // the drain that is under way goes on
	}
	c.draining = true
	for c.broken == nil && c.taking == nil && s.drainOne(c) {
	}
	c.draining = false
}

// drainOne takes one message, if there is one that may be taken.
func (s *Shard) drainOne(c *cell) bool {
	if k := c.control; k != nil {
		if k.until != 0 && k.until <= s.now {
			k.token, k.until = "", 0
			s.control(c)
		}
		for _, r := range k.retries {
			if r.until <= s.now && (k.until == 0 || k.passes(r.msg)) {
				env := s.accepted(r.msg, fromRetry)
				env.retry, env.suspect = r, r.suspect
				return s.takeNext(c, env)
			}
		}
		if k.until != 0 {
			for _, p := range c.mail {
				if k.passes(p.msg) {
					return s.takeParked(c, p)
				}
			}
			s.fetchMail(c) // one of them may pass
			return false
		}
		if len(k.retries) > 0 {
			return false // an alarm is set for each
		}
		if k.head < k.tail {
			if len(c.mail) == 0 {
				s.fetchMail(c)
				return false
			}
			return s.takeParked(c, c.mail[0])
		}
	}
	if len(c.volatile) > 0 {
		env := c.volatile[0]
		c.volatile = c.volatile[1:]
		s.advance(env)
		return true
	}
	return false
}

func (s *Shard) takeNext(c *cell, env *envelope) bool {
	c.taking = env
	s.advance(env)
	return c.taking == nil
}

func (s *Shard) takeParked(c *cell, p parked) bool {
	env := s.accepted(p.msg, fromMailbox)
	env.position = p.pos
	env.suspect = s.trial.spend()
	return s.takeNext(c, env)
}

// consumeParked takes a message out of its mailbox.
func (s *Shard) consumeParked(env *envelope) {
	c, p := env.cell, env.position
	k := s.control(c)
	s.write(message.TableMailbox, 0, message.Delete, s.key([]byte(c.key), position(p)), nil)
	c.taking = nil
	if c.mail[0].pos == p {
		c.mail = c.mail[1:]
	} else {
		c.mail = slices.DeleteFunc(c.mail, func(m parked) bool { return m.pos == p })
	}
	if p != k.head {
		k.taken = append(k.taken, p)
		return
	}
	for k.head++; ; k.head++ {
		i := slices.Index(k.taken, k.head)
		if i < 0 {
			return
		}
		k.taken = slices.Delete(k.taken, i, i+1)
	}
}

// unread are the positions, among the first of the mailbox, that are not in
// memory: from ≤ p < to, without gaps at the front.
func (c *cell) unread() (from, to uint64) {
	k := c.control
	from, to = k.head, min(k.tail, k.head+mailWindow)
	if n := len(c.mail); n > 0 {
		from = c.mail[n-1].pos + 1
	}
	for from < to && slices.Contains(k.taken, from) {
		from++
	}
	return from, to
}

// fetchMail reads the first messages of a mailbox that are not in memory.
func (s *Shard) fetchMail(c *cell) {
	from, to := c.unread()
	if c.fetching || from >= to {
		return
	}
	c.fetching = true
	l := &Load{}
	var at []uint64
	for p := from; p < to; p++ {
		if !slices.Contains(c.control.taken, p) {
			at = append(at, p)
			l.Keys = append(l.Keys, message.RowKey{Table: message.TableMailbox, Key: append([]byte(c.key), position(p)...)})
		}
	}
	l.apply = func(values [][]byte) error {
		c.fetching = false
		for i, value := range values {
			if r := s.overlay.get(message.TableMailbox, l.Keys[i].Key); r != nil {
				value = r.value
			}
			if value == nil {
				s.breakCell(c, &CorruptError{rowName(l.Keys[i]), "a parked message is missing"})
				return nil
			}
			m, err := readMessageRow(l.Keys[i], value)
			if err != nil {
				s.breakCell(c, err)
				return nil
			}
			c.mail = append(c.mail, parked{at[i], m})
		}
		s.drain(c)
		return nil
	}
	s.issue(l)
}

// failAccepted deals with an accepted message whose step failed: it waits and
// is tried again, and after too many attempts it dies. Its agent waits with
// it, because the messages behind it may build on it.
func (s *Shard) failAccepted(env *envelope, res Result) {
	attempts := 1
	if env.retry != nil {
		attempts += env.retry.attempts
	}
	identify(env.msg)
	s.acceptNow(env, attempts)
	s.consume(env)
	wait := s.backoff(env.msg.ID, attempts)
	r := &retry{msg: env.msg, attempts: attempts, until: s.now + message.Time(wait), reason: truncate(res.Err.Error())}
	switch {
	case (attempts >= s.cfg.MaxAttempts || res.Invalid) && !decides(env.msg): // a decision is tried for ever: its agent waits for it
		s.die(env, attempts, res.Err.Error())
	case !s.roomToRetry(env.cell, r):
		s.die(env, attempts, "its agent keeps too many that failed to try it again: "+res.Err.Error())
	default:
		s.counters.Retries++
		k := s.control(env.cell)
		k.retries = append(k.retries, r)
		s.countControl(env.cell)
		s.alarms.wakeCell(env.cell, r.until)
	}
	s.finish(env)
	s.drain(env.cell)
}

// acceptNow records that a message whose caller wants no more than acceptance
// is accepted.
func (s *Shard) acceptNow(env *envelope, attempts int) {
	m := env.msg
	if env.accepted() {
		return
	}
	if m.Key != "" {
		s.openOutcome(env, message.StatusInFlight, message.ID{}, attempts)
		return
	}
	if m.Source != "" {
		s.takeSequence(env)
	}
	o := &message.Outcome{Status: message.StatusInFlight, Action: m.Action, FirstSeen: m.Sent, Attempts: attempts}
	s.answerAll(env, s.openSeq(), Answer{Outcome: o})
}

// backoff is the time before the next attempt: full jitter (AWS Architecture
// Blog, "Exponential Backoff And Jitter", 2015), drawn from the message's own
// identity so that a run can be repeated.
func (s *Shard) backoff(id message.ID, attempts int) time.Duration {
	limit := s.cfg.BackoffBase << min(max(attempts, 1)-1, 20) // calls that are not recorded are not counted
	if limit <= 0 || limit > s.cfg.BackoffMax {
		limit = s.cfg.BackoffMax
	}
	x := binary.LittleEndian.Uint64(id[:8]) ^ uint64(attempts)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9 // splitmix64, Steele et al. 2014
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return time.Duration(x%uint64(limit)) + 1
}

// truncate bounds the reasons that are stored.
func truncate(s string) string {
	const limit = 1024
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}

// recoverControl takes up an agent that something kept from consuming.
func (s *Shard) recoverControl(r message.Row, unclean bool) error {
	k := message.RowKey{Table: message.TableControl, Key: r.Key}
	control, err := readControl(k, r.Value)
	if err != nil {
		return err
	}
	a, rest, err := message.ParseAgentKey(r.Key)
	if err != nil || len(rest) != 0 {
		return &CorruptError{rowName(k), fmt.Sprintf("its key does not name an agent: %v", err)}
	}
	typ := s.behavior.Types[a.Type]
	if typ == nil {
		typ = unknownType
	}
	c := s.cellOf(a, typ)
	c.control = control
	for _, r := range control.retries {
		// The clock of the session that planned it may have been ahead.
		r.until = min(r.until, later(s.now, s.cfg.BackoffMax))
		r.suspect = unclean && s.trial.spend()
	}
	s.alarms.wakeCell(c, s.now)
	return nil
}

// forgetUnloaded forgets a cell that was only there for what kept its agent,
// once nothing does: eviction looks at loaded cells only.
func (s *Shard) forgetUnloaded(c *cell) {
	if c.loaded || c.loading || len(c.loaders) > 0 || len(c.volatile) > 0 || c.taking != nil || c.broken != nil {
		return
	}
	c.evicted = true
	s.alarms.forget(c)
	delete(s.cells, c.key)
}
