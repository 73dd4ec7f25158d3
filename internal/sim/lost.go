package sim

import (
	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// lost is what is left of a session that ended while its process lives on.
type lost struct {
	machine  *core.Shard
	epoch    message.Epoch // of the last session that the process had
	flights  []*flight     // whose fate is not known
	uncalled map[message.ID]int
	timeline uint64 // ... and the store's, then: after a failover epochs are given again
	alone    bool   // nobody else had one since
}

var (
	// What was not committed is certainly not done.
	notDone       = &message.Fault{Code: message.CodeStoreUnavailable, Detail: "not executed"}
	commitUnknown = &message.Fault{Code: message.CodeCommitUnknown, Detail: "the store did not say"}
	acceptedGoes  = &message.Fault{Code: message.CodeInFlight, Detail: "it was accepted and goes on; ask again with the same key"}
)

// lose ends the session of a remote store; the process tries to have the shard
// again.
func (x *session) lose(why string) {
	if x.ended {
		return
	}
	p, s := x.p, x.s
	if s.keep {
		s.tracef("node %d loses shard %d: %s", p.n.id, x.id, why)
	}
	s.mix(0x10, uint64(p.n.id), uint64(x.id))
	p.lost[x.id] = x.end(p.lost[x.id])
	p.sessions[x.id] = nil
	p.n.ill(s.now)
	if p.granted == x {
		p.granted = nil
	}
}

// end gives up what the session held: calls whose unit was never submitted are
// not done; those of units in question wait for what the next Open says.
func (x *session) end(before *lost) *lost {
	x.ended = true
	open, calls := x.held, x.calls
	durable := !x.m.HasUnit() && x.m.Sealed() == x.acked
	x.held, x.calls = held{}, nil
	x.finish(&open, notDone)
	for _, c := range calls {
		c.index = -1
		switch {
		case !c.caller.InFlight():
			x.fault(c, notDone)
		case durable:
			x.fault(c, acceptedGoes)
		default:
			x.fault(c, commitUnknown)
		}
	}
	l := &lost{machine: x.m, epoch: x.epoch, timeline: x.timeline, flights: x.flights, uncalled: make(map[message.ID]int), alone: true}
	if before != nil {
		l.flights = append(before.flights, l.flights...)
	}
	x.flights = nil
	x.settle(l, nil)
	return l
}

// settle answers what waited for units in question, as far as their fate is
// known: a refusal is the truth, and so it is for every unit behind it. Of the
// others the version that the next Open returns decides: a unit that the shard
// never came to is not committed; one that it came to is this process's only if
// nobody else had the shard in between.
func (x *session) settle(l *lost, opened *message.Version) {
	s := x.s
	var unknown []*flight
	refused := false
	for _, f := range l.flights {
		refused = refused || f.refused
		switch {
		case refused || opened != nil && f.seq > opened.Seq:
			if opened != nil {
				s.reach(UnknownNot)
			}
			x.finish(&f.held, notDone)
		case opened != nil && l.alone:
			s.reach(UnknownDone)
			x.checkAcked(f.seq)
			x.finish(&f.held, nil)
			for _, j := range f.held.jobs {
				if !j.Probe {
					s.reach(UncalledTaken)
					l.uncalled[j.ID] = j.Attempt
				}
			}
			x.hint(f.held.wakes)
		case opened != nil:
			s.reach(UnknownEver)
			x.finish(&f.held, commitUnknown)
			x.hint(f.held.wakes) // a false hint does no harm
		default:
			unknown = append(unknown, f)
		}
	}
	l.flights = unknown
}

// finish answers who waits: as the machine did, unless a fault says otherwise.
// That the unit is lost says nothing of what happened before it.
func (x *session) finish(h *held, f *message.Fault) {
	for i := range h.answers {
		a := &h.answers[i]
		c := a.Caller.Data.(*call)
		switch {
		case f == nil:
			x.answer(*a)
		case a.Answer.Replayed || a.Caller.Accepted() || a.Answer.Fault != nil && a.Answer.Fault.Code.Kind() == message.Unknown:
			x.fault(c, commitUnknown)
		default:
			x.fault(c, f)
		}
	}
	h.answers = nil
}

func (x *session) fault(c *call, f *message.Fault) {
	x.s.counts.Answers++
	if f == notDone {
		x.checkNotDone(c)
	}
	x.s.clients.reply(x, c.q, core.Answer{Fault: f})
}

// takeUp begins a session of a shard that the process may have had before.
func (p *process) takeUp(id message.Shard, rec core.Recovered, clean bool, offset message.Time, timeline, token uint64) {
	s := p.s
	rec.Calling = make(map[message.ID]bool)
	for id := range p.calling {
		rec.Calling[id] = true
	}
	l := p.lost[id]
	p.lost[id] = nil
	if l == nil {
		rec.Unclean = !clean
		p.begin(id, rec, offset, timeline, token)
		return
	}
	former := &session{s: s, p: p, id: id, m: l.machine, epoch: l.epoch, offset: offset, ended: true, timeline: timeline, born: timeline}
	l.alone = l.alone && rec.Version.Epoch == l.epoch+1 && timeline == l.timeline && l.machine != nil
	former.settle(l, &rec.Version)
	rec.Unclean = !clean
	if l.alone { // nothing ended a process in between
		if err := l.machine.HandOver(&rec, l.uncalled); err != nil {
			s.failf("%v", err)
			return
		}
	}
	p.begin(id, rec, offset, timeline, token)
	if x := p.sessions[id]; x != nil {
		x.heir = l.alone
	}
}
