// Package demo is the work of `semel demo`: real processes, killed at the worst
// instants, and judged by the books of somebody else.
//
// Three processes take part. The demo itself plays the clients and the person
// who settles doubts. The server is `semel serve` of the same binary, started
// again on its directory whenever it was killed. The provider (provider.go) takes
// payments like a service on the internet that promises nothing: it writes each
// charge to its own ledger, synced, before it answers, and charges whatever
// arrives, also twice. Its ledger is the judge.
//
// Start reading with run.go. The package may import anything; the command alone
// imports it.
package demo
