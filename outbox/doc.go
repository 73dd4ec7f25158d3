// Package outbox makes a transaction of the user's own database take effect
// exactly once, and sends messages with it. It needs no engine, no server and
// no connection of its own: the caller's transaction is all that it asks for, so
// it works beside sqlc, GORM, River and whatever else shares that transaction.
//
//	box, err := outbox.New(outbox.PostgreSQL, nil)
//
//	out, err := box.Once(ctx, outbox.SQLTx(tx), outbox.Key{ID: "tx-42", Request: body}, func(ctx context.Context) ([]byte, error) {
//		... the caller's own SQL in tx ...
//		return receipt, box.Send(ctx, outbox.SQLTx(tx), outbox.Message{Key: "alice", Topic: "audit", Type: "debited", Body: receipt})
//	})
//	if err != nil { roll back } else { commit, then answer with out }
//
// A Relay, in the same program or another one, delivers what was committed.
//
// # What holds
//
//  1. Once: the claim of a key, what its function did in the transaction, and its
//     outcome become durable at once, or nothing of it. Two transactions never
//     both run the function of one key and both commit.
//  2. Send: a message exists if, and only if, its transaction was committed.
//  3. The messages of one key are numbered without gaps in the order in which
//     their transactions commit. Send holds the key's row until the commit, and
//     takes the number under it. So whoever sees a message sees all before it
//     that are not delivered: no horizon is needed, and no long transaction
//     elsewhere keeps a message waiting.
//  4. A message leaves only after its transaction is durable: the relay commits
//     behind it, and waits for that, before it delivers. (InnoDB shows a commit
//     before it is synced, and so does PostgreSQL under synchronous_commit off.)
//     A database whose commits are not durable is refused, see ErrUnsafeServer.
//  5. A message leaves only after all before it with the same key were delivered
//     or given up as dead letters: refused, beyond MaxAttempts, named by GiveUp,
//     or unreadable. No sink has one in its hands when it is given up, except that of
//     a relay which lost its lease, see 7.
//  6. Delivery is at-least-once. A receiver deduplicates by the message's id;
//     the engine's agents, and what has an Idempotency-Key, do.
//  7. One relay at a time serves a partition of the keys. One that was paused and
//     lost its lease marks nothing any more; what it still has in its hands it
//     may send again, late, which a receiver knows by its id or its number.
//  8. Ages and leases are by the database's clock. Where that went back, what was
//     forgotten stays forgotten, see ErrExpired, and a dead relay's partitions
//     are taken over all the same.
//
// The tempting wrong ways: the order of a sequence or an AUTO_INCREMENT column is
// that in which transactions asked for numbers, not the one in which they
// committed, and a relay that remembers the highest number it saw loses the
// messages of slower transactions. A transaction id (xid8) behind the horizon of
// pg_snapshot_xmin loses none, but its order is that of each transaction's first
// write: two transactions that write anything before they meet at the row that
// orders them may be delivered in the reverse of their commits.
//
// The package imports no driver. For pgx see package pgxtx; for endpoints and
// agents as receivers see packages httpsink and agentsink.
//
// Start reading at Outbox.Once, Outbox.Send and Relay.
package outbox
