package pebble

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Inbox returns what the sources hold for this shard beyond the cursors. Fewer
// than max messages are all there are. Every source first gets an equal part
// of max, so that a busy one cannot starve the others; what is left over goes
// to the sources in the order of the cursors.
//
// It may return messages that are not durable. They precede in the log any
// unit that consumes them, so a crash cannot keep the one and lose the other.
func (s *session) Inbox(ctx context.Context, from []message.Cursor, max int) (out []message.Delivery, err error) {
	for _, c := range from {
		if int(c.Source) >= len(s.store.shards) {
			return nil, fmt.Errorf("inbox of shard %d: there is no source shard %d", s.number, c.Source)
		}
	}
	if err := s.enterRead(ctx); err != nil {
		return nil, err
	}
	defer s.store.leave()
	if len(from) == 0 || max <= 0 {
		return nil, nil
	}
	it, err := s.store.db.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: []byte{byte(message.TableOutbox)}, UpperBound: []byte{byte(message.TableOutbox) + 1}})
	if err != nil {
		return nil, s.readError("outboxes", err)
	}
	defer func() {
		if cerr := it.Close(); cerr != nil && err == nil {
			out, err = nil, s.readError("outboxes", cerr)
		}
	}()
	p := puller{it: it, to: s.number, out: nil}
	share := (max + len(from) - 1) / len(from)
	var cut []message.Cursor // sources that may have more than their share
	for _, c := range from {
		quota := min(share, max-len(p.out))
		n, err := p.pull(c, quota)
		if err != nil {
			return nil, err
		}
		if n == quota {
			cut = append(cut, message.Cursor{Source: c.Source, Position: c.Position + uint64(n)})
		}
	}
	for _, c := range cut {
		if _, err := p.pull(c, max-len(p.out)); err != nil {
			return nil, err
		}
	}
	return p.out, nil
}

// puller gathers the messages for one shard.
type puller struct {
	it  *pebble.Iterator
	to  message.Shard
	out []message.Delivery
}

// pull takes up to n messages of one source and says how many there were.
// Positions have no gaps beyond a cursor: what is missing there was lost.
func (p *puller) pull(c message.Cursor, n int) (int, error) {
	if n <= 0 || c.Position == ^uint64(0) {
		return 0, nil
	}
	// The lower bound keeps the iterator off the tombstones of what was
	// consumed, the upper one off those of the next outbox.
	lower := outboxKey(c.Source, p.to, c.Position+1)
	p.it.SetBounds(lower, store.PrefixEnd(lower[:5]))
	next, taken := c.Position+1, 0
	for ok := p.it.First(); ok && taken < n; ok = p.it.Next() {
		key := p.it.Key()
		if len(key) != outboxKeyLen || binary.BigEndian.Uint64(key[5:]) != next {
			return taken, fmt.Errorf("%w: outbox of shard %d for shard %d: position %d is missing; the next row is %x",
				store.ErrCorrupt, c.Source, p.to, next, key[5:])
		}
		value, err := p.it.ValueAndErr()
		if err != nil {
			return taken, fmt.Errorf("outbox of shard %d for shard %d, position %d: %w", c.Source, p.to, next, corruption(err))
		}
		p.out = append(p.out, message.Delivery{Source: c.Source, Position: next, Data: append(make([]byte, 0, len(value)), value...)})
		next, taken = next+1, taken+1
	}
	if err := p.it.Error(); err != nil {
		return taken, fmt.Errorf("outbox of shard %d for shard %d: %w", c.Source, p.to, corruption(err))
	}
	return taken, nil
}
