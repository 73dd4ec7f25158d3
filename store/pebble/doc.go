// Package pebble is the embedded store: one directory, one process, an LSM
// tree (github.com/cockroachdb/pebble) with one write-ahead log for all shards.
//
// # Rows
//
//	[table 1][shard 2][key]                  every table but the dedup log
//	[table 1][generation 4][shard 2][key]    the dedup log: a generation is one range
//	[0]['h']                                 the store's header, see header.go
//	[0]['v'][shard 2]                        the shard's version, see version.go
//
// All integers are big-endian, so that the order of the bytes is the order of
// the numbers. The values of the tables belong to others and are opaque; those
// of table 0 carry a format byte and a CRC-32C over key and value.
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
