package sim

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// fence is what the checks know of a shard by themselves, whatever the store
// compares: whose units are accepted, and how far its outboxes are.
type fence struct {
	epoch    message.Epoch
	owner    *process // to whom the store granted this epoch
	seq      message.Seq
	accepted map[message.Seq]*process
	outEnd   []uint64
}

func newFence(shards int) fence {
	return fence{accepted: make(map[message.Seq]*process), outEnd: make([]uint64, shards)}
}

// grant notes whose the units of an epoch are.
func (f *fence) grant(epoch message.Epoch, p *process) { f.epoch, f.owner = epoch, p }

// checkUnit judges a unit that the store accepts, before it is applied.
func (s *Sim) checkUnit(e *entry) {
	before, f := s.store.visible[e.shard], &s.fences[e.shard]
	s.mix(0x0417, uint64(e.shard), uint64(e.version.Epoch), uint64(e.version.Seq))
	if e.version.Epoch != f.epoch || e.by != f.owner {
		s.failf("shard %d: a unit of epoch %d is accepted, and the owner's is %d (of one process: %v)", e.shard, e.version.Epoch, f.epoch, e.by == f.owner)
	}
	if e.version.Seq != f.seq+1 {
		s.failf("shard %d: unit %d is accepted after %d", e.shard, e.version.Seq, f.seq)
	}
	f.seq = e.version.Seq
	f.accepted[e.version.Seq] = e.by
	moved := make(map[string]uint64)
	for i := range e.writes {
		w := &e.writes[i]
		s.mix(uint64(w.Table)<<8|uint64(w.Op), xxh3.Hash(w.Key), xxh3.Hash(w.Value))
		if s.keep {
			s.tracef("shard %d unit %d: table %d gen %d op %d %q %x", e.shard, e.version.Seq, w.Table, w.Gen, w.Op, w.Key, w.Value)
		}
		s.checkWrite(e, w, before, moved)
	}
	s.checkFold(e, before)
	e.noteWithdrawals()
	s.checkChanges(e)
}

func (s *Sim) checkWrite(e *entry, w *message.Write, before *rows, moved map[string]uint64) {
	if w.Op != message.Put {
		return
	}
	switch w.Table {
	case message.TableOutbox:
		dst, end := binary.BigEndian.Uint16(w.Key), s.fences[e.shard].outEnd
		if p := binary.BigEndian.Uint64(w.Key[2:]); p != end[dst]+1 {
			s.failf("shard %d writes position %d of its outbox to %d after %d", e.shard, p, dst, end[dst])
		}
		end[dst]++
	case message.TableCursor:
		s.checkCursor(e, w, before, moved)
	case message.TableDedup:
		if g, there := before.latest[string(w.Key)]; w.Key[0] != 0xff && there && g >= e.oldest {
			v := before.dedup[g][string(w.Key)]
			o, _ := core.ReadOutcome(message.RowKey{Table: message.TableDedup, Gen: g, Key: w.Key}, v)
			s.failf("the outcome of %q is recorded twice: %+v in generation %d, now in %d", w.Key, o, g, w.Gen)
		}
	case message.TableEffect:
		if !s.cluster {
			return
		}
		v, err := core.ReadEffect(w.RowKey, w.Value)
		if err != nil {
			s.failf("%v", err)
			return
		}
		if o := s.world.effects[v.ID]; o == nil {
			s.failf("a row of effect %s, which nobody asked for", v.ID)
		} else if v.Started {
			o.recorded[v.Attempts] = true
		}
	}
}

// checkCursor: a source's messages are taken in order; those of another shard
// only when they are committed there, those of an outside source one by one.
func (s *Sim) checkCursor(e *entry, w *message.Write, before *rows, moved map[string]uint64) {
	was, err := moved[string(w.Key)], error(nil)
	if v := before.get(w.RowKey); was == 0 && v != nil {
		was, err = core.ReadPosition(w.RowKey, v)
	}
	n, err2 := core.ReadPosition(w.RowKey, w.Value)
	if err != nil || err2 != nil || n <= was {
		s.failf("cursor %q moves from %d to %d: %v %v", w.Key, was, n, err, err2)
	}
	moved[string(w.Key)] = n
	if w.Key[0] == 'c' {
		src := binary.BigEndian.Uint16(w.Key[1:])
		if end := s.fences[src].outEnd[e.shard]; n > end && src != uint16(e.shard) {
			s.failf("shard %d consumes position %d of shard %d, which has committed %d", e.shard, n, src, end)
		}
		return
	}
	if n != was+1 {
		for _, src := range s.clients.sources {
			if string(w.Key) == string(src.cursor()) && src.lostAll(was+1, n-1) {
				return // they went with a failover
			}
		}
		s.failf("cursor %q moves from %d to %d and leaves a gap", w.Key, was, n)
	}
}

