package outbox

import (
	"context"
	"errors"
	"time"
)

// lease is the right to deliver the keys between lo and hi, until the database's
// clock says that it is over, or for as long as nobody else takes it.
type lease struct {
	part   int
	lo, hi []byte
	token  int64
	until  time.Time // by the own clock, counted from before it was asked for
}

// errFenced: the lease is another relay's.
var errFenced = errors.New("outbox: another relay has the partition")

// claimShare tells the others that this relay lives, and takes free partitions up
// to its share: all of them by the number of living relays, rounded up. surplus
// are those it should give back because others have come.
func (r *Relay) claimShare(ctx context.Context, held map[int]*tenure) (taken []lease, surplus []int, err error) {
	if err := r.trust(ctx); err != nil {
		return nil, nil, err
	}
	q := &r.o.q
	if _, err := r.db.Exec(ctx, q.alive, r.owner); err != nil {
		return nil, nil, err
	}
	var living int64
	if _, err := one(ctx, r.db, q.living, []any{micros(r.cfg.Lease), micros(r.cfg.Lease)}, &living); err != nil {
		return nil, nil, err
	}
	parts := 0
	var free []offer
	err = each(ctx, r.db, q.leases, nil, func(rows Rows) error {
		var part, turns, lasts, over int64
		if err := rows.Scan(&part, &turns, &lasts, &over); err != nil {
			return err
		}
		parts++
		still := r.still(int(part), turns, time.Duration(lasts)*time.Microsecond)
		if _, mine := held[int(part)]; (over == 1 || still) && !mine {
			o := offer{part: int(part), turns: -1}
			if still {
				o.turns = turns
			}
			free = append(free, o)
		}
		return nil
	})
	if err == nil && parts == 0 {
		err = errors.New("the table of leases is empty: run Migrate")
	}
	if err != nil {
		return nil, nil, err
	}
	share := (parts + int(max(living, 1)) - 1) / int(max(living, 1))
	for part := range held {
		if len(held)-len(surplus) > share {
			surplus = append(surplus, part)
		}
	}
	for _, o := range free {
		if len(held)+len(taken) >= share {
			break
		}
		l, ok, err := r.acquire(ctx, o)
		if err != nil {
			return taken, surplus, err // what was taken is served
		}
		if ok {
			taken = append(taken, l)
		}
	}
	return taken, surplus, nil
}

// offer is a partition that may be taken.
type offer struct {
	part  int
	turns int64 // the row's count, if it stood still for too long; else -1
}

// sight is what a relay saw of somebody's lease.
type sight struct {
	turns int64
	since time.Time // by the own clock
}

// still says that a lease was not renewed for twice as long as it lasts, by the
// own clock: its owner is dead, and the database's clock, by which it is not over,
// has gone back. A living owner's row changes within two thirds of its lease.
func (r *Relay) still(part int, turns int64, lasts time.Duration) bool {
	s, known := r.sights[part]
	if !known || s.turns != turns {
		r.sights[part] = sight{turns, time.Now()}
		return false
	}
	return time.Since(s.since) > 2*lasts
}

// acquire takes a partition whose lease is over. The new token fences whoever had
// it before. If the answer is lost, the lease runs out unused.
func (r *Relay) acquire(ctx context.Context, o offer) (lease, bool, error) {
	l := lease{part: o.part, until: time.Now().Add(r.cfg.Lease)}
	result, err := r.db.Exec(ctx, r.o.q.acquire, r.owner, micros(r.cfg.Lease), micros(r.cfg.Lease), int64(o.part), o.turns)
	if err != nil || result.Affected == 0 {
		return l, false, err
	}
	found, err := one(ctx, r.db, r.o.q.acquired, []any{int64(o.part), r.owner}, &l.token, &l.lo, &l.hi)
	return l, found, err
}

// release gives a partition back before its lease is over. Failing that, the
// lease runs out.
func (r *Relay) release(ctx context.Context, l lease) {
	ctx, cancel := settling(ctx)
	defer cancel()
	if _, err := r.db.Exec(ctx, r.o.q.release, int64(l.part), r.owner, l.token); err != nil {
		r.cfg.OnError(err)
	}
}

// leave says that this relay lives no more, and forgets those that are long dead.
func (r *Relay) leave(ctx context.Context) {
	ctx, cancel := settling(ctx)
	defer cancel()
	if _, err := r.db.Exec(ctx, r.o.q.buried, micros(10*r.cfg.Lease), r.owner); err != nil {
		r.cfg.OnError(err)
	}
}

func micros(d time.Duration) int64 { return d.Microseconds() }
