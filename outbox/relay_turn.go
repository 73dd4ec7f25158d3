package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A turn is one transaction of a partition's owner. It proves that the lease is
// still its own, which makes all other owners wait or fail; marks what became of
// the last batch; and reads the next one. Its commit makes durable, too, what it
// has read (see the fourth sentence of the package's doc), so only then may that
// leave.
//
// A turn whose end is unknown is repeated with the same marks: they name rows, and
// say what is, not what changes, so the second time finds nothing to do.

// marks are what a turn writes.
type marks struct {
	delivered []place
	dead      []verdict
	stuck     []verdict
	unstuck   [][okeyBytes]byte
}

// place names a message.
type place struct {
	okey [okeyBytes]byte
	n    int64
}

// scanPlace reads one, with what is behind it in the row.
func scanPlace(rows Rows, more ...any) (place, error) {
	var at place
	var okey []byte
	if err := rows.Scan(append([]any{&okey, &at.n}, more...)...); err != nil {
		return at, err
	}
	if len(okey) != okeyBytes {
		return at, errors.New("outbox: an ordering key is not 16 bytes long")
	}
	at.okey = [okeyBytes]byte(okey)
	return at, nil
}

// verdict is a message that failed.
type verdict struct {
	place
	attempts int64
	unknown  bool // an attempt may have been delivered
	wait     time.Duration
	err      string
}

// turn runs one. read, if not nil, reads within it.
func (p *partition) turn(ctx context.Context, m *marks, read func(ctx context.Context, tx Tx) error) (err error) {
	began := time.Now()
	tx, err := p.r.db.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			ctx, cancel := settling(ctx)
			defer cancel()
			_ = tx.Rollback(ctx) // the connection is closed, or the next one hears of it
		}
	}()
	result, err := tx.Exec(ctx, p.r.o.q.fence, micros(p.r.cfg.Lease), int64(p.lease.part), p.r.owner, p.lease.token)
	if err != nil {
		return err
	}
	if result.Affected != 1 {
		return errFenced
	}
	if err := p.mark(ctx, tx, m); err != nil {
		return err
	}
	if read != nil {
		if err := read(ctx, tx); err != nil {
			return err
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	p.lease.until = began.Add(p.r.cfg.Lease)
	return nil
}

func (p *partition) mark(ctx context.Context, tx Tx, m *marks) error {
	q := &p.r.o.q
	if err := p.giveUp(ctx, tx, m); err != nil {
		return fmt.Errorf("ask what is to be given up: %w", err)
	}
	if p.r.cfg.KeepDelivered && len(m.delivered) > 0 {
		n, args := pairs(m.delivered)
		if _, err := tx.Exec(ctx, q.keep(n), args...); err != nil {
			return fmt.Errorf("keep what was delivered: %w", err)
		}
	}
	gone := m.delivered
	for _, v := range m.dead {
		if _, err := tx.Exec(ctx, q.kill, v.attempts, flag(v.unknown), v.err, v.okey[:], v.n); err != nil {
			return fmt.Errorf("write a dead letter: %w", err)
		}
		gone = append(gone[:len(gone):len(gone)], v.place)
	}
	if len(gone) > 0 {
		n, args := pairs(gone)
		if _, err := tx.Exec(ctx, q.remove(n), args...); err != nil {
			return fmt.Errorf("mark what was delivered: %w", err)
		}
	}
	if len(m.unstuck) > 0 {
		n, args := okeys(len(m.unstuck), func(i int) []byte { return m.unstuck[i][:] })
		if _, err := tx.Exec(ctx, q.unstick(n), args...); err != nil {
			return fmt.Errorf("forget failures: %w", err)
		}
	}
	for _, v := range m.stuck {
		if _, err := tx.Exec(ctx, q.stick(), v.okey[:], v.n, v.attempts, micros(v.wait), flag(v.unknown), v.err); err != nil {
			return fmt.Errorf("note a failure: %w", err)
		}
	}
	return nil
}

// pairs are the arguments of Dialect.pairs. The last place is repeated so that
// there are few different statements, which drivers and servers keep prepared.
func pairs(places []place) (n int, args []any) {
	n = roomFor(len(places))
	args = make([]any, 0, 2*n)
	for i := range n {
		at := &places[min(i, len(places)-1)]
		args = append(args, at.okey[:], at.n)
	}
	return n, args
}

// okeys are as many arguments as roomFor says, of ordering keys of which there are
// some, the last one repeated.
func okeys(count int, okey func(i int) []byte) (n int, args []any) {
	n = roomFor(count)
	args = make([]any, n)
	for i := range args {
		args[i] = okey(min(i, count-1))
	}
	return n, args
}

// roomFor is the next power of two.
func roomFor(n int) int {
	room := 1
	for room < n {
		room *= 2
	}
	return room
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// loadStuck reads which keys wait, after the lease was acquired.
func (p *partition) loadStuck(ctx context.Context) error {
	p.forget()
	now := time.Now()
	return each(ctx, p.r.db, p.r.o.q.stuckIn, []any{p.lease.lo, p.lease.hi}, func(rows Rows) error {
		var attempts, wait, unknown int64
		at, err := scanPlace(rows, &attempts, &wait, &unknown)
		if err != nil {
			return err
		}
		p.remember(at.okey, trouble{n: at.n, attempts: attempts, unknown: unknown != 0, due: now.Add(time.Duration(wait) * time.Microsecond)})
		return nil
	})
}
