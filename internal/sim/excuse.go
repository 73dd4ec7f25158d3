package sim

import (
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// excuse notes what a failover lost: nobody can be held to what they were told
// of it. The system is not excused: the operator was told how much it is.
func (s *Sim) excuse(e *entry) {
	for _, st := range e.steps {
		for _, c := range st.changes {
			n := uint32(c.name)
			switch k := c.name.kind(); {
			case st.undone || k != nSeen && k != nAnswer && k != nEffect:
			case int(n) < len(s.clients.ops):
				s.excuseOp(s.clients.ops[n])
			case n>>24 > 0:
				s.clients.sources[n>>24-1].lost[uint64(n&0xffffff)] = true
			}
		}
	}
	for i := range e.writes {
		w := &e.writes[i]
		id := w.Key
		switch {
		case w.Table == message.TableEffect:
		case w.Table == message.TableCursor:
			s.excuseSource(w)
			continue
		case w.Table == message.TableDedup && w.Key[0] == 0xff:
			id = w.Key[1:]
		case w.Table == message.TableDedup || w.Table == message.TableOpen:
			if o := s.clients.byRow[string(w.Key)]; o != nil {
				s.excuseOp(o)
			}
			continue
		default:
			continue
		}
		if o := s.world.effects[message.ID(id)]; o != nil {
			s.reach(Excused)
			o.excused = true
			if int(o.ask.op) < len(s.clients.ops) {
				s.excuseOp(s.clients.ops[o.ask.op])
			}
		}
	}
	s.rewind()
}

// excuseSource: a source may have heard that a position was taken, or hear so
// yet, and never sends it again.
func (s *Sim) excuseSource(w *message.Write) {
	for _, src := range s.clients.sources {
		if w.Key[0] != 's' || string(w.Key) != string(src.cursor()) {
			continue
		}
		p, err := core.ReadPosition(w.RowKey, w.Value)
		if err != nil {
			s.failf("%v", err)
		}
		src.lost[p] = true
	}
}

// lostAll says whether a failover lost every position from one to another.
func (src *source) lostAll(from, to uint64) bool {
	for p := from; p <= to; p++ {
		if !src.lost[p] {
			return false
		}
	}
	return true
}

// cursor is the row key of the source's cursor.
func (src *source) cursor() []byte {
	return append(append([]byte("s"), src.agent.AppendKey(nil)...), src.name...)
}

// excuseOp: an op is excused until its outcome is told by the store that lost
// it. Its client asks again, as it would after any error, unless it wants the op
// done at most once.
func (s *Sim) excuseOp(o *op) {
	o.lostIn = s.store.timeline
	if o.excused {
		return
	}
	s.reach(Excused)
	o.excused = true
	if o.settled && o.key != "" && o.action != "quick" && !o.unknown {
		s.clients.reopen(o)
	}
}

// reopen lets the client of an op that has its outcome ask again.
func (c *clients) reopen(o *op) {
	o.settled = false
	c.unsure = append(c.unsure, o)
	c.again(o, 0, 500*time.Millisecond)
}

// outdated says whether a session speaks of an op as it was before the failover
// that lost it.
func (x *session) outdated(o *op) bool { return x.born < o.lostIn }

// judgedAnew forgets what was said before a failover of an op, as an outcome is
// told that is not lost.
func (s *Sim) judgedAnew(o *op) {
	if o.excused {
		s.reach(JudgedAnew)
		o.excused, o.final = false, nil
	}
}

// rewind lets the operator set the sources back to where the store is now.
func (s *Sim) rewind() {
	for _, src := range s.clients.sources {
		var at uint64
		k := message.RowKey{Table: message.TableCursor, Key: src.cursor()}
		if v := s.store.visible[s.shardOf(src.agent)].get(k); v != nil {
			n, err := core.ReadPosition(k, v)
			if err != nil {
				s.failf("%v", err)
			}
			at = n
		}
		src.acked = min(src.acked, at)
		if src.ended && src.acked < src.end {
			src.ended = false
			s.after(0, src.feed)
		}
	}
}
