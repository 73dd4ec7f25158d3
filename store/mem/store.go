package mem

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Store is a disk opened by one process. Its methods are those of store.Store.
type Store struct {
	disk    *Disk
	clean   bool
	wake    chan message.Shard
	state   state  // under disk.mu
	charter []byte // as the disk's when it was opened
}

type state uint8

const (
	running state = iota
	closed
	crashed
)

// err says why the store answers no more. disk.mu is held.
func (s *Store) err() error {
	switch s.state {
	case closed:
		return store.ErrClosed
	case crashed:
		return ErrCrashed
	}
	return nil
}

// Profile says what the disk's options chose.
func (s *Store) Profile() store.Profile {
	return store.Profile{
		Name:          "mem",
		UnitsInFlight: s.disk.opt.unitsInFlight,
		MaxUnitBytes:  s.disk.opt.maxUnitBytes,
		LocalReads:    !s.disk.opt.remoteReads,
		Exclusive:     s.disk.opt.lease == 0,
		Lease:         s.disk.opt.lease,
	}
}

// Incarnation is the disk's.
func (s *Store) Incarnation() message.Incarnation { return s.disk.inc }

// Shards is the disk's number of shards.
func (s *Store) Shards() int { return s.disk.opt.shards }

// Wake hints at shards that other shards sent something to.
func (s *Store) Wake() <-chan message.Shard { return s.wake }

// CleanStart says whether the disk's last store was closed, not crashed. Of a
// disk that is shared nobody can say: a claim says it of a shard.
func (s *Store) CleanStart() bool { return s.clean }

// Open begins a session. The new epoch, and with it all that was committed
// before, is durable when it returns.
func (s *Store) Open(ctx context.Context, n message.Shard, _ string) (store.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d := s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := s.err(); err != nil {
		return nil, fmt.Errorf("open shard %d: %w", n, err)
	}
	if int(n) >= len(d.shards) {
		return nil, fmt.Errorf("open shard %d: the store has %d shards", n, len(d.shards))
	}
	if !bytes.Equal(s.charter, d.charter) {
		return nil, fmt.Errorf("open shard %d: %w: the disk was made a part of another store", n, store.ErrLocked)
	}
	v := &d.shards[n].version
	d.append(record{shard: n, version: *v})
	v.Epoch++
	d.sync(d.applied())
	return &Session{store: s, shard: n, version: *v}, nil
}

// Maintain drops generations and purges outboxes. Like any commit it is in
// the log, but nobody waits for it.
func (s *Store) Maintain(ctx context.Context, r store.Retention) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d := s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := s.err(); err != nil {
		return fmt.Errorf("maintain shard %d: %w", r.Shard, err)
	}
	if int(r.Shard) >= len(d.shards) {
		return fmt.Errorf("maintain shard %d: the store has %d shards", r.Shard, len(d.shards))
	}
	for _, c := range r.Consumed {
		if int(c.Source) >= len(d.shards) {
			return fmt.Errorf("maintain shard %d: the outbox of shard %d: the store has %d shards", r.Shard, c.Source, len(d.shards))
		}
	}
	from := appendKey(nil, message.TableDedup, 0, nil)
	to := appendKey(nil, message.TableDedup, r.Below, nil)
	d.drop(r.Shard, from, to)
	for _, c := range r.Consumed {
		d.drop(c.Source, outboxKey(r.Shard, 0), append(outboxKey(r.Shard, c.Position), 0))
	}
	return nil
}

// drop removes a range of rows as a record of its own.
func (d *Disk) drop(n message.Shard, from, to []byte) {
	s := &d.shards[n]
	if undo := s.rows.deleteRange(from, to, nil); len(undo) > 0 {
		d.append(record{shard: n, version: s.version, undo: undo})
	}
}

// outboxKey is the key of a row that holds a message for the shard.
func outboxKey(to message.Shard, position uint64) []byte {
	key := binary.BigEndian.AppendUint16([]byte{byte(message.TableOutbox)}, uint16(to))
	return binary.BigEndian.AppendUint64(key, position)
}

// Close makes everything durable and marks the disk clean. A second Close
// does nothing.
func (s *Store) Close() error {
	d := s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	switch s.state {
	case closed:
		return nil
	case crashed:
		return ErrCrashed
	}
	d.sync(d.applied())
	s.state, d.clean = closed, d.opt.lease == 0
	delete(d.open, s)
	d.changed.Broadcast()
	return nil
}
