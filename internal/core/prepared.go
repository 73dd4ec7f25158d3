package core

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/semel-dev/semel/message"
)

// A prepared agent has promised a transaction what one step did. The step ran and
// was undone; what it left behind, all of it, is kept aside in the agent's own
// state row, encoded, beside the state before, so no later version of the handler
// can take the promise back. Until the decision the agent is held with a token that
// no program can give a message, and no time ends the hold.
//
// Phases come from the coordinator's shard by cursor, each once, and in their order,
// but a prepare may have to wait in the mailbox, and a decision never does. So an
// abort that comes before its prepare has run leaves the transaction's name in the
// control row, for as long as something waits there, and that prepare votes no. So
// does one that became a dead letter: its decision may be long past.

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

// branchToken is the token of the hold of a transaction: no name begins like that.
func branchToken(tx string) string { return "\x02" + tx }

// readOnly says that the step promised nothing: its vote needs no decision.
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
	case c.control != nil && slices.Contains(c.control.void, m.Branch.Tx):
		k := s.control(c)
		k.void = without(k.void, m.Branch.Tx)
		return no("the transaction was aborted before")
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
	if res.Verdict == Replied {
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
	p := &promise{
		tx: tx, schema: c.typ.Schema, sends: s.step.sends, timers: s.step.timers, effects: s.step.effects,
		undone: s.step.withdrawn, hold: s.step.hold, ends: s.step.ends,
	}
	after, err := c.state.Append(nil)
	if err != nil {
		return nil, fmt.Errorf("the state cannot be encoded: %w", err)
	}
	if len(before)+len(after) > s.cfg.MaxState {
		return nil, fmt.Errorf("the states before and after the step have %d bytes; an agent that takes part in a transaction has both at once, and at most %d are allowed",
			len(before)+len(after), s.cfg.MaxState)
	}
	if p.changed = !bytes.Equal(before, after); p.changed {
		p.state = after
	}
	return p, nil
}

// decide ends a promise. An error says that it cannot be kept now; the message is
// tried again, and the agent stays prepared.
func (s *Shard) decide(c *cell, b *message.Branch) (*message.Outcome, error) {
	done := &message.Outcome{Status: message.StatusDone}
	var p *promise
	if c.promise != nil {
		var err error
		if p, err = readPromise(c.promise); err != nil {
			return nil, fmt.Errorf("what the agent promised cannot be read: %w", err)
		}
	}
	if p == nil || p.tx != b.Tx {
		if b.Phase == message.Commit {
			return no("the agent promised nothing to this transaction, or somebody has resolved it"), nil
		}
		if k := c.control; k != nil && (k.head < k.tail || len(k.retries) > 0) {
			k = s.control(c)
			k.void = append(k.void, b.Tx)
			s.countControl(c)
		}
		return done, nil
	}
	if b.Phase == message.Commit {
		if err := s.keep(c, p); err != nil {
			return nil, err
		}
	} else {
		k := s.control(c)
		k.token, k.until = "", 0
	}
	c.promise, c.changed = nil, true
	s.countState(c, c.size, c.size)
	return done, nil
}

// keep makes a promise true, as commitStep does what a step did.
func (s *Shard) keep(c *cell, p *promise) error {
	if c.typ == unknownType {
		return fmt.Errorf("there is no agent type %q; start a program that has it, and retry this", c.agent.Type)
	}
	size := c.size
	if p.changed {
		st, err := c.typ.Load(p.schema, p.state)
		if err != nil {
			return fmt.Errorf("the state that was promised (schema version %d) cannot be loaded: %w", p.schema, err)
		}
		c.state, size = st, len(p.state)
	}
	k := s.control(c)
	k.token, k.until = "", 0
	s.step.sends, s.step.timers, s.step.effects = p.sends, p.timers, p.effects
	s.step.withdrawn, s.step.hold, s.step.ends = p.undone, p.hold, p.ends
	if !p.readOnly() {
		s.apply(c, size)
	}
	return nil
}
