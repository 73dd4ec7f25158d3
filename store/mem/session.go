package mem

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/RaduBerinde/btreemap"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Session is the right to commit to one shard. Its methods are those of
// store.Session.
type Session struct {
	store   *Store
	shard   message.Shard
	version message.Version
	closed  bool // under disk.mu
}

// Version is the shard's version when the session was opened.
func (s *Session) Version() message.Version { return s.version }

// Close gives the session up.
func (s *Session) Close() error {
	s.store.disk.mu.Lock()
	defer s.store.disk.mu.Unlock()
	s.closed = true
	return nil
}

// err says why the session answers no more. disk.mu is held.
func (s *Session) err() error {
	if s.closed && s.store.state == running {
		return store.ErrClosed
	}
	return s.store.err()
}

// Get returns one value for each key.
func (s *Session) Get(ctx context.Context, keys []message.RowKey) ([][]byte, error) {
	d := s.store.disk
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := s.readable(ctx); err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i] = d.shards[s.shard].rows.get(keyOf(k))
	}
	return values, nil
}

// Scan returns rows of a table in order.
func (s *Session) Scan(ctx context.Context, r store.Range, limit int) ([]message.Row, error) {
	check(r.Table, r.Gen)
	d := s.store.disk
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := s.readable(ctx); err != nil {
		return nil, err
	}
	table := appendKey(nil, r.Table, r.Gen, nil)
	from := appendKey(nil, r.Table, r.Gen, r.From)
	to := store.PrefixEnd(table)
	if r.To != nil {
		to = appendKey(nil, r.Table, r.Gen, r.To)
	}
	var out []message.Row
	for key, value := range d.shards[s.shard].rows.tree.Ascend(btreemap.GE(from), btreemap.LT(to)) {
		if len(out) >= limit {
			break
		}
		out = append(out, message.Row{Key: clone(key[len(table):]), Value: clone(value)})
	}
	return out, nil
}

// readable says why a read cannot be served. disk.mu is held.
func (s *Session) readable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.err()
	if at := s.store.disk.shards[s.shard].version.Epoch; err == nil && s.store.disk.opt.lease > 0 && at != s.version.Epoch {
		err = store.ErrFenced // what it would say is not true any more where another owner goes on
	}
	if err != nil {
		return fmt.Errorf("read shard %d: %w", s.shard, err)
	}
	return nil
}

// Inbox returns what other shards sent beyond the cursors. Every source first
// gets an equal part of max, so that a busy one cannot starve the others; what
// is left over goes to the sources in the order of the cursors.
func (s *Session) Inbox(ctx context.Context, from []message.Cursor, max int) ([]message.Delivery, error) {
	d := s.store.disk
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := s.readable(ctx); err != nil {
		return nil, err
	}
	if len(from) == 0 || max <= 0 {
		return nil, nil
	}
	var out []message.Delivery
	at := append([]message.Cursor(nil), from...)
	for _, quota := range []int{(max + len(from) - 1) / len(from), max} {
		for i := range at {
			if int(at[i].Source) >= len(d.shards) {
				return nil, fmt.Errorf("inbox of shard %d: there is no source shard %d", s.shard, at[i].Source)
			}
			got, err := d.pull(s.shard, at[i], min(quota, max-len(out)))
			if err != nil {
				return nil, err
			}
			at[i].Position += uint64(len(got))
			out = append(out, got...)
		}
	}
	return out, nil
}

// pull returns up to max messages for a shard from one outbox.
func (d *Disk) pull(to message.Shard, c message.Cursor, max int) ([]message.Delivery, error) {
	if max <= 0 || c.Position == ^uint64(0) {
		return nil, nil
	}
	var out []message.Delivery
	next := c.Position + 1
	stop := appendKey(nil, message.TableOutbox, 0, binary.BigEndian.AppendUint16(nil, uint16(to)))
	for key, value := range d.shards[c.Source].rows.tree.Ascend(btreemap.GE(outboxKey(to, next)), btreemap.LT(store.PrefixEnd(stop))) {
		if len(out) == max {
			break
		}
		if len(key) != 11 || binary.BigEndian.Uint64(key[3:]) != next {
			return nil, fmt.Errorf("%w: outbox of shard %d for shard %d: position %d is missing, found row %x instead",
				store.ErrCorrupt, c.Source, to, next, key)
		}
		out = append(out, message.Delivery{Source: c.Source, Position: next, Data: clone(value)})
		next++
	}
	return out, nil
}
