package core

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/semel-dev/semel/message"
)

// PanicError is a handler's panic, contained.
type PanicError struct {
	Agent  message.Agent
	Action string
	Value  any
	Stack  []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("the handler panicked: %v", e.Value) }

var (
	errDeferNothing  = errors.New("the handler deferred its reply, but asked for nothing whose answer could bring it")
	errUnknownAction = errors.New("no such action is registered")
)

// run executes one step and puts all of its consequences into the open unit.
func (s *Shard) run(env *envelope) {
	if env.msg.Branch != nil {
		s.runBranch(env)
		return
	}
	c, m := env.cell, env.msg
	awaited := m.Answer != nil || m.Key != "" || m.ReplyTo != nil || len(env.callers) > 0
	s.step.reset(s.now, m, awaited, c.version)
	c.state.Mark()
	res := s.invoke(env)
	if res.Verdict != Failed {
		res = s.checkStep(env, res)
	}
	keep := res.Verdict == Replied || res.Verdict == Deferred || res.Verdict == Lost || res.Verdict == Refused && res.Keep
	if !keep {
		if err := c.state.Undo(); err != nil {
			panic(fmt.Sprintf("semel: the state of %s cannot be restored after a failed step: %v", c.agent, err))
		}
	}
	if res.Verdict == Failed {
		s.counters.Failures++
		s.stepFailed(env, res)
		return
	}
	s.counters.Steps++
	s.consume(env)
	if keep {
		if res.Verdict != Deferred {
			s.step.detach()
		}
		s.commitStep(env)
	}
	env.value = res.Value
	switch res.Verdict {
	case Replied:
		s.settle(env, &message.Outcome{Status: message.StatusDone, Body: res.Body})
	case Refused:
		s.counters.Rejections++
		s.settle(env, &message.Outcome{Status: message.StatusRejected, Code: res.Code, Detail: res.Detail, Body: res.Body})
	case Lost:
		s.settle(env, &message.Outcome{Status: message.StatusUnknown, Code: res.Code, Detail: res.Detail})
	case Deferred:
		if awaited {
			s.deferOutcome(env)
		}
	}
	c.used = true
	s.finish(env)
	if c.control != nil || len(c.volatile) > 0 {
		s.drain(c)
	}
}

// invoke calls the handler and contains its panic.
func (s *Shard) invoke(env *envelope) (res Result) {
	defer func() {
		if v := recover(); v != nil {
			p := &PanicError{Agent: env.msg.To, Action: env.msg.Action, Value: v, Stack: debug.Stack()}
			s.counters.Panics++
			s.work.Panics = append(s.work.Panics, p)
			res = Result{Verdict: Failed, Err: p}
		}
	}()
	if env.action == nil {
		return Result{Verdict: Failed, Err: fmt.Errorf("%w: %s of %s", errUnknownAction, env.msg.Action, env.cell.agent)}
	}
	return env.action.Run(&s.step, env.cell.state)
}

// checkStep turns a step that cannot be committed into a failed one, while it
// can still be undone.
func (s *Shard) checkStep(env *envelope, res Result) Result {
	fail := func(err error) Result { return Result{Verdict: Failed, Err: err} }
	if s.step.err != nil {
		return fail(s.step.err)
	}
	if res.Verdict == Deferred && env.msg.Answer == nil && !s.step.asks() {
		return fail(errDeferNothing)
	}
	if s.step.ends {
		if _, err := env.cell.typ.Load(env.cell.typ.Schema, nil); err != nil {
			return fail(err)
		}
	}
	for _, e := range s.step.effects {
		if s.behavior.Effects[e.name] == nil {
			return fail(fmt.Errorf("no effect %q is registered", e.name))
		}
	}
	if err := s.checkSize(env, res); err != nil {
		return fail(err)
	}
	if res.Verdict == Refused && !res.Keep || s.flat(env.cell) {
		return res
	}
	data, err := env.cell.state.Append(s.scratch[:0])
	if err != nil {
		return fail(fmt.Errorf("the state cannot be encoded: %w", err))
	}
	s.scratch = data
	if len(data) > s.cfg.MaxState {
		return fail(fmt.Errorf("the state has %d bytes; at most %d are allowed: an agent's state is small, split it among agents", len(data), s.cfg.MaxState))
	}
	return res
}

// asks says whether an answer will come that can settle the deferred outcome.
func (s *Step) asks() bool {
	for _, m := range s.sends {
		if m.ReplyTo != nil {
			return true
		}
	}
	for _, t := range s.timers {
		if t.msg != nil && t.msg.ReplyTo != nil {
			return true
		}
	}
	for _, e := range s.effects {
		if e.then != "" {
			return true
		}
	}
	return false
}

