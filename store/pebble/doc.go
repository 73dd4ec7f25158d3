// Package pebble is the embedded store: one directory, one process, an LSM
// tree (github.com/cockroachdb/pebble) with one write-ahead log for all shards.
//
// # Rows
//
//	[table 1][shard 2][key]                  every table but the dedup log
//	[table 1][generation 4][shard 2][key]    the dedup log: a generation is one range
//	[0]['f'][shard 2]                        up to where units are folded, see replay.go
//	[0]['i']                                 the last fold, see replay.go
//	[0]['i'][shard 2]                        the last unit that any fold had, see replay.go
//	[0]['h']                                 the store's header, see header.go
//	[0]['u'][shard 2][sequence 8]            what a unit wrote to front tables, see entry.go
//	[0]['v'][shard 2]                        the shard's version, see version.go
//
// All integers are big-endian, so that the order of the bytes is the order of
// the numbers. The values of the tables belong to others and are opaque; those
// of table 0 carry a format byte and a CRC-32C over key and value.
//
// # Units and folds
//
// Putting a row into the LSM costs most of what a commit costs. So a unit's
// writes to the front tables (states and the dedup log, which are written and
// read row by row) are one row of the LSM, in the same batch as everything
// else of the unit; and in memory beside it there is a hash table of the rows
// in them, see segment.go and memory.go. Reads ask the memory first and the
// LSM behind it next. From time to time a fold moves what the memory holds
// into the LSM, each row's newest value only, as finished tables, and deletes
// the unit rows, see fold.go. Opening reads those back that are left, and folds
// as it goes, see replay.go.
//
//  1. Between a shard's folded row and its version there is every unit row, and
//     no other.
//  2. A front row's value is that of the last unit row that has it, else the
//     LSM's: the LSM holds what was folded, or of units still in memory an
//     older or the same value.
//  3. Nothing is folded before the log that has it is synced, and no unit row
//     is deleted before what it held is durable in the LSM.
//  4. Only folds, one at a time, put rows of front tables into the LSM; only
//     Maintain deletes ranges of them, once no unit row has what it deletes.
//
// # The fence
//
// A shard's version row is written in the same batch as the unit that makes
// it. The lock on the directory makes this process the only writer, so the
// version in memory is the version on disk, and comparing it under the shard's
// mutex, which is held until the batch is in the log, is comparing it in the
// same atomic write.
//
// # What is durable
//
//  1. Pebble writes batches to its log in the order in which they are applied,
//     and closes (syncs) one log file before it begins the next. So a batch
//     whose sync succeeded is durable with every batch before it.
//  2. Pebble's log writer keeps its first error: no sync of that log is tried
//     again, and every later waiter hears the error.
//  3. A batch is visible to reads before it is durable, and stays so when its
//     sync fails. Nothing in the process can take it back; hence the first
//     error of the device ends the process (Options.Fatal), and from then on
//     every Commit and every Wait fails, those included whose sync succeeded.
//  4. Opening replays the log, including what was written and not synced, and
//     flushes it with a sync before it returns. An error of that flush fails
//     the opening.
//
// Beside Pebble's files lies one of our own, SEMEL: what the directory is, and
// a watermark of what was durable, see mark.go.
//
// The package imports store and message and nothing else of this module. Start
// with At, then read commit.go.
package pebble
