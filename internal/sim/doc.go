// Package sim runs the real core under one seed, on one goroutine and without a
// clock: what can go wrong around it is decided by the seed, so a run that
// fails is repeated by its number. It may import anything and is imported by
// tests only.
//
// Everything is an event of one queue (schedule.go). A node is a process with a
// clock of its own (node.go); it drives a machine for each shard that it has
// (session.go, commit.go, work.go) as internal/engine does. The model of the
// store (rows.go, store.go) is either embedded, a log whose unsynced tail a
// crash loses, or remote, behind a network (network.go, remote.go) and leases
// (lease.go). Clients, sources and an operator use the nodes; the outside world
// keeps a ledger of its own (world.go).
//
// Faults (fault.go) are kinds that a seed turns on; each strike of a kind has
// an index and can be skipped alone, so that a failure can be made smaller
// (shrink.go). Whatever a run reaches is counted (path.go): a sweep of seeds in
// which a kind or a path never occurred has proved nothing of it, and fails.
//
// Checks are made as things happen: of every unit before it is applied
// (check_unit.go, check_fold.go, check_feed.go), of every answer when it is let
// go and again when it arrives (judge.go), of every call of an effect
// (world.go). In the end everything is healed and must be drained within a
// bound, and what is left must agree with what everybody was told
// (check_end.go). What a failover of the store lost is excused, and nothing else
// (excuse.go).
//
// Start reading at Run.
package sim
