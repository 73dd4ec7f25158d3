package sim

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// entry is one entry of the store's log: a unit, a session that was opened, or
// the leave to forget.
type entry struct {
	shard   message.Shard
	version message.Version // of a unit
	writes  []message.Write
	opened  message.Epoch
	retire  *core.Retire

	// What the checks want to know of a unit.
	steps  []*doneStep
	doubts map[message.ID]int // alarmed, with how often
	by     *process
	clock  message.Time
	gen    message.Generation // that its outcomes are recorded in
	oldest message.Generation // that is not forgotten
	feed   bool
}

// store is the model of a store with one log for all shards. What is visible
// is ahead of what is durable by the end of the log, which a crash of the
// embedded store loses, and of the remote one a failover.
type store struct {
	s                *Sim
	visible, durable []*rows
	log              []*entry // visible, not durable

	// Of the remote store alone.
	timeline  uint64 // raised by a failover; sessions do not outlive it
	leases    []lease
	stalledTo message.Time
}

func newStore(s *Sim, shards int) *store {
	st := &store{s: s, leases: make([]lease, shards), timeline: 1}
	for range shards {
		st.visible = append(st.visible, newRows())
		st.durable = append(st.durable, newRows())
	}
	return st
}

func newEntry(shard message.Shard, u *message.Unit) *entry {
	e := &entry{shard: shard, version: u.Version, writes: make([]message.Write, len(u.Writes))}
	arena := make([]byte, 0, u.Bytes())
	keep := func(b []byte) []byte {
		start := len(arena)
		arena = append(arena, b...)
		return arena[start:len(arena):len(arena)]
	}
	for i, w := range u.Writes {
		w.Key = keep(w.Key)
		w.Value = keep(w.Value)
		e.writes[i] = w
	}
	return e
}

// append makes an entry visible.
func (st *store) append(e *entry) {
	st.visible[e.shard].apply(e)
	st.log = append(st.log, e)
}

// errFence is why a store refuses.
type errFence struct {
	path Path
	text string
}

// commit applies a unit if both halves of the fence allow it. broken is a store
// with a planted bug.
func (st *store) commit(e *entry, timeline uint64) *errFence {
	r := st.visible[e.shard]
	switch {
	case timeline != st.timeline:
		return &errFence{FencedTimeline, fmt.Sprintf("timeline %d, now %d", timeline, st.timeline)}
	case e.version.Epoch != r.epoch && !st.s.opt.Broken.IgnoreEpoch:
		return &errFence{FencedEpoch, fmt.Sprintf("epoch %d, now %d", e.version.Epoch, r.epoch)}
	case e.version.Seq != r.seq+1 && !st.s.opt.Broken.IgnoreVersion:
		return &errFence{FencedVersion, fmt.Sprintf("unit %d after %d", e.version.Seq, r.seq)}
	}
	st.s.checkUnit(e)
	st.s.checkDoubts(e)
	st.append(e)
	return nil
}

// sync makes the first n entries of the log durable.
func (st *store) sync(n int) {
	for _, e := range st.log[:n] {
		st.durable[e.shard].apply(e)
	}
	st.log = st.log[n:]
}

// lose forgets the log: what was visible is what is durable. It returns what was
// lost.
func (st *store) lose() []*entry {
	lost := st.log
	for _, e := range lost {
		st.visible[e.shard].revert(e, st.durable[e.shard])
	}
	st.log = nil
	st.s.lostUnits(lost)
	return lost
}

// retire drops what retention lets go. An embedded store does it at once and
// for good; of the remote one it is an entry of the log like others.
func (st *store) retire(shard message.Shard, r core.Retire) {
	if st.s.cluster {
		st.append(&entry{shard: shard, retire: &r})
	} else {
		st.visible[shard].forget(r.Below)
		st.durable[shard].forget(r.Below)
	}
	for _, c := range r.Consumed {
		st.visible[c.Source].consumed(shard, c.Position)
		st.durable[c.Source].consumed(shard, c.Position)
	}
}

// open raises the epoch for a process. An embedded store syncs that before it
// says so.
func (st *store) open(shard message.Shard, p *process) {
	e := &entry{shard: shard, opened: st.visible[shard].epoch + 1}
	st.s.fences[shard].grant(e.opened, p)
	if st.s.cluster {
		st.append(e)
		return
	}
	st.visible[shard].apply(e)
	st.durable[shard].apply(e)
}

func (st *store) recovered(shard message.Shard) core.Recovered {
	r := st.visible[shard]
	rec := core.Recovered{
		Version: message.Version{Epoch: r.epoch, Seq: r.seq},
		Meta:    r.scan(message.TableMeta, ""), Controls: r.scan(message.TableControl, ""),
		Effects: r.scan(message.TableEffect, ""), Cursors: r.scan(message.TableCursor, "c"), New: r.seq == 0,
		Dead: len(r.tables[message.TableDead]),
	}
	if due := r.scan(message.TableDue, ""); len(due) > 0 {
		rec.NextDue = due[:1]
	}
	return rec
}

// read answers a load: with the values of its keys, or with timers.
func (st *store) read(shard message.Shard, l *core.Load) (values [][]byte, due []message.Row, following *message.Row) {
	r := st.visible[shard]
	if l.Due != nil {
		due, following = r.due(l.Due, l.Limit)
		return nil, due, following
	}
	values = make([][]byte, len(l.Keys))
	for i, k := range l.Keys {
		values[i] = bytes.Clone(r.get(k))
	}
	return values, nil, nil
}

// acked are the rows that say what was acknowledged: of an embedded store what
// is synced, of a remote one what it has.
func (s *Sim) acked(shard message.Shard) *rows {
	if s.cluster {
		return s.store.visible[shard]
	}
	return s.store.durable[shard]
}

// cloneRetire is a copy of a leave to forget, which the machine reuses.
func cloneRetire(r *core.Retire) core.Retire {
	return core.Retire{Below: r.Below, Consumed: slices.Clone(r.Consumed)}
}
