// Package core is the exactly-once machine of one shard, and nothing else: an
// event goes in, work comes out. It does no I/O, reads no clock, starts no
// goroutine, uses no channel and draws no randomness, so a whole run of it can
// be driven from a seed on one goroutine, crashed at any point and replayed.
//
// The driver (internal/engine) calls Submit, Query, Delivered, Loaded,
// EffectDone, Committed, Tick and so on; each may change memory and add to the
// open unit. Then it takes the Work, seals the open unit with Seal and commits
// it. Start reading at Shard, then run.go.
//
// # Invariants
//
//  1. A message's outcome, its agent's state, what it sends, the effects it
//     asks for and the timers it sets are writes of one unit, together with
//     whatever marks the message as consumed (a cursor, a mailbox row, an
//     effect's or a timer's row).
//  2. Units are sealed in order; a unit may be built on others that are not
//     durable yet, because they become durable in order.
//  3. An answer that depends on a unit bears its sequence (AnswerTo.After).
//  4. Of one identity at most one envelope is alive in memory; duplicates join
//     it (Shard.active). An envelope may do without being found only if it
//     ends within the event that brings it.
//  5. A row that was read is believed only while every write since the read
//     was issued is still in the overlay (Shard.fresh).
//  6. A cursor moves over a message only in the unit that has the message's
//     step or its mailbox row; a source's messages are taken in its order.
//  7. An effect whose policy is not ReadOnly or Keyed is called only after its
//     started record is durable, and the record is in a later unit than the
//     one that asked. Under those two it is called only after a record is
//     durable which says that calls may go unrecorded, so that a program with
//     another policy knows. "Not done" counts a settling time after the call
//     came back, or, if it was a former session's, after this one began; never
//     after the record, whose commit may have taken any time.
//  8. A generation is dropped only after the horizon that covers it is durable.
//  9. Everything that Seal writes is counted in openUnit.bytes when it is
//     decided, and what is counted never exceeds Config.MaxUnitBytes: the store
//     refuses no unit for its size (room.go).
//  10. With Config.Feed, a unit that writes or deletes states has a row of
//     TableChange that names their agents, and the rows are dropped only
//     together with the record of how far they were (feed.go).
package core
