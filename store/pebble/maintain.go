package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// purgeOneByOne is how many consumed messages are deleted one by one. Beyond
// it a range is cheaper; below it a range is dearer, since reads must sort the
// ranges in memory before they can look behind them.
const purgeOneByOne = 512

// upkeep remembers what was removed, so that nothing is removed twice and a
// call with nothing to do costs nothing. It is forgotten with the process;
// removing again is harmless.
type upkeep struct {
	mu      sync.Mutex
	dropped map[message.Shard]message.Generation
	purged  map[outbox]uint64
}

// outbox names the messages of one shard for another.
type outbox struct{ from, to message.Shard }

// Maintain removes what is not needed any more. It waits for no sync: whatever
// a crash brings back is removed next time. While a backup is under way it
// drops no generations, and the first call afterwards does.
func (st *Store) Maintain(ctx context.Context, r store.Retention) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if int(r.Shard) >= len(st.shards) {
		return fmt.Errorf("maintain shard %d: the store has %d shards", r.Shard, len(st.shards))
	}
	for _, c := range r.Consumed {
		if int(c.Source) >= len(st.shards) {
			return fmt.Errorf("maintain shard %d: there is no source shard %d", r.Shard, c.Source)
		}
	}
	if err := st.enter(); err != nil {
		return fmt.Errorf("maintain shard %d: %w", r.Shard, err)
	}
	defer st.leave()
	st.upkeep.mu.Lock()
	defer st.upkeep.mu.Unlock()
	if err := st.maintain(ctx, r); err != nil {
		return fmt.Errorf("maintain shard %d: %w", r.Shard, err)
	}
	return nil
}

func (st *Store) maintain(ctx context.Context, r store.Retention) error {
	b := st.db.NewBatch()
	if r.Below > st.upkeep.dropped[r.Shard] {
		// Into the LSM with them, so that one tombstone is behind all of them
		// and no unit row brings them back.
		settled, err := st.folds.settle(r.Shard, r.Below)
		switch {
		case err != nil:
		case settled:
			err = st.dropGenerations(ctx, b, r.Shard, r.Below)
		default:
			r.Below = 0 // nothing was dropped, and that is what to remember
		}
		if err != nil {
			return errors.Join(err, b.Close())
		}
	}
	for _, c := range r.Consumed {
		if err := st.purge(b, outbox{from: c.Source, to: r.Shard}, c.Position); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	if !b.Empty() {
		if err := st.failed.write(func() error { return st.db.Apply(b, pebble.NoSync) }); err != nil {
			return err
		}
	}
	st.upkeep.remember(r)
	return b.Close()
}

func (up *upkeep) remember(r store.Retention) {
	if up.dropped == nil {
		up.dropped, up.purged = map[message.Shard]message.Generation{}, map[outbox]uint64{}
	}
	up.dropped[r.Shard] = max(up.dropped[r.Shard], r.Below)
	for _, c := range r.Consumed {
		o := outbox{from: c.Source, to: r.Shard}
		up.purged[o] = max(up.purged[o], c.Position)
	}
}

// dropGenerations deletes the shard's part of every generation below a bound.
// It visits only generations that exist: their numbers may lie far apart.
func (st *Store) dropGenerations(ctx context.Context, b *pebble.Batch, shard message.Shard, below message.Generation) (err error) {
	at := func(gen uint64, shard uint32) []byte {
		key := binary.BigEndian.AppendUint32([]byte{byte(message.TableDedup)}, uint32(gen))
		return binary.BigEndian.AppendUint16(key, uint16(shard))
	}
	it, err := st.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: at(0, 0), UpperBound: at(uint64(below), 0)})
	if err != nil {
		return corruption(err)
	}
	defer func() { err = errors.Join(err, corruption(it.Close())) }()
	for ok := it.First(); ok; {
		gen := uint64(binary.BigEndian.Uint32(it.Key()[1:]))
		mine := at(gen, uint32(shard))
		end := store.PrefixEnd(mine)
		if ok = it.SeekGE(mine); !ok {
			return nil // Close returns what ended it
		}
		if string(it.Key()) < string(end) {
			if err := b.DeleteRange(mine, end, nil); err != nil {
				return err
			}
		}
		if gen++; gen >= uint64(below) {
			return nil
		}
		ok = it.SeekGE(at(gen, 0))
	}
	return nil
}

// purge deletes the messages of an outbox up to a position.
func (st *Store) purge(b *pebble.Batch, o outbox, position uint64) error {
	last, known := st.upkeep.purged[o]
	if position <= last {
		return nil
	}
	if !known || position-last > purgeOneByOne {
		// From the last position on, not from zero: ranges that overlap are
		// split at every border of each other.
		return b.DeleteRange(outboxKey(o.from, o.to, last), append(outboxKey(o.from, o.to, position), 0), nil)
	}
	for n := last + 1; n <= position; n++ {
		if err := b.Delete(outboxKey(o.from, o.to, n), nil); err != nil {
			return err
		}
	}
	return nil
}
