package semel

import "encoding/hex"

// Waiting names a message of an agent whose outcome was deferred. It is opaque;
// its text may be kept in the agent's state. The zero value names none.
type Waiting string

// Waiting is the message whose outcome this step settles unless it defers: the
// one that it consumes or, in a continuation, the one that asked first. It is
// zero if nobody waits for an outcome.
//
// A step that defers keeps it, if what brings the outcome may be asked for by
// another message's step: after a timer, or on the order of somebody else. Such a
// step binds its continuations with Bound.For.
func (s *Step) Waiting() Waiting { return Waiting(hex.EncodeToString(s.core.Origin())) }

// For makes what the continuation returns settle the outcome of another message
// of the same agent than that of the step which asks. If that is settled
// already, what the continuation returns is dropped, as ever. The zero Waiting
// changes nothing.
func (b Bound[R]) For(w Waiting) Bound[R] {
	origin, err := hex.DecodeString(string(w))
	if err != nil && b.err == nil {
		b.err = err
	}
	b.waiting = origin
	return b
}
