// Package web makes anything that speaks HTTP a participant of two-phase commit, by
// the contract of docs/reference/participants.md.
//
// [New] is the coordinator's side: it calls a participant at a URL. [NewHandler] is the
// participant's: it turns three functions over the user's own store into one that
// keeps the contract. It needs a [Ledger], in which it writes what became of each
// branch in the same transaction as the work; [SQL] is one in the user's own
// database.
//
// A branch that was prepared asks the coordinator when it has waited for long
// ([Ask], [Handler.Inquire]). It never decides by itself.
//
// Start reading at wire.go, then client.go and handler.go.
package web
