package core

import (
	"bytes"
	"fmt"

	"github.com/semel-dev/semel/message"
)

// A prepared agent has promised a transaction what one step did. The step ran and
// was undone; what it left behind, all of it, is kept aside in the agent's own
// state row, encoded, beside the state before, so no later version of the handler
// can take the promise back. Until the decision the agent is held with a token that
// no program can give a message, and no time ends the hold.
//
// Phases come from the coordinator's shard by cursor, each once, and in their order,
// but a prepare may have to wait in the mailbox, and a decision never does. So a
// decision that finds nothing promised leaves the transaction's name in the control
// row, for as long as something waits there, and a prepare that comes to its turn
// later votes no (see void.go). So does one that became a dead letter: its decision
// may be long past.

// promise is what a prepared agent keeps aside.
type promise struct {
	tx      string
	changed bool // state is what the step made of it; else it changed nothing
	state   []byte
	schema  uint32
	sends   []*message.Message
	timers  []timerChange
	effects []*effectRecord
	undone  []message.ID // effects to withdraw
	hold    holdChange
	ends    bool // the agent ends with the step
}

// readOnly says that the step left nothing behind. The agent is held all the same:
// what its step saw has to be so until the decision.
func (p *promise) readOnly() bool {
	return !p.changed && len(p.sends) == 0 && len(p.timers) == 0 && len(p.effects) == 0 && len(p.undone) == 0 &&
		p.hold == (holdChange{}) && !p.ends
}

// runBranch takes a phase of a transaction.
func (s *Shard) runBranch(env *envelope) {
	var o *message.Outcome
	switch b := env.msg.Branch; b.Phase {
	case message.Prepare:
		o = s.prepare(env)
	default:
		var err error
		if o, err = s.decide(env.cell, b); err != nil {
			s.counters.Failures++
			s.stepFailed(env, Result{Verdict: Failed, Err: err})
			return
		}
	}
	s.counters.Steps++
	s.consume(env)
	s.settle(env, o)
	env.cell.used = true
	s.finish(env)
	s.drain(env.cell)
}

// CodeNotPrepared is the code of a no whose handler said neither yes nor no.
const CodeNotPrepared = "not_prepared"

func no(form string, args ...any) *message.Outcome {
	return &message.Outcome{Status: message.StatusRejected, Code: CodeNotPrepared, Detail: truncate(fmt.Sprintf(form, args...))}
}

// prepare runs the step and keeps what it did aside. Whatever goes wrong is a no.
func (s *Shard) prepare(env *envelope) *message.Outcome {
	c, m := env.cell, env.msg
	switch {
	case env.origin == fromDead:
		return no("the message was a dead letter: its transaction may have been decided meanwhile")
	case s.voided(env):
		return no("the transaction was decided before")
	case c.promise != nil:
		return no("the agent has promised something to this transaction already")
	}
	s.step.reset(s.now, m, true, c.version)
	c.state.Mark()
	before, err := c.state.Append(nil)
	if err != nil {
		return no("the state cannot be encoded: %v", err)
	}
	res := s.invoke(env)
	if res.Verdict == Replied || res.Verdict == Refused {
		res.Keep = false // nothing is kept of a no
		res = s.checkStep(env, res)
	}
	var p *promise
	if res.Verdict == Replied {
		if p, err = s.promise(c, m.Branch.Tx, before); err != nil {
			res = Result{Verdict: Failed, Err: err}
		}
	}
	if err := c.state.Undo(); err != nil {
		panic(fmt.Sprintf("semel: the state of %s cannot be restored after a step that was only prepared: %v", c.agent, err))
	}
	switch res.Verdict {
	case Replied:
	case Refused:
		s.counters.Rejections++
		return &message.Outcome{Status: message.StatusRejected, Code: res.Code, Detail: res.Detail, Body: res.Body}
	case Failed:
		return no("%v", res.Err)
	default:
		return no("the handler of %s does not decide at once, but defers: it cannot take part in a transaction", m.Action)
	}
	c.promise, c.changed = appendPromise(nil, p), true
	s.countState(c, len(before)+len(c.promise), len(before)+len(c.promise))
	k := s.control(c)
	k.token, k.until = branchToken(p.tx), endOfTime
	s.countControl(c)
	o := &message.Outcome{Status: message.StatusDone, Body: res.Body}
	if p.readOnly() {
		o.Code = CodeReadOnly
	}
	return o
}

