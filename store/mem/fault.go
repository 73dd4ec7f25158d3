package mem

import "github.com/semel-dev/semel/message"

// Fault is what a test does to one commit. The zero Fault does nothing.
//
// An error that wraps none of the definite ones (store.ErrFenced, ErrTooLarge,
// ErrFull, ErrClosed) is a lost answer: the unit's fate is unknown to the
// caller, and Applied says what it really is.
type Fault struct {
	Err     error // what Wait returns
	Applied bool  // the unit was committed nevertheless
}

// Faults sets what is asked before each commit; nil asks nothing. It is to be
// called while no commit is under way. The function may call the disk's
// methods, Crash among them.
func (d *Disk) Faults(before func(message.Shard, *message.Unit) Fault) { d.faults = before }
