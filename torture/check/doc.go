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
//     or not at all; one that failed, never. For effects the outside world's own
//     ledger is the witness, for accounts the balances in the replies.
//  2. All decisions about one key are the same, to the byte. After the first one
//     no request hears of anything else.
//  3. Another payload under a key is a conflict, which does not tell the reply.
//  4. The replies of each account are those of some order of its operations in
//     which none comes before another that was over when it began
//     (linearizability: Herlihy and Wing 1990), and the balance at the end is
//     what they leave.
//  5. In doubt is what the policy ask (or probe) of an effect says, and nothing
//     else; unknown for good is what at_most_once says, and nothing else.
//  6. At the end nothing is undecided: every key was sent until it was answered,
//     and no doubt and no dead letter is left.
//  7. The history is whole: no line is missing, twice, or out of time.
//
// Start reading at record.go, then check.go.
package check