// checkAcked: a commit that is acknowledged was accepted, of this process.
func (x *session) checkAcked(seq message.Seq) {
	s := x.s
	if s.cluster && x.born != s.store.timeline {
		return
	}
	if by := s.fences[x.id].accepted[seq]; by != x.p {
		s.failf("unit %d of shard %d is acknowledged to node %d, whose it is not (%v)", seq, x.id, x.p.n.id, by != nil)
	}
}

// lostUnits takes back what the checks know of units that are lost.
func (s *Sim) lostUnits(lost []*entry) {
	for _, e := range lost {
		r, f := s.store.visible[e.shard], &s.fences[e.shard]
		for seq := f.seq; seq > r.seq; seq-- {
			delete(f.accepted, seq)
			delete(s.owed[e.shard], seq)
		}
		f.seq, f.epoch = r.seq, 0
		e.loseWithdrawals(r.seq)
		s.lostDecisions(e.shard, r.seq)
		for dst := range f.outEnd {
			k := message.RowKey{Table: message.TableMeta, Key: binary.BigEndian.AppendUint16([]byte("o"), uint16(dst))}
			f.outEnd[dst] = 0
			if v := r.get(k); v != nil {
				n, err := core.ReadPosition(k, v)
				if err != nil {
					s.failf("%v", err)
				}
				f.outEnd[dst] = n
			}
		}
	}
}

// checkGauges holds what a machine says of itself against its rows, when it has
// nothing that they do not have.
func (x *session) checkGauges() {
	s := x.s
	r := s.store.visible[x.id]
	if n := len(r.tables[message.TableEffect]); x.m.HasUnit() || n > 8 && s.counts.Units%8 != 0 {
		return
	}
	got := x.m.Gauges()
	want := core.Gauges{
		Agents: got.Agents, CachedBytes: got.CachedBytes, Paused: x.m.RetentionPaused(),
		Effects: len(r.tables[message.TableEffect]), Dead: len(r.tables[message.TableDead]),
	}
	doubts := make(map[message.ID]bool) // whether somebody waits
	for k, v := range r.tables[message.TableEffect] {
		e, err := core.ReadEffect(message.RowKey{Table: message.TableEffect, Key: []byte(k)}, v)
		if err != nil {
			s.failf("%v", err)
			return
		}
		if !e.InDoubt {
			continue
		}
		want.Doubts++
		doubts[e.ID] = !e.Withdrawn
		if o := s.world.effects[e.ID]; e.Withdrawn && o != nil && o.withdrawn != nil && o.withdrawn.told != 0 {
			s.reach(WithdrawnDoubt)
		}
		at := e.StartedAt
		if at == 0 {
			at = e.AskedAt
		}
		if want.OldestDoubt == 0 || at < want.OldestDoubt {
			want.OldestDoubt = at
		}
	}
	for _, end := range s.fences[x.id].outEnd {
		want.Sent += end
	}
	for k, v := range r.tables[message.TableCursor] {
		if k[0] != 'c' || len(k) != 3 {
			continue
		}
		n, err := core.ReadPosition(message.RowKey{Table: message.TableCursor, Key: []byte(k)}, v)
		if err != nil {
			s.failf("%v", err)
		}
		want.Taken += n
	}
	x.checkOrigins(r, doubts)
	if got != want {
		s.failf("the gauges of shard %d are\n%+v, its rows say\n%+v", x.id, got, want)
	}
}

// String is for failures.
func (e *entry) String() string { return fmt.Sprintf("unit %v of shard %d", e.version, e.shard) }
