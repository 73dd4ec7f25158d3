// Package sim runs the real core under one seed, on one goroutine and without a
// clock: what can go wrong around it is decided by the seed, so a run that
// fails is repeated by its number. It may import anything and is imported by
// tests only.
//
// Everything is an event of one queue (schedule.go). A node is a process with a
// clock of its own (node.go); it drives a machine for each shard that it has
// (session.go, commit.go, work.go) as internal/engine does. The model of the
// store (rows.go, store.go) is either embedded, a log whose unsynced tail a
// crash loses, or remote, behind a network (network.go, commit.go) and leases
// (lease.go). Clients, sources and an operator use the nodes; the outside world
// keeps a ledger of its own (world.go).
//
// Agents are accounts, clocks and tallies (agents.go), and coordinators of two-phase
// commits over banks (twophase.go, bank.go), whose money nothing else moves. Some
// effects are withdrawn (retract.go).
//
// Faults (fault.go) are kinds that a seed turns on; each strike of a kind has
// an index and can be skipped alone, so that a failure can be made smaller
// (shrink.go). Whatever a run reaches is counted (path.go): a sweep of seeds in
// which a kind or a path never occurred has proved nothing of it, and fails.
//
// Checks are made as things happen: of every unit before it is applied
// (check_unit.go, check_fold.go, check_promise.go, check_feed.go, check_doubt.go), of
// every answer when it is let go and again when it arrives (judge.go, check_reply.go), of
// every call of an effect (world.go), of every word of a person (operator.go), of
// alarms (alarms.go) and of how late the due is done (punctual.go). In the end everything is healed and must
// be drained within a bound, and what is left must agree with what everybody was
// told (check_end.go, check_end_tx.go).
//
// Some things are excused: what a failover of the store lost, until it is told
// again (excuse.go); an effect that a former owner called later than any
// settling time covers (world.go, FAULTS 3a); the order of what reaches an agent
// of which a dead letter may have been overtaken (agents.go); and times, on a
// shard whose clock went back because nobody had trusted it (sim.go, backwards).
//
// What is real here is the core. The store is a model, and so is its fence: that
// a real one compares what it must is for the tests of the stores. What a driver
// decides is written again after internal/engine, not run: when a call may go
// out, what is confirmed before it is answered, what becomes of units in
// question. A bug of the engine is found by its own tests.
//
// Start reading at Run.
package sim
