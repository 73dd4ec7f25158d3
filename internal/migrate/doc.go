// Package migrate moves a store into another one, offline: every row of every
// table gets its place there (core.Moving), whatever the engines behind the two
// are and however many shards they have.
//
// # Who is served when
//
// Marks (core.MoveMark) in the shards of both stores say whether a machine may
// run there. They are written in this order, each in all shards before the next
// one is in any:
//
//		    source          target
//		1.  served          Reserved    the target was empty
//		2.  Away            Reserved
//		3.  Away            Into        rows are copied; then both are read and compared
//		4.  Away            Arrived     in shard 0 first: that decides
//		5.  Gone            Arrived
//
//	 1. A mark is committed under the shard's fence, by a session that a server
//	    which takes the shard back would end. So a server that was left running
//	    stops the move, and is stopped by it, but never goes on beside it.
//	 2. From before the first row is read until the end the source has marks, and
//	    its rows stay as they are. So a move that was interrupted is repeated, and
//	    what it wrote before it writes again.
//	 3. The source is refused from step 2 on, the target until step 4: never are
//	    both served. Of a move that was interrupted at 4, repeating it only sets
//	    marks: no row of a target that arrived is ever written again.
//	 4. Into comes after Away. So a target that may have rows has them of the one
//	    source that bears the same move's mark, and a copy of the source's
//	    directory from before is refused.
//	 5. Undo gives the target up for good before it takes the first mark off the
//	    source, and only if nothing was committed there since it arrived. Whoever
//	    still moves then finds the target's shards fenced. Until the first mark is
//	    off, the move may be completed instead: a server of the target that came
//	    between the marks has made undoing impossible.
//	 6. Of a cluster the mover is a node that holds all shards while it works, so
//	    that servers wait. That spares them and it the case above, and is not what
//	    keeps the marks in order: its lease may end, the fences do not.
//	 7. How the source's last server ended is in the marks, or else the store is
//	    left as it was found: not closed in order unless it was.
//
// A node of a cluster may have let a call of an effect go as late as a lease
// after it was fenced; the target's machines wait from their own beginning, so
// step 4 comes no earlier than that.
//
// The package imports core, store and message. Start with Run.
package migrate
