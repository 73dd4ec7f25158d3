// Package twopc makes what several agents and databases do happen everywhere or
// nowhere: two-phase commit with presumed abort (Mohan, Lindsay, Obermarck:
// "Transaction Management in the R* Distributed Database Management System",
// 1986), whose coordinator is an agent.
//
//	co := twopc.New(app, nil)
//	co.Register("warehouse", postgres.New(…)) // anything that can promise: see Participant
//	r, err := co.Run(ctx, "order-17", []twopc.Part{
//		twopc.Do(debit.Ref, "alice", Debit{Cents: 500}),
//		twopc.Do(credit.Ref, "shop", Credit{Cents: 500}),
//		co.With("warehouse", pick{Item: "lamp"}),
//	})
//
// A nil error says that all of it happens; a [*semel.Rejection] that nothing
// does; and a retry with the key gets the same answer. What is decided is one
// commit of the agent that coordinates, so whoever owns its shard goes on with it
// after a crash.
//
// # How it goes
//
//  1. The agents are asked to prepare, one after the other in the order of
//     their names; then all outside participants at once. What is prepared is
//     durable and not visible, and its agent takes no other message.
//  2. If all say yes, commit is decided; if one says no, or not all have voted
//     in time, abort is.
//  3. The caller is answered, and all branches that may be prepared are told,
//     again and again, until they have acknowledged it. Then, after a while
//     (Config.Keep), the transaction is forgotten: what nobody knows is aborted.
//
// One agent alone is simply called. A read-only vote of an agent is held like
// any yes until the decision, so a transaction that only reads sees all of its
// agents at one moment.
//
// # What never happens
//
//   - A deadlock among agents: all transactions ask for them in one order.
//   - A guess: a participant that asks (Decision, Sweep) hears wait, commit of the
//     very work that voted, or abort; about a transaction of another store it
//     hears that nobody here knows.
//   - A decision that is told two ways, or forgotten before all have
//     acknowledged it. Where a participant says that somebody resolved its branch
//     the other way, that is kept, listed and alarmed until an operator has taken
//     note.
//
// A transaction's agent must not be deleted by hand (semel.App.Delete): what it
// had decided would be unknown, and so aborted where it was not told yet. The
// state of one needs the room of semel.Config.MaxState's default, 1 MiB.
//
// It imports the root package alone. Start reading at Coordinator.Run, and with
// machine.go for the protocol, which is a pure function of states and events.
package twopc
