package twopc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/semel-dev/semel"
)

// Orphan is prepared work that a sweep found at a participant, and what came of
// it.
type Orphan struct {
	Participant string
	Prepared
	Age      time.Duration // by this machine's clock, from Since; zero if that is not known
	Decision Decision      // empty if there is no answer
	Resolved bool          // the participant was told of the decision, and has acknowledged it
	Err      error         // why not: ErrForeign, a participant that fails, or a Rejection, which means mixed
}

// Sweep asks each participant what it has prepared, and the coordinator what is
// decided about it, and carries that out: what a dead process left is found. A
// decision that the coordinator has still to tell is told by both, which harms
// nobody. What must wait, and what is not ours, is left alone and returned with
// its age. A participant that cannot be asked is an error, which does not keep
// the others waiting.
func (c *Coordinator) Sweep(ctx context.Context) ([]Orphan, error) {
	var found []Orphan
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.participants)) {
		list, err := c.recover(ctx, c.participants[name])
		if err != nil {
			errs = append(errs, fmt.Errorf("twopc: ask participant %q what it has prepared: %w", name, err)) // of some of it, perhaps
		}
		for _, p := range list {
			if err := ctx.Err(); err != nil {
				return found, errors.Join(append(errs, err)...)
			}
			o := Orphan{Participant: name, Prepared: p}
			if !p.Since.IsZero() {
				o.Age = max(time.Since(p.Since), 0)
			}
			c.sweep(ctx, c.participants[name], &o)
			found = append(found, o)
		}
	}
	return found, errors.Join(errs...)
}

func (c *Coordinator) recover(ctx context.Context, p Participant) ([]Prepared, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	return p.Recover(ctx)
}

// sweep resolves one of them, if it can.
func (c *Coordinator) sweep(ctx context.Context, p Participant, o *Orphan) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	if o.Decision, o.Err = c.Decision(ctx, o.Prepared); o.Err != nil {
		return
	}
	switch o.Decision {
	case Commit:
		o.Err = p.Commit(ctx, o.Prepared)
	case Abort:
		o.Err = p.Abort(ctx, o.Prepared)
	default:
		return
	}
	o.Resolved = o.Err == nil
	if semel.KindOf(o.Err) == semel.KindRejected {
		c.alarm(Alarm{Kind: AlarmMixed, Tx: o.Tx, Branch: o.Name, At: o.Participant, Detail: text(o.Err.Error())})
	}
}

// Watch sweeps every interval, from now on until ctx ends, and returns its
// error. What fails is logged, and tried again with the next one; what waits or
// is foreign for longer than Config.AlarmAfter is logged as well.
func (c *Coordinator) Watch(ctx context.Context, interval time.Duration) error {
	if interval <= 0 {
		return fmt.Errorf("twopc: watch every %v: the interval must be positive", interval)
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		found, err := c.Sweep(ctx)
		if err != nil && ctx.Err() == nil {
			c.cfg.Logger.Warn("a sweep for prepared transactions is not complete", "error", err)
		}
		for i := range found {
			c.note(&found[i])
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// note logs what a sweep did.
func (c *Coordinator) note(o *Orphan) {
	about := []any{"participant", o.Participant, "tx", o.Tx, "branch", o.Name, "age", o.Age}
	switch {
	case o.Resolved:
		c.cfg.Logger.Info("prepared work was resolved", append(about, "decision", o.Decision)...)
	case o.Age > c.cfg.AlarmAfter:
		c.cfg.Logger.Warn("prepared work is not resolved", append(about, "decision", o.Decision, "error", o.Err)...)
	}
}
