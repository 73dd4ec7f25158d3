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
	q := &r.o.q
	if _, err := r.db.Exec(ctx, q.alive, r.owner); err != nil {
		return nil, nil, err
	}
	var living int64
	if _, err := one(ctx, r.db, q.living, []any{micros(r.cfg.Lease)}, &living); err != nil {
		return nil, nil, err
	}
	parts := 0
	var free []int
	err = each(ctx, r.db, q.leases, nil, func(rows Rows) error {
		var part, over int64
		var owner string
		if err := rows.Scan(&part, &owner, &over); err != nil {
			return err
		}
		parts++
		if _, mine := held[int(part)]; over == 1 && !mine {
			free = append(free, int(part))
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
	for _, part := range free {
		if len(held)+len(taken) >= share {
			break
		}
		l, ok, err := r.acquire(ctx, part)
		if err != nil {
			return taken, surplus, err // what was taken is served
		}
		if ok {
			taken = append(taken, l)
		}
	}
	return taken, surplus, nil
}

// acquire takes a partition whose lease is over. The new token fences whoever had
// it before. If the answer is lost, the lease runs out unused.
func (r *Relay) acquire(ctx context.Context, part int) (lease, bool, error) {
	l := lease{part: part, until: time.Now().Add(r.cfg.Lease)}
	result, err := r.db.Exec(ctx, r.o.q.acquire, r.owner, micros(r.cfg.Lease), int64(part))
	if err != nil || result.Affected == 0 {
		return l, false, err
	}
	found, err := one(ctx, r.db, r.o.q.acquired, []any{int64(part), r.owner}, &l.token, &l.lo, &l.hi)
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
