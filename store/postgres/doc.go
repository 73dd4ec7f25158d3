// Package postgres is the store for many nodes: PostgreSQL 15 or newer, through
// github.com/jackc/pgx/v5. The statements of units and reads keep to a subset of SQL
// that CockroachDB and YugabyteDB document too; neither was tried, and a part of a
// divided store (Grant) does not keep to it. Nothing of it lives in a connection (no session settings, no
// advisory locks, no LISTEN), so that it works behind PgBouncer in transaction
// mode; there, the DSN has default_query_exec_mode=exec.
//
// # Rows
//
//	semel_store                    one row: the store's incarnation and number of shards
//	semel_migration                the migrations that were made; the last one is the format
//	semel_shard      shard         the fence: epoch, seq, session; and who owns it
//	semel_retention  shard         the dedup generations that the shard forgot
//	semel_node       id            the nodes of a cluster, and when their leases end
//	semel_lease      shard         which node holds it, by which of its claims
//	semel_row        shard tbl key the rows of every table but the dedup log
//	semel_dedup_<n>  shard key     the dedup log's generation n
//
// A generation is a table of its own, so that dropping it costs nothing and
// leaves nothing to vacuum. It is dropped when every shard has forgotten it; a
// shard that has does not look there any more, even while the table exists.
//
// # Units
//
// A unit is one statement, which is a transaction: it updates the fence row
// where shard, epoch, sequence and session are those expected, and writes the
// unit's rows joined to what that update returned, which is nothing when the
// fence was another.
//
//  1. The fence and the rows are one statement's, so there is no moment at which
//     a former owner's unit could slip in between (FAULTS 26).
//  2. Every session draws a random token, which the fence compares besides:
//     after the promotion of an asynchronous standby epochs are given again, and
//     two sessions might share epoch and sequence.
//  3. A session sends one unit at a time, and the next one when the former is
//     answered. What a statement reads is what was committed when it began, so
//     one that began earlier would not see the former's rows.
//  4. Open updates the fence row. It waits for a statement that holds the row,
//     and leaves behind a row with which no older statement goes on. So the
//     version it returns settles every unit in question. A bare read would not:
//     the statement in question might not have begun.
//  5. A unit is repeated only when it is certain that it was not made: the
//     server said that it rolled it back, or nothing was sent.
//
// # Not done, done, unknown
//
// Done is a row, followed by the server's word that the transaction ended, and
// no warning that a wait for a synchronous standby was given up. Not done is an
// error of the server's (not FATAL, not about the connection, not a proxy's), or
// that nothing was sent. All else is unknown; then the session sends nothing
// more, and its reads fail. Nobody's statement is cancelled by this package: a
// cancel that meets a commit which waits for a standby makes it a commit that
// no standby has.
//
// # What a failover lost
//
// A process remembers the highest version of each shard that was acknowledged
// to it. If Open finds a lower one, units are lost (FAULTS 38): the shard is
// marked in the database, and Open fails with store.ErrLost in every process
// until a person accepts the loss (Store.AcceptLoss). That counts eras, so that
// what a process remembers from before is known to be settled. A shard whose
// higher version no living process remembers is not detected; a synchronous
// standby loses nothing and needs no memory.
//
// What a session lets go of is removed by statements that compare its fence too
// (purge.go): clean-up of before a failover may come after it. Leases that a
// promoted standby never heard of are waited for (timeline.go).
//
// # Restored backups
//
// A backup is the database's own (pg_dump, base backups, snapshots) and always
// consistent. After a restore, and before a node starts, Renew gives the store
// another incarnation, which Open and Keep compare: a process of before has no
// part in the new store.
//
// # What it asks of the server
//
// fsync, full_page_writes and synchronous_commit must be on, and it must be a
// primary; every new connection is checked. It needs the right to create tables
// in its schema, for the generations. For a failover the DSN names all servers,
// with target_session_attrs=read-write. A synchronous standby is what keeps
// every acknowledged unit; with synchronous_commit=local nothing waits for it.
// The server should notice dead clients within seconds (tcp_keepalives_idle,
// tcp_user_timeout): a node whose machine dies in the middle of sending a
// statement may else keep a shard's row locked for hours.
//
// The package imports store and message and nothing else of this module. Start
// with At, then read commit.go and statement.go.
package postgres
