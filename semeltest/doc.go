// Package semeltest tests programs that are written with Semel: it crashes
// them everywhere, repeats what they are told, and looks at what became of it
// outside.
//
// A workload says what the program is and what is asked of it. It registers as
// the program does, and lists calls, each with the key that a retry would have:
//
//	func shop(r *semeltest.Run) {
//		bank := r.World.Service("bank", semeltest.Deduplicates)
//		orders := NewOrders(r.App, bank)
//		r.Call(orders.Place.Request("o-1", 500, semel.Key("k1")))
//	}
//
//	func TestShop(t *testing.T) {
//		semeltest.EveryCrash(t, shop)
//		semeltest.Duplicate(t, shop)
//		semeltest.Reorder(t, shop)
//	}
//
// What is compared, always with a run in which nothing went wrong: how often
// each effect happened outside (World), the states of all agents, and the
// replies. What a workload asserts itself (Run.Check) is checked besides.
//
// # Time
//
// Given a *testing.T, every case runs in a bubble of testing/synctest: its
// clock begins at midnight UTC 2000-01-01 and goes on only when everything
// waits, so timers, backoffs and deadlines of hours take no time, and the
// clock is the same in each run. Nothing in a bubble may wait for a goroutine
// that began outside of it; effects reach a World instead of the network. With
// another TB, or with RealTime, the clock is the machine's.
//
// # Purity
//
// Runs are compared, so they must be comparable: a reply, a state or a request
// to the outside may depend on the calls, on Step.NewID, and on Step.Now (texts
// that are times in RFC 3339 are taken to be equal; see Volatile for other
// fields), and on nothing else. That is what Semel asks of a step anyway.
//
// Start reading at EveryCrash and World.
package semeltest
