package store

import (
	"context"
	"fmt"

	"github.com/semel-dev/semel/message"
)

// LostError is what Open says of a shard whose store went back in time, as a
// database does when an asynchronous standby is promoted: units that were
// acknowledged are gone. Nothing runs on such a shard until a person has
// accepted the loss (LossAccepter), because callers were told otherwise.
type LostError struct {
	Shard message.Shard
	Had   message.Seq // the last unit that is known to have been acknowledged
	Has   message.Seq // the last unit that is there
}

// Units is how many acknowledged units are gone, at least.
func (e *LostError) Units() uint64 { return uint64(e.Had - e.Has) }

func (e *LostError) Error() string {
	return fmt.Sprintf("shard %d: %v: %d units, %d to %d, are gone, at least; find them again (in the former primary), or accept the loss",
		e.Shard, ErrLost, e.Units(), e.Has+1, e.Had)
}

// Unwrap makes errors.Is find ErrLost.
func (e *LostError) Unwrap() error { return ErrLost }

// LossAccepter is a store that can lose what it acknowledged, and that goes on
// without it when a person says so.
type LossAccepter interface {
	// AcceptLoss makes a shard usable that Open refuses with ErrLost, for every
	// process that shares the store. What was lost is not brought back, and its
	// units' numbers are given again, under epochs above all that were known.
	// Without a loss it does nothing.
	AcceptLoss(ctx context.Context, shard message.Shard) error
}
