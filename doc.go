// Package semel makes every message and action of distributed agents take
// effect exactly once.
//
// An agent is durable state with a name; an action is a step that it takes. A
// step reads its message, changes its agent's state, and asks for messages,
// effects and timers; all of that, and the reply, becomes durable in one
// commit, or nothing of it. A call that is repeated with the same key finds
// the recorded reply and runs nothing.
//
//	app, err := semel.Open(ctx, pebble.At("data"), nil)
//	accounts := semel.NewAgent[Account](app, "account")
//	debit := semel.On(accounts, "debit", (*Account).Debit)
//	receipt, err := debit.Call(ctx, "alice", Debit{Cents: 100}, semel.Key("tx-42"))
//
// # Steps are pure
//
// A handler may use its message, its state and its Step, and nothing else: no
// I/O, no clock but [Step.Now], no randomness but [Step.NewID], no goroutines,
// and nothing that it keeps for later outside its state. It runs on the loop
// of its shard, so a slow handler keeps other agents waiting. The outside
// world is reached by effects ([NewEffect]).
//
// # Three kinds of failure
//
// Every error of a call is one of three types, and [KindOf] names them:
//
//   - [*NotDoneError]: it did not take effect. Calling again, with the same
//     key or a new one, is safe; with the same one only, if an earlier call
//     with it was unknown.
//   - [*Rejection]: it was decided. The answer is no, is recorded, and is what
//     every repetition with the key is told.
//   - [*UnknownError]: it may have taken effect, or may yet. Ask again with the
//     same key; a new key may do it twice.
//
// So is every error of a lookup, a listing or an order to the [App], where "not
// done" says that it was not answered or carried out. If a context ended, the
// error also matches context.Canceled or context.DeadlineExceeded.
//
// # References
//
// A step addresses agents, continuations and effects by [Ref],
// [ContinuationRef] and [EffectRef]. They hold names only, so packages can
// keep them in global variables that their handlers use, without an
// initialization cycle: [RefTo], [ContinuationTo], [EffectTo].
//
// Start reading at [Open], [On] and [Step].
package semel
