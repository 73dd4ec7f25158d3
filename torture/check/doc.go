// Package check judges the history of a torture, offline: what clients sent and
// were answered, what the outside world noted, what was broken when, and what
// was left at the end. It shares no code with the server, so that no mistake is
// on both sides; of this module it imports nothing, and a test asserts that.
//
// # The history
//
// A directory with the manifest run.json and files of JSON lines (record.go),
// each written by one process and ended by a line that counts the others. Every
// request of a client is two lines, invoke and one of
//
//	ok    it took effect, and this is the reply
//	fail  it did not: a decision (rejected), or a refusal of this request (not_done)
//	info  it is not known whether it did, or will
//
// and all requests with one key are one operation. An operation takes effect
// some time after its first request and before its first decision.
//
// # The rules
//
//  1. An operation that is ok took effect once; one of which that is unknown, once
//     or not at all; one that failed, never. It did so between its first request
//     that was not refused and its first decision. For effects the outside world's
//     own ledger is the witness, for accounts the balances in the replies.
//  2. All decisions about one key are the same, to the byte. After the first one
//     no request hears of anything else. Just one of them is no replay, and a replay
//     is that of a request which was not refused. A reply has what it must tell, and
//     a rejection has a reason: want of funds, or that the outside world declined.
//  3. Another payload under a key that the server has said that it knows is a
//     conflict, which says the same of every key.
//  4. The replies of each account are those of some order of its operations in
//     which none comes before another that was over when it began
//     (linearizability: Herlihy and Wing 1990), and the balance at the end is
//     what they leave.
//  5. In doubt is what the policy ask (or probe) of an effect says, and unknown for
//     good what at_most_once says: where the outside world gave no answer, and
//     nowhere else, unless the server was killed or stopped or had waited too long.
//     No effect is called again but keyed ones, and those of which a person or a
//     probe had said since the last call that it was not done.
//  6. At the end nothing is undecided: every key was sent until it was answered,
//     and no doubt and no dead letter is left.
//  7. Whoever reads all accounts of the bank sees all of its money. Its transactions
//     are those of one order in which none comes before another that was over when it
//     began (strict serializability), all of each or nothing; one is aborted for want
//     of funds that were missing, or when its time was over. After the last fault no
//     account is held, and no transaction is open, for longer than 30 s.
//
// That lines are missing, twice or out of time, or that nobody looked after the
// last fault, is a flaw of the history, which proves nothing against the server; what
// follows from the lines that are there still does.
//
// Start reading at record.go, then check.go.
package check