// CodeReadOnly is the code of a yes of a step that left nothing behind.
const CodeReadOnly = "read_only"

// promise takes what the step did, which is encoded in one row with the state
// before: both together are bounded as one state is.
func (s *Shard) promise(c *cell, tx string, before []byte) (*promise, error) {
	s.step.detach()
	p := &promise{
		tx: tx, schema: c.typ.Schema, sends: s.step.sends, timers: s.step.timers, effects: s.step.effects,
		undone: s.step.withdrawn, hold: s.step.hold, ends: s.step.ends,
	}
	after, err := c.state.Append(nil)
	if err != nil {
		return nil, fmt.Errorf("the state cannot be encoded: %w", err)
	}
	if p.changed = !bytes.Equal(before, after); !p.changed {
		return p, nil
	}
	if len(before)+len(after) > s.cfg.MaxState {
		return nil, fmt.Errorf("the states before and after the step have %d bytes; an agent that takes part in a transaction has both at once, and at most %d are allowed",
			len(before)+len(after), s.cfg.MaxState)
	}
	p.state = after
	return p, nil
}

// decide ends a promise. An error says that it cannot be kept now, and that nothing
// was done; the message is tried again, and the agent stays prepared.
func (s *Shard) decide(c *cell, b *message.Branch) (*message.Outcome, error) {
	var p *promise
	if c.promise != nil {
		var err error
		if p, err = readPromise(c.promise); err != nil {
			return nil, fmt.Errorf("what the agent promised cannot be read: %w", err)
		}
	}
	done := &message.Outcome{Status: message.StatusDone}
	switch {
	case p == nil || p.tx != b.Tx:
		s.avoid(c, b.Tx)
		if b.Phase == message.Commit {
			done = no("the agent promised nothing to this transaction, or somebody has resolved it")
		}
	case b.Phase == message.Commit:
		return done, s.keep(c, p)
	default:
		size, err := s.sizeState(c, c.state)
		if err != nil {
			return nil, err
		}
		s.release(c)
		s.countState(c, size, size)
	}
	return done, nil
}

// release ends the promise and its hold. The state has still to be counted.
func (s *Shard) release(c *cell) {
	k := s.control(c)
	k.token, k.until = "", 0
	c.promise, c.changed = nil, true
}

// sizeState is what the row of a state will have, which a former version of the
// program may have written.
func (s *Shard) sizeState(c *cell, st State) (int, error) {
	data, err := st.Append(s.scratch[:0])
	if err != nil {
		return 0, fmt.Errorf("the state cannot be encoded: %w", err)
	}
	s.scratch = data
	if len(data) > s.cfg.MaxState {
		return 0, fmt.Errorf("the state of %s has %d bytes as this program encodes it; at most %d are allowed", c.agent, len(data), s.cfg.MaxState)
	}
	return len(data), nil
}

// keep makes a promise true, as commitStep does what a step did.
func (s *Shard) keep(c *cell, p *promise) error {
	if c.typ == unknownType {
		return fmt.Errorf("there is no agent type %q; start a program that has it, and retry this", c.agent.Type)
	}
	st := c.state
	if p.changed {
		var err error
		if st, err = c.typ.Load(p.schema, p.state); err != nil {
			return fmt.Errorf("the state that was promised (schema version %d) cannot be loaded: %w", p.schema, err)
		}
	}
	size, err := s.sizeState(c, st)
	if err != nil {
		return err
	}
	if p.ends { // as checkStep does: this may be another program
		if _, err := c.typ.Load(c.typ.Schema, nil); err != nil {
			return err
		}
	}
	s.release(c)
	c.state = st
	s.countState(c, size, size)
	s.step.sends, s.step.timers, s.step.effects = p.sends, p.timers, p.effects
	s.step.withdrawn, s.step.hold, s.step.ends = p.undone, p.hold, p.ends
	if !p.readOnly() {
		s.apply(c, size)
	}
	return nil
}
