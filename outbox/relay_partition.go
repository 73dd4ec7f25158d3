package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// partition is one that this relay owns. One goroutine has it.
type partition struct {
	r      *Relay
	lease  lease
	stop   <-chan struct{} // closed: give it back
	cursor []byte          // the ordering key behind which the next page begins
	stuck  map[[okeyBytes]byte]trouble
	outage int // batches in a row of which nothing was done
}

// trouble of a key: its first message that is not delivered failed.
type trouble struct {
	n        int64
	attempts int64
	unknown  bool
	due      time.Time
}

func newPartition(r *Relay, l lease, stop <-chan struct{}) *partition {
	return &partition{r: r, lease: l, stop: stop, cursor: l.lo, stuck: make(map[[okeyBytes]byte]trouble)}
}

// serve delivers until ctx ends, the partition is asked back, or is another's.
func (p *partition) serve(ctx context.Context) {
	defer p.forget()
	err := p.loadStuck(ctx)
	loaded := err == nil
	for failures := 0; ; {
		switch {
		case errors.Is(err, errFenced):
			p.r.stats.fenced.Add(1)
			return
		case err != nil && ctx.Err() == nil:
			failures++
			p.r.cfg.OnError(fmt.Errorf("outbox: partition %d: %w", p.lease.part, err))
			// A lease that is over may be another's by now, and the round that
			// takes it again begins with what the tables say.
			if time.Now().After(p.lease.until) {
				return
			}
			p.idle(ctx, p.r.backoff(failures))
		default:
			failures = 0
		}
		if ctx.Err() != nil || p.askedBack() {
			p.r.release(ctx, p.lease)
			return
		}
		if !loaded {
			if err = p.loadStuck(ctx); err != nil {
				continue
			}
			loaded = true
		}
		err = p.round(ctx)
	}
}

// round looks for messages, delivers as long as there are some, and waits if
// there are none.
func (p *partition) round(ctx context.Context) error {
	// A read alone costs the database little; most rounds find nothing.
	batch, done, err := p.page(ctx, p.r.db, mostReads)
	if err != nil {
		return err
	}
	if len(batch) == 0 {
		if time.Until(p.lease.until) < p.r.cfg.Lease*2/3 {
			if err := p.turn(ctx, &marks{}, nil); err != nil {
				return err
			}
		}
		if done {
			p.idle(ctx, jitter(p.r.cfg.Poll))
		}
		return nil
	}
	// The turn proves the lease, and is a commit behind what was read.
	if err := p.turn(ctx, &marks{}, nil); err != nil {
		return err
	}
	for len(batch) > 0 && !p.askedBack() && ctx.Err() == nil {
		m := p.deliver(ctx, batch)
		if p.outage > 0 && len(m.stuck) >= manyKeys {
			if err := p.settle(ctx, m, nil); err != nil {
				return err
			}
			p.idle(ctx, min(p.r.backoff(p.outage), mostOutage))
			return nil
		}
		batch = nil
		err := p.settle(ctx, m, func(ctx context.Context, tx Tx) (err error) {
			batch, _, err = p.page(ctx, tx, mostReads)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// deliver hands a batch to the sink, for as long as the lease surely lasts.
func (p *partition) deliver(ctx context.Context, batch []Message) *marks {
	ctx, cancel := context.WithDeadline(ctx, p.lease.until.Add(-p.r.cfg.Lease/3))
	defer cancel()
	hung := time.AfterFunc(time.Until(p.lease.until), func() {
		p.r.cfg.OnError(fmt.Errorf("outbox: partition %d: the sink has not returned although its context has ended; without another relay its keys wait", p.lease.part))
	})
	defer hung.Stop()
	return p.judge(batch, deliverSound(ctx, p.r.sink, batch))
}

// settle writes what became of a batch. What was delivered is marked even if ctx
// has ended, or others would deliver it again. It is repeated within the lease: a
// turn that is lost would forget it.
func (p *partition) settle(ctx context.Context, m *marks, read func(ctx context.Context, tx Tx) error) error {
	for failures := 1; ; failures++ {
		within, cancel := settling(ctx)
		if ctx.Err() != nil {
			read = nil
		}
		err := p.turn(within, m, read)
		cancel()
		if err == nil {
			p.count(m)
			return nil
		}
		if errors.Is(err, errFenced) || ctx.Err() != nil && failures > 1 || time.Now().After(p.lease.until) {
			return err
		}
		p.r.cfg.OnError(fmt.Errorf("outbox: partition %d: mark what was delivered: %w", p.lease.part, err))
		p.idle(ctx, p.r.backoff(failures))
	}
}

func (p *partition) count(m *marks) {
	p.r.stats.delivered.Add(int64(len(m.delivered)))
	p.r.stats.dead.Add(int64(len(m.dead)))
}

// idle waits for a time, for Wake, or until there is no reason to wait.
func (p *partition) idle(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.r.wake[p.lease.part]:
	case <-p.stop:
	case <-ctx.Done():
	}
}

func (p *partition) askedBack() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

// backoff is the wait after so many failures in a row.
func (r *Relay) backoff(failures int) time.Duration {
	d := r.cfg.BackoffMin
	for i := 1; i < failures && d < r.cfg.BackoffMax; i++ {
		d *= 2
	}
	return jitter(min(d, r.cfg.BackoffMax))
}

// jitter is a duration between half of d and d, so that those who failed
// together do not come back together.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}
