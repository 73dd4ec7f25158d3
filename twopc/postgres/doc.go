// Package postgres makes a PostgreSQL (13 or newer) a participant of two-phase
// commit: the user's SQL runs in a transaction that ends by PREPARE TRANSACTION,
// and the decision by COMMIT PREPARED or ROLLBACK PREPARED. The server must allow
// prepared transactions: max_prepared_transactions, which is 0 unless set, is to be
// at least as many as are under way at once.
//
// # How a branch is known
//
// A prepared transaction has a name, its gid, of which the last part is the handle:
//
//	semel:<transaction>:<branch>:<nonce>.<xid>.<timeline>
//
// The nonce tells two calls apart. The xid is the server's own number of the
// transaction, by which it still knows what became of it when the gid is gone
// (pg_xact_status): so a commit whose answer was lost is told from a rollback by
// hand. The timeline is the server's count of failovers. After one, the number may
// have been given away again, and so nothing is concluded from it.
//
// # One at a time
//
// A branch takes an advisory lock of its own, of the transaction, which a prepared
// transaction goes on holding, through restarts of the server too. So whoever has
// the lock knows that nobody else has prepared the branch or is about to, and two
// calls never both prepare it. The lock's key is a hash of the branch, among the
// keys of one bigint; a program that uses such keys itself may once in 2^64 make a
// branch wait.
//
// # What a paused call can still do
//
// A call of Prepare that was thought dead has prepared nothing unless its
// transaction is still open, which [Participant.Abort] without a handle sees by the lock. One that has not
// begun when the branch is aborted prepares it later: an orphan, which Recover
// lists, and which the coordinator aborts, since its handle did not vote.
//
// Start reading at participant.go, then prepare.go and resolve.go.
package postgres
