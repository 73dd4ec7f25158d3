package semel

import (
	"encoding/json"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// Codes of the votes of agents; see Prepare.
const (
	// ReadOnlyVote is the code of a yes of a step that changed nothing and asked
	// for nothing.
	ReadOnlyVote = core.CodeReadOnly
	// CodeNotPrepared is the code of a no of an agent whose handler said neither yes
	// nor no: it failed, it deferred, there is no such action, or the transaction was
	// decided before its turn came.
	CodeNotPrepared = core.CodeNotPrepared
	// CodeWithdrawn is the code of the answer of an effect that was withdrawn, unless
	// its call told; see Step.Withdraw.
	CodeWithdrawn = core.CodeWithdrawn
)

// Prepare has an agent of the step's tenant take an action's step as far as its
// promise: the agent runs the handler, keeps all consequences aside, durably,
// and takes no other message until Decide says what becomes of them; queries are
// answered from the state before. A handler that rejects, fails or defers votes no,
// and nothing is kept aside.
//
// The vote is brought to the continuation. Done is yes: Value is the reply that
// the step gives, and Code is ReadOnlyVote if there is nothing to keep. Rejected is
// no, with the handler's own code and data, or with CodeNotPrepared. After a yes, also
// a read-only one, Decide must follow, however long it takes: no time ends the
// promise. Decide may come before the vote is there: the vote is then no, or what
// is decided.
//
// The agent keeps the states before and after at once, so they may have, together,
// what a state may have (Config.MaxState). It takes part in a transaction once. The
// name of the transaction is one that is used for no other, ever. This is
// what package twopc is built on.
func Prepare(s *Step, tx string, to AgentName, action string, body json.RawMessage, then Bound[json.RawMessage]) {
	s.branch(message.Branch{Tx: tx, Phase: message.Prepare}, to, action, body, then)
}

// Decide ends what Prepare began: with commit, all that the agent kept aside takes
// effect, in one commit; without, it is forgotten. The continuation hears of it when
// it is durable: Done, without a Value, or, of a commit, Rejected with CodeNotPrepared
// by an agent that has promised nothing to the transaction.
func Decide(s *Step, tx string, to AgentName, commit bool, then Bound[json.RawMessage]) {
	phase, name := message.Abort, "tx:abort" // the names of no action, for whoever sees the message waiting or dead
	if commit {
		phase, name = message.Commit, "tx:commit"
	}
	s.branch(message.Branch{Tx: tx, Phase: phase}, to, name, nil, then)
}

func (s *Step) branch(b message.Branch, to AgentName, action string, body json.RawMessage, then Bound[json.RawMessage]) {
	if err := message.CheckName("transaction's name", b.Tx); err != nil {
		s.fail("%w", err)
		return
	}
	if !then.check(s) {
		return
	}
	s.core.Send(core.Outgoing{To: to, Action: action, Body: body, Then: then.name, Context: then.context, For: then.waiting, Branch: &b})
}

// Withdraw has an effect that this agent asked for, by the key that Ask returned,
// never be called (again). Its answer comes soon, as ever by its continuation:
// what a call under way answers, if that is certain; not done, if no call may have
// had its effect; else unknown. If a person or a probe may still find out what
// became of it, it stays listed as a doubt, and nobody is told a second time;
// whatever they find, it is called no more. Withdraw does nothing if the answer is
// on its way already.
func (s *Step) Withdraw(key string) {
	id, ok := message.ParseID(key)
	if !ok {
		s.fail("withdraw: %q is not the key of an effect", key)
		return
	}
	s.core.Withdraw(id)
}

// Forget ends the agent with this step: nothing of its state stays, and it begins
// anew with the next message. What the step sends is sent. Its timers stay, unlike with
// Agent.Delete; cancel those that it may have.
func (s *Step) Forget() { s.core.Forget() }
