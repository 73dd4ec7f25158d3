// Package torture is the work of `semel torture`: a server is attacked from
// outside for as long as one likes, everything that anybody can see is written
// down, and package check judges it afterwards, from the files alone.
//
// # Processes
//
//	the conductor (run.go)   starts the others, decides when (faults.go), settles
//	                         doubts (operator.go) and reads the last states
//	the server (keeper.go)   any command; killed, stopped, started again
//	clients (loader.go)      send operations, again and in duplicate, and write
//	                         down each request before it leaves and its answer
//	                         when it came
//	the proxy (proxy.go)     between clients and server: cuts, delays and doubles
//	                         requests, and loses replies
//	the ledger (ledger.go)   the outside world of the effects, which syncs each
//	                         before it answers, and promises what its policy says
//
// All but the server are this binary again, by a hidden verb (part.go). What
// they are to do comes by standard input, a token too, which nobody else can read
// there; they end when it ends.
//
// Clients speak HTTP by code of their own. The operator, and who reads what is
// left at the end, use this module's client: what that does not show is not seen
// by them.
//
// A server that runs already may have other users. Every effect carries the run's
// id, and every account has it in its name: the operator and the ledger mind those
// alone.
//
// # Time
//
// Each process counts from the wall clock at its start by the monotonic one, so
// the times of all can be compared as long as the wall clock makes no leap while
// they start.
//
// The package may import anything; the command alone imports it. Start reading
// with run.go.
package torture