// commitStep writes what the step changed and asked for.
func (s *Shard) commitStep(env *envelope) {
	s.apply(env.cell, len(s.scratch)) // as checkStep encoded it, unless it is flat
}

// apply makes what is in s.step take effect. The state, of so many bytes if it is
// not flat, is changed already.
func (s *Shard) apply(c *cell, size int) {
	c.version++
	c.exists, c.changed = true, true
	if s.flat(c) {
		likely := flatGuess
		if c.size > 0 {
			likely = c.size
		}
		s.countState(c, flatBound, likely)
	} else {
		s.countState(c, size, size)
	}
	for _, m := range s.step.sends {
		s.send(m)
	}
	for _, t := range s.step.timers {
		s.changeTimer(c, t)
	}
	for _, e := range s.step.effects {
		s.addEffect(e)
	}
	for _, id := range s.step.withdrawn {
		s.withdraw(c.agent, id)
	}
	if s.step.ends {
		if err := s.end(c); err != nil {
			panic(fmt.Sprintf("semel: a new state of %s could be made before, and now cannot be: %v", c.agent, err)) // see checkStep
		}
	}
	switch h := s.step.hold; {
	case h.set:
		k := s.control(c)
		k.token, k.until = h.token, h.until
		s.countControl(c)
		s.alarms.wakeCell(c, h.until)
	case h.release && c.control != nil:
		k := s.control(c)
		k.token, k.until = "", 0
	}
}

// stepFailed deals with a step that left no trace: a caller is told that it is
// not done; an accepted message is tried again, or dies.
func (s *Shard) stepFailed(env *envelope, res Result) {
	if env.accepted() || env.wantsAcceptance() && !res.Invalid {
		s.failAccepted(env, res)
		return
	}
	code := message.CodeHandlerFailed
	if res.Invalid {
		code = message.CodeInvalidRequest
	}
	a := Answer{Fault: &message.Fault{Code: code, Detail: res.Err.Error()}, Err: res.Err}
	for _, c := range env.callers {
		s.answer(c, env.cell.dirtyIn, a)
	}
	env.callers = nil
	s.dropBehind(env, env.msg.Position, env.cell.dirtyIn, code)
	s.endTrial(env)
	s.finish(env)
}

// settle records an outcome and tells everyone who waits for it.
func (s *Shard) settle(env *envelope, o *message.Outcome) {
	if env.msg.Answer == nil {
		s.settleDirect(env, o)
		return
	}
	if len(env.rows) == 0 {
		return // nobody waits for what it would settle
	}
	// The step received an answer: what it returns settles the message that
	// asked first, if that still waits.
	if value, _ := s.row(env, 0); value != nil {
		s.settleOpen(env, value, o)
	}
}

func (s *Shard) settleDirect(env *envelope, o *message.Outcome) {
	m, c := env.msg, env.cell
	guarantee := message.ExactlyOnce
	if env.action != nil {
		guarantee = env.action.Guarantee
	}
	o.Action, o.Fingerprint, o.FirstSeen, o.Settled = m.Action, m.Fingerprint, m.Sent, s.now
	o.Attempts = 1
	if env.retry != nil {
		o.Attempts += env.retry.attempts
	}
	var key []byte
	if m.Key != "" {
		key = s.outcomeKey(c, m)
		if env.accepted() {
			s.write(message.TableOpen, 0, message.Delete, key, nil)
		}
		s.recordOutcome(key, o)
	}
	if m.Source != "" && !env.accepted() {
		s.takeSequence(env)
	}
	if m.ReplyTo != nil {
		s.reply(m, m.ReplyTo, o)
	}
	after := s.latest()
	if guarantee == message.AtMostOnce {
		after = 0
	}
	s.answerAll(env, after, Answer{Outcome: o, Value: env.value, Version: c.version})
	if key != nil {
		s.answerWaiters(key, after, o)
	}
}

// outcomeKey is the row key of a message's own outcome.
func (s *Shard) outcomeKey(c *cell, m *message.Message) []byte {
	a := s.open.arena
	start := len(a)
	a = append(a, c.key...)
	if m.Key != "" {
		a = message.AppendKeyIdentity(a, m.Principal, m.Key)
	} else {
		a = append(a, m.Identity()...)
	}
	return s.value(a, start)
}

