package mem

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

var (
	_ store.PartOpener = (*Disk)(nil)
	_ store.Part       = (*Store)(nil)
)

// errPart: the disk is one of several that belong together.
var errPart = errors.New("open the memory store: it is a part of a divided store, and is not opened by itself")

// OpenPart opens the disk as a part of a divided store. Which shards it holds
// makes no difference to it.
func (d *Disk) OpenPart(ctx context.Context, _ []message.Shard) (store.Part, error) {
	s, err := d.openStore(ctx, true)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Charter is the record by which the parts of a divided store know each other.
func (s *Store) Charter(ctx context.Context) ([]byte, error) {
	var charter []byte
	err := s.asPart(ctx, "charter", func(d *Disk) error {
		if len(d.charter) > 0 {
			charter = clone(d.charter)
		}
		return nil
	})
	return charter, err
}

// Grant replaces the charter. It is durable at once.
func (s *Store) Grant(ctx context.Context, was, is []byte) (done bool, err error) {
	err = s.asPart(ctx, "grant", func(d *Disk) error {
		for _, t := range d.leases.nodes {
			if t.until.After(d.opt.now()) {
				return fmt.Errorf("%w: node %s has it open", store.ErrLocked, t.node.ID)
			}
		}
		if done = bytes.Equal(d.charter, was); !done {
			return nil
		}
		d.charter, s.charter = clone(is), clone(is)
		for i := range d.shards {
			sh := &d.shards[i]
			if sh.version.Epoch == 0 {
				continue // it never had a session
			}
			d.append(record{shard: message.Shard(i), version: sh.version})
			sh.version.Epoch++
		}
		d.sync(d.applied())
		return nil
	})
	return done, err
}

// Used are the shards that have units.
func (s *Store) Used(ctx context.Context) (used []message.Shard, err error) {
	err = s.asPart(ctx, "used", func(d *Disk) error {
		for i := range d.shards {
			if d.shards[i].version.Seq > 0 {
				used = append(used, message.Shard(i))
			}
		}
		return nil
	})
	return used, err
}

// Outbox returns what a shard sent to one of another part. A crash of the disk
// leaves the reader as it is, so all that is returned is made durable first.
func (s *Store) Outbox(ctx context.Context, reader message.Shard, from message.Cursor, max int) (out []message.Delivery, err error) {
	err = s.asPart(ctx, "outbox", func(d *Disk) error {
		if int(from.Source) >= len(d.shards) {
			return fmt.Errorf("there is no source shard %d", from.Source)
		}
		d.sync(d.applied())
		var err error
		out, err = d.pull(reader, from, max)
		return err
	})
	return out, err
}

// Consumed removes what a shard of another part has consumed.
func (s *Store) Consumed(ctx context.Context, reader message.Shard, upTo message.Cursor) error {
	return s.asPart(ctx, "consumed", func(d *Disk) error {
		if int(upTo.Source) >= len(d.shards) {
			return fmt.Errorf("there is no source shard %d", upTo.Source)
		}
		d.drop(upTo.Source, outboxKey(reader, 0), append(outboxKey(reader, upTo.Position), 0))
		return nil
	})
}

func (s *Store) asPart(ctx context.Context, what string, do func(*Disk) error) error {
	d := s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	err := ctx.Err()
	if err == nil {
		err = s.err()
	}
	if err == nil {
		err = do(d)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
