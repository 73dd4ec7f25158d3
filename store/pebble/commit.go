package pebble

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Commit submits a unit. Nothing cancels a local commit, so the context is not
// used. It blocks only while Pebble holds writers back, or folds do that are
// behind, see folder.admit.
func (s *session) Commit(_ context.Context, u *message.Unit) store.Pending {
	b, err := s.submit(u)
	if err != nil {
		return refused{fmt.Errorf("commit unit %d of shard %d: %w", u.Version.Seq, s.number, err)}
	}
	return &pending{session: s, batch: b, version: u.Version}
}

// writeMax is at most what a write adds to its key and value when it is
// encoded: the op's kind, lengths and prefix, or the entry's.
const writeMax = 20

// unitMax is what a unit may have when it is encoded, whatever MaxUnitBytes is:
// Pebble's batches end at 4 GiB, and so do segments, see foldMax.
const unitMax = 1<<31 - 1

// submit puts a unit into the log and makes it visible; the sync follows by
// itself.
func (s *session) submit(u *message.Unit) (*pebble.Batch, error) {
	size := u.Bytes()
	if limit := s.store.opt.MaxUnitBytes; size > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", store.ErrTooLarge, size, limit)
	}
	writes := u.Writes
	if expands(writes) {
		var err error
		if writes, err = s.expand(writes); err != nil {
			return nil, err
		}
		size = (&message.Unit{Writes: writes}).Bytes()
	}
	// Rows without bytes count here, and those that a prefix stands for.
	if whole := size + writeMax*len(writes); whole > unitMax {
		return nil, fmt.Errorf("%w: %d bytes in %d writes are %d encoded, at most %d", store.ErrTooLarge, size, len(writes), whole, unitMax)
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.store.leave()
	if err := s.store.folds.admit(); err != nil {
		return nil, err
	}
	b, unit := s.build(u.Version, writes, size)
	if err := s.apply(b, unit, u.Version); err != nil {
		return nil, err
	}
	s.hint(u)
	return b, nil
}

// apply compares the version and puts the batch into the log under one mutex,
// which thereby orders the shard's units in the log as well.
func (s *session) apply(b *pebble.Batch, unit []byte, v message.Version) error {
	s.shard.mu.Lock()
	defer s.shard.mu.Unlock()
	// First, because a unit that failed may be in the log or not: the version
	// in memory says nothing any more.
	if err := s.store.failed.broken(); err != nil {
		return err
	}
	if at := s.shard.version; v.Epoch != at.Epoch || v.Seq != at.Seq+1 {
		// Never in the log, so nothing else holds the batch: recycle it.
		_ = b.Close() // can only fail for a batch that was closed before
		return fmt.Errorf("%w: it is at epoch %d, unit %d, and the commit is for epoch %d, unit %d",
			store.ErrFenced, at.Epoch, at.Seq, v.Epoch, v.Seq)
	}
	if err := s.store.failed.write(func() error { return s.store.db.ApplyNoSyncWait(b, pebble.Sync) }); err != nil {
		return err // the batch may be stuck in the pipeline: leave it to the collector
	}
	s.shard.version = v
	s.store.folds.grew(s.shard.memory.add(unit, v.Seq))
	return nil
}

// build encodes a unit straight into a batch: keys are assembled in place. What
// goes to front tables becomes one row, whose entries it returns too.
func (s *session) build(v message.Version, writes []message.Write, size int) (*pebble.Batch, []byte) {
	// Room for every op's kind, lengths and prefix, and for the version and unit
	// rows, so that the batch does not grow while it is filled.
	b := s.store.db.NewBatchWithSize(128 + size + writeMax*len(writes))
	unit := 1 + sealSize
	for i := range writes {
		w := &writes[i]
		checkTable(w.Table, w.Gen)
		if front(w.Table) && w.Op <= message.Delete {
			unit += entrySize(w)
			continue
		}
		n := prefixLen(w.Table)
		var op *pebble.DeferredBatchOp
		switch w.Op {
		case message.Put:
			op = b.SetDeferred(n+len(w.Key), len(w.Value))
			copy(op.Value, w.Value)
		case message.Delete:
			op = b.DeleteDeferred(n + len(w.Key))
		case message.DeletePrefix:
			s.deletePrefix(b, w)
			continue
		default:
			panic(fmt.Sprintf("pebble: there is no operation %d", w.Op))
		}
		putPrefix(op.Key, w.Table, w.Gen, s.number)
		copy(op.Key[n:], w.Key)
		finish(op)
	}
	op := b.SetDeferred(versionKeyLen, versionSize+sealSize)
	putVersion(op.Key, op.Value, s.number, v)
	finish(op)
	// Last, since the next op might move it.
	op = b.SetDeferred(unitKeyLen, unit)
	putUnitKey(op.Key, s.number, v.Seq)
	putUnit(op.Value, op.Key, writes)
	finish(op)
	return b, op.Value[1 : unit-sealSize]
}

// deletePrefix deletes a range: within a batch it hides what was written
// before it and not what is written after it, which is what is asked for.
func (s *session) deletePrefix(b *pebble.Batch, w *message.Write) {
	if w.Table == message.TableDedup {
		panic("pebble: DeletePrefix in the dedup table")
	}
	from := appendKey(nil, s.number, w.Table, w.Gen, w.Key)
	to := store.PrefixEnd(from)
	op := b.DeleteRangeDeferred(len(from), len(to))
	copy(op.Key, from)
	copy(op.Value, to)
	finish(op)
}

// finish ends a deferred op. It can only fail for indexed batches.
func finish(op *pebble.DeferredBatchOp) {
	if err := op.Finish(); err != nil {
		panic(fmt.Sprintf("pebble: finish a batch's op: %v", err))
	}
}

// hint wakes the shards that the unit's messages go to.
func (s *session) hint(u *message.Unit) {
	last := -1
	for i := range u.Writes {
		w := &u.Writes[i]
		if w.Table != message.TableOutbox || w.Op != message.Put || len(w.Key) < 2 {
			continue
		}
		to := binary.BigEndian.Uint16(w.Key)
		if int(to) == last {
			continue
		}
		last = int(to)
		select {
		case s.store.wake <- message.Shard(to):
		default:
		}
	}
}

// refused is a commit that was never submitted, or whose fate is unknown.
type refused struct{ err error }

func (r refused) Wait() error { return r.err }

// pending is a commit in the log.
type pending struct {
	session *session
	batch   *pebble.Batch
	version message.Version
}

// Wait waits for the sync. It may be called after the store was closed.
func (p *pending) Wait() error {
	st := p.session.store
	err := p.batch.SyncWait()
	if err != nil {
		err = st.failed.fail(err)
	} else {
		// Durable, but if the device has failed since then the process is to
		// end without another acknowledgement.
		err = st.failed.broken()
	}
	if err != nil {
		return fmt.Errorf("commit unit %d of shard %d: %w", p.version.Seq, p.session.number, err)
	}
	_ = p.batch.Close() // recycles it; can only fail for a batch that was closed before
	p.batch = nil
	p.session.shard.durable.raise(p.version)
	st.mark.touch()
	return nil
}
