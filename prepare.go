package semel

import "encoding/json"

// ReadOnlyVote is the Code of a Result that says yes to Prepare when the step
// changed nothing and asked for nothing.
const ReadOnlyVote = "read_only"

// Prepare has an agent of the step's tenant take an action's step as far as its
// promise: the agent runs the handler, keeps all consequences aside, durably,
// and takes no other message until Decide says what becomes of them (queries are
// answered from the state before). A handler that would reject, fail or defer
// votes no, and nothing is kept aside.
//
// The vote is brought to the continuation. Done is yes: Value is the reply that
// the step would give, and Code is ReadOnlyVote if there is nothing to keep.
// Rejected is no, with the handler's own code and data, or with CodeNotPrepared.
// After a yes, also one of ReadOnlyVote, Decide must follow, however long it takes:
// no time ends the promise. It may be asked for before the vote is there.
//
// An agent takes part in a transaction once. It is what package twopc is built on.
func Prepare(s *Step, tx string, to AgentName, action string, body json.RawMessage, then Bound[json.RawMessage]) {
}

// CodeNotPrepared is the code of a no of an agent whose handler said neither yes
// nor no: it failed, it deferred, or there is no such action.
const CodeNotPrepared = "not_prepared"

// Decide ends what Prepare began: with commit, all that the agent kept aside takes
// effect, in one commit; without, it is forgotten. The continuation hears of it
// (Done; no Value) when it is durable. For an agent that keeps nothing aside for
// the transaction it changes nothing.
func Decide(s *Step, tx string, to AgentName, commit bool, then Bound[json.RawMessage]) {}

// Withdraw has an effect that this agent asked for, by the key that Ask returned,
// never be called (again). Its answer comes soon, as ever by its continuation:
// not done, if no call may have been made; what a call under way answers, if that
// is certain; unknown, if it may have happened and nobody can tell now. A doubt
// stays listed then, until a person or a probe settles it, and is called no more
// whatever they say; nobody is told a second time. It does nothing if the answer
// is on its way already.
func (s *Step) Withdraw(key string) {}

// Forget ends the agent with this step, as Agent.Delete does: nothing of its state
// stays, and none of its timers. What the step sends is sent.
func (s *Step) Forget() {}
