// Package mariadb makes a MariaDB (10.6 or newer) a participant of two-phase commit:
// the user's SQL runs between XA START and XA PREPARE, on a connection of its own,
// and the decision is XA COMMIT or XA ROLLBACK on another one.
//
// # How a branch is known
//
//	gtrid  semel:<transaction>
//	bqual  <branch>:<nonce>.<database>
//
// The part after the colon is the handle. XA RECOVER lists the branches of all
// databases of a server; the last part, a hash of the database's name, tells which
// are this one's. The format is [FormatID].
//
// # Why there is a table
//
// MariaDB forgets a branch with its end: XA COMMIT of one that was committed, of one that
// was rolled back by hand, of one that a server lost that does not sync its log, and
// of one that the connection which prepared it still holds all say the same,
// XAER_NOTA. To take that for "committed before" would be a guess. So each branch
// writes, as its last statement, a row of its own, and its row says what became of
// it: there, the branch is committed; not there, it is not; locked, it is prepared. The
// row's primary key is the branch, so a branch cannot be prepared twice, and an
// Abort writes the row as a tombstone, so that a call to prepare that comes late
// finds it and is refused. [Participant.Migrate] makes the table, and
// [Participant.Clean] removes old rows.
//
// # Connections
//
// What a connection prepared it holds until it is closed, and until then no other one can
// end it. So a connection that prepared is closed and not pooled; while the server has not
// noticed, Commit and Abort wait for it.
//
// Start reading at participant.go, then prepare.go and resolve.go.
package mariadb