// settleOpen settles, by the envelope's message, one that was deferred or
// given up on. Both are of one principal: what a step asks for inherits it.
func (s *Shard) settleOpen(env *envelope, value []byte, o *message.Outcome) {
	c, open := env.cell, env.rows[0].key
	was, err := ReadOutcome(open, value)
	if err != nil {
		s.work.Alarms = append(s.work.Alarms, Alarm{Kind: AlarmCorrupt, Agent: c.agent, Detail: err.Error()})
		return
	}
	o.Action, o.Fingerprint, o.FirstSeen, o.Settled, o.Attempts = was.Action, was.Fingerprint, was.FirstSeen, s.now, was.Attempts
	key := s.key(open.Key)
	s.write(message.TableOpen, 0, message.Delete, key, nil)
	if open.Key[len(c.key)] == 'k' {
		s.recordOutcome(key, o)
	}
	if was.ReplyTo != nil {
		s.reply(&message.Message{ID: s.idOfOpen(c, open.Key), Principal: env.msg.Principal, Trace: env.msg.Trace}, was.ReplyTo, o)
	}
	s.answerWaiters(key, s.openSeq(), o)
}

// recordOutcome writes a settled outcome into the dedup log.
func (s *Shard) recordOutcome(key []byte, o *message.Outcome) {
	a := s.open.arena
	start := len(a)
	s.write(message.TableDedup, s.retention.current(), message.Put, key, s.value(appendOutcome(a, key, o), start))
	s.window.add(hashIdentity(key), s.now)
}

// deferOutcome records that a message was accepted and is not finished.
func (s *Shard) deferOutcome(env *envelope) {
	m := env.msg
	if m.Answer != nil {
		return // the open row is there already
	}
	s.openOutcome(env, message.StatusInFlight, message.ID{}, 1)
	if m.Source != "" && !env.accepted() {
		s.takeSequence(env)
	}
}

// openOutcome writes an unsettled outcome; the envelope's callers wait for it.
func (s *Shard) openOutcome(env *envelope, status message.Status, ref message.ID, attempts int) {
	m := env.msg
	o := &message.Outcome{
		Status: status, Action: m.Action, Fingerprint: m.Fingerprint, FirstSeen: m.Sent,
		Attempts: attempts, Doubt: ref, ReplyTo: m.ReplyTo,
	}
	identify(m)
	key := s.outcomeKey(env.cell, m)
	s.putOpen(key, o)
	if m.Key != "" {
		s.window.add(hashIdentity(key), s.now)
	}
	for i, c := range env.callers {
		c.late = i > 0
		if c.Accept {
			s.answer(c, s.openSeq(), Answer{Outcome: o, Replayed: c.late})
		} else {
			s.await(c, string(key))
		}
	}
	env.callers = nil
}

func (s *Shard) putOpen(key []byte, o *message.Outcome) {
	a := s.open.arena
	start := len(a)
	s.write(message.TableOpen, 0, message.Put, key, s.value(appendOutcome(a, key, o), start))
}

// reply sends an outcome to the agent that asked for it.
func (s *Shard) reply(m *message.Message, to *message.ReplyTo, o *message.Outcome) {
	s.send(&message.Message{
		ID: m.ID.Child(0), To: to.Agent, Action: to.Action, Principal: m.Principal, Body: o.Body, Sent: s.now, Trace: m.Trace,
		Answer: &message.Answer{Status: o.Status, Code: o.Code, Detail: o.Detail, Link: to.Link},
	})
}

func (s *Shard) answerWaiters(key []byte, after message.Seq, o *message.Outcome) {
	if len(s.waits) == 0 {
		return
	}
	for _, c := range s.waits[string(key)] {
		s.answer(c, after, Answer{Outcome: o, Replayed: c.late})
	}
	delete(s.waits, string(key))
}

// idOfOpen recovers the ID of a message from the row key of its open outcome.
func (s *Shard) idOfOpen(c *cell, key []byte) message.ID {
	identity := key[len(c.key):]
	if identity[0] == 'i' {
		return message.ID(identity[1:])
	}
	principal, k := splitKeyIdentity(identity)
	return message.KeyedID(c.agent, principal, k)
}

// splitKeyIdentity reads what message.AppendKeyIdentity wrote.
func splitKeyIdentity(identity []byte) (principal, key string) {
	for i, b := range identity[1:] {
		if b == 0 {
			principal, key = string(identity[1:i+1]), string(identity[i+2:])
			break
		}
	}
	if principal == "" {
		principal = message.Anonymous
	}
	return principal, key
}

// sequenceKey is the row key of the cursor that an agent keeps for a source.
func sequenceKey(c *cell, source string) []byte {
	return append(append([]byte("s"), c.key...), source...)
}

// takeSequence moves the agent's cursor for an outside source.
func (s *Shard) takeSequence(env *envelope) {
	key := s.key(sequenceKey(env.cell, env.msg.Source))
	s.write(message.TableCursor, 0, message.Put, key, s.numberRow(key, env.msg.Position))
}
