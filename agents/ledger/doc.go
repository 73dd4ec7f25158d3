// Package ledger is a ready-made agent: an account that can be opened,
// credited, debited, and from which money can be transferred to another account.
// It is written on the public API only, and is also an example of it.
//
// Amounts are integers in the smallest unit of the currency ("cents"). An
// account exists from its first credit on; opening it is a formality that may
// bring a first balance.
//
// # A transfer
//
// It takes the amount from the balance into Pending, asks the other account to
// credit it, and replies when that has answered. A credit that is refused
// (overflow) brings the amount back. So at every moment, in every crash:
//
//  1. An amount on its way is in exactly one place that counts: in the Pending
//     of the sender until the receiver's answer arrives. Between the receiver's
//     credit and the arrival of its answer it is in both; to audit while
//     transfers are under way, count it once.
//  2. Cents + Pending of an account never exceeds the largest int64, so a
//     refund can never overflow.
//  3. Neither Cents nor Pending is ever negative.
//
// # Deletion
//
// Deleting an account ([semel.Agent.Delete]) forgets its balance and what is
// pending, and transfers under way go on: a refund comes to the new account of
// that name, although the amount was forgotten with the old one. The second law
// does not hold for such a refund; if there is no room for it, it becomes a dead
// letter and waits there. Empty an account, and wait for its transfers, before
// deleting it.
package ledger
