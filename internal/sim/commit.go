package sim

import (
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// seal commits the open unit. It reports whether the session lives on.
func (x *session) seal() bool {
	s := x.s
	if !x.m.HasUnit() {
		return true
	}
	n, counted := len(x.steps), x.m.Counted()
	gen, oldest := x.m.CurrentGeneration(), x.m.OldestGeneration()
	u := x.m.Seal() // it may go on with steps for the next unit
	if u.Bytes() > counted || counted > s.cfg.MaxUnitBytes {
		s.failf("a unit of %d bytes, of which %d were counted; at most %d are allowed", u.Bytes(), counted, s.cfg.MaxUnitBytes)
	}
	if x.p.killed {
		s.reach(Killed)
		x.p.crash(0)
		return false
	}
	if s.strike(Unsent) {
		x.p.crash(0)
		return false
	}
	e := newEntry(x.id, u)
	e.steps, e.by, e.clock, e.gen, e.oldest, e.feed = x.steps[:n:n], x.p, x.clock(), gen, oldest, x.p.feed
	x.steps = append([]*doneStep(nil), x.steps[n:]...)
	e.doubts, x.doubts = x.doubts, nil
	f := &flight{seq: u.Version.Seq, held: x.held}
	f.held.wakes = append(f.held.wakes, x.m.TakeWakes()...)
	x.held = held{}
	x.flights = append(x.flights, f)
	s.counts.Units++
	if s.cluster {
		x.send(e, f)
		return true
	}
	if no := s.store.commit(e, s.store.timeline); no != nil {
		s.failf("shard %d: %s", x.id, no.text)
		return false
	}
	x.checkGauges()
	x.hint(f.held.wakes) // a unit is visible once it was submitted
	f.held.wakes = nil
	x.p.after(s.rng.between(0, 6*time.Millisecond), x.p.sync)
	return true
}

// sync makes units of the embedded store durable and acknowledges them, later.
func (p *process) sync() {
	s, st := p.s, p.s.store
	if st.stalledTo > s.now {
		p.after(st.stalledTo-s.now, p.sync)
		return
	}
	n := len(st.log)
	if n > 0 && !s.chaos.calm {
		n = s.rng.intn(n + 1)
	}
	if n > 0 {
		st.sync(n)
	}
	if len(st.log) > 0 {
		p.after(s.rng.between(0, 3*time.Millisecond), p.sync)
	}
	if n == 0 {
		return
	}
	for _, x := range p.sessions {
		if x == nil {
			continue
		}
		if seq := st.durable[x.id].seq; seq > x.acked {
			x.after(s.rng.between(0, 3*time.Millisecond), func() { x.committed(seq) })
		}
	}
}

// committed hears that units are durable: what waited for them may go.
func (x *session) committed(seq message.Seq) {
	if seq <= x.acked {
		return
	}
	x.acked = seq
	if x.born == x.s.store.timeline {
		x.p.knows(x.id, seq)
	}
	for len(x.flights) > 0 && x.flights[0].seq <= seq {
		f := x.flights[0]
		x.flights = x.flights[1:]
		x.release(&f.held)
		if x.ended {
			return
		}
	}
	x.step(func(message.Time) { x.m.Committed(seq) })
}

// send submits a unit to the remote store.
func (x *session) send(e *entry, f *flight) {
	s := x.s
	commit := func() func() {
		if no := s.store.commit(e, x.timeline); no != nil {
			s.reach(no.path)
			return func() { x.refused(f, no) }
		}
		if s.strike(LostCommit) {
			return nil
		}
		return func() {
			if !x.ended {
				x.checkAcked(f.seq)
				x.committed(f.seq)
			}
		}
	}
	x.conn.ask(commit, func() {
		f.unknown = true
		x.lose("the answer to a commit was lost")
	})
	if s.strike(TwiceSent) { // by a proxy or a pool, which nobody hears of
		x.conn.ask(func() func() {
			if no := s.store.commit(e, x.timeline); no != nil {
				s.reach(no.path)
			}
			return func() {}
		}, func() {})
	}
}

// refused hears that a unit is not committed and never will be.
func (x *session) refused(f *flight, no *errFence) {
	if x.ended {
		return
	}
	f.refused = true
	x.lose("fenced: " + no.text)
}

// askAsOwner asks the store for something that only the shard's owner may have:
// a former owner's view of it would be torn between two times. It goes the way
// of the commits, because a read must show every unit that was sent before it.
func (x *session) askAsOwner(do func() func()) {
	s := x.s
	x.conn.ask(func() func() {
		former := x.timeline != s.store.timeline || s.store.visible[x.id].epoch != x.epoch
		if former && !s.opt.Broken.ReadsUnfenced {
			s.reach(FencedRead)
			return func() {
				if !x.ended {
					x.lose("a read was fenced")
				}
			}
		}
		answer := do()
		return func() {
			if !x.ended {
				answer()
			}
		}
	}, func() {
		if !x.ended {
			x.lose("a read was lost")
		}
	})
}

// answer lets an answer go to its caller.
func (x *session) answer(a core.AnswerTo) {
	c := a.Caller.Data.(*call)
	x.s.counts.Answers++
	x.checkReleased(c, a.Answer)
	x.s.clients.reply(x, c.q, a.Answer)
}
