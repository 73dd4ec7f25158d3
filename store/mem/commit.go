package mem

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Commit submits a unit. A local commit is never cancelled, so the context is
// not used.
func (s *Session) Commit(_ context.Context, u *message.Unit) store.Pending {
	d := s.store.disk
	var fault Fault
	if d.faults != nil {
		fault = d.faults(s.shard, u)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if fault.Err != nil && !fault.Applied {
		return &Pending{err: fault.Err}
	}
	if err := s.refuse(u); err != nil {
		return &Pending{err: fmt.Errorf("commit %d of shard %d: %w", u.Version.Seq, s.shard, err)}
	}
	s.apply(u)
	return &Pending{store: s.store, position: d.applied(), err: fault.Err}
}

// refuse says why a unit cannot be committed. disk.mu is held, and apply
// follows under the same lock: fence and write are one.
func (s *Session) refuse(u *message.Unit) error {
	if err := s.err(); err != nil {
		return err
	}
	at := s.store.disk.shards[s.shard].version
	if u.Version.Epoch != at.Epoch || u.Version.Seq != at.Seq+1 {
		return fmt.Errorf("%w: it is at epoch %d, unit %d, and the commit is for epoch %d, unit %d",
			store.ErrFenced, at.Epoch, at.Seq, u.Version.Epoch, u.Version.Seq)
	}
	if n, limit := u.Bytes(), s.store.disk.opt.maxUnitBytes; n > limit {
		return fmt.Errorf("%w: %d bytes, at most %d", store.ErrTooLarge, n, limit)
	}
	return nil
}

// apply makes the unit's writes and appends the record that can undo them.
func (s *Session) apply(u *message.Unit) {
	d := s.store.disk
	sh := &d.shards[s.shard]
	r := record{shard: s.shard, version: sh.version}
	for i := range u.Writes {
		w := &u.Writes[i]
		key := keyOf(w.RowKey)
		switch w.Op {
		case message.Put:
			r.undo = append(r.undo, sh.rows.put(key, clone(w.Value)))
			s.hint(w)
		case message.Delete:
			if p, had := sh.rows.delete(key); had {
				r.undo = append(r.undo, p)
			}
		case message.DeletePrefix:
			if w.Table == message.TableDedup {
				panic("mem: DeletePrefix in the dedup table")
			}
			r.undo = sh.rows.deleteRange(key, store.PrefixEnd(key), r.undo)
		default:
			panic(fmt.Sprintf("mem: there is no operation %d", w.Op))
		}
	}
	sh.version = u.Version
	d.append(r)
}

// hint wakes the destination of a message. A full channel loses the hint: it
// is full of others that nobody reads.
func (s *Session) hint(w *message.Write) {
	if w.Table != message.TableOutbox || len(w.Key) < 2 {
		return
	}
	select {
	case s.store.wake <- message.Shard(binary.BigEndian.Uint16(w.Key)):
	default:
	}
}

// Pending is a commit under way.
type Pending struct {
	store    *Store // nil when the commit was refused
	position uint64
	err      error // decided already
}

// Wait blocks until the commit is durable; without ManualSync it makes it so.
func (p *Pending) Wait() error {
	if p.store == nil {
		return p.err
	}
	d := p.store.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	for !p.ready() {
		d.changed.Wait()
	}
	if p.store.state == crashed {
		return fmt.Errorf("wait for the commit at %d: %w", p.position, ErrCrashed)
	}
	if p.err == nil {
		d.sync(p.position)
	}
	return p.err
}

// Ready says whether Wait would return without blocking, for a simulator that
// has only one goroutine.
func (p *Pending) Ready() bool {
	if p.store == nil {
		return true
	}
	p.store.disk.mu.RLock()
	defer p.store.disk.mu.RUnlock()
	return p.ready()
}

func (p *Pending) ready() bool {
	d := p.store.disk
	return p.err != nil || !d.opt.manualSync || p.position <= d.durable || p.store.state != running
}
