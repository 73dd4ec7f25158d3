package sim

import (
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// Leases are kept by the remote store and run by its clock (FAULTS 31). They
// decide who tries; the fence decides who may. A process is told apart from the
// one before it on the same node, and an acquire that is repeated because its
// answer was lost brings the same token back (FAULTS 27–29).

// lease is who may take it that a shard is its own.
type lease struct {
	holder *process
	token  uint64
	until  message.Time
	clean  bool // the last holder gave it up in order
	free   message.Time
}

// takeoverBound is how long a shard stays without an owner, at most, when its
// lease is over and some node was well all the time.
const takeoverBound = 2 * time.Second

// grant is what a process gets with a shard.
type grant struct {
	shard message.Shard
	rec   core.Recovered
	clean bool
	begin message.Time // that the shard had not passed
	token uint64
}

// acquire gives a process a shard that nobody has, and opens it; nil if there
// is none.
func (st *store) acquire(p *process, token uint64, has []bool) *grant {
	first := st.s.rng.intn(len(st.leases))
	for i := range st.leases {
		shard := message.Shard((first + i) % len(st.leases))
		if l := &st.leases[shard]; l.holder == p && l.token == token {
			st.s.reach(SameToken)
			return st.granted(shard, token, l.clean)
		}
	}
	for i := range st.leases {
		shard := message.Shard((first + i) % len(st.leases))
		l := &st.leases[shard]
		mine := l.holder == p && !has[shard]
		if has[shard] || l.holder != nil && l.until > st.s.now && !mine {
			continue
		}
		st.checkTakeover(l)
		switch {
		case l.holder == nil && l.clean:
			st.s.reach(TookClean)
		case l.holder != nil && l.holder != p:
			st.s.reach(TookUnclean)
		}
		if !mine {
			l.clean = l.holder == nil && l.clean
		}
		l.holder, l.token, l.until = p, token, st.s.now+message.Time(st.s.lease)
		st.open(shard, p)
		return st.granted(shard, token, l.clean)
	}
	return nil
}

func (st *store) granted(shard message.Shard, token uint64, clean bool) *grant {
	return &grant{shard: shard, rec: st.recovered(shard), clean: clean, begin: st.begin(shard), token: token}
}

// checkTakeover: a shard that can be taken is taken within a bound.
func (st *store) checkTakeover(l *lease) {
	s := st.s
	since := max(l.until, l.free)
	if s.now-since <= message.Time(takeoverBound) {
		return
	}
	for _, n := range s.nodes {
		if n.p != nil && !n.p.closing && n.well <= since && n.p.slowTo <= since && !s.chaos.on[Delay] {
			s.failf("a shard had no owner for %v although node %d was well", time.Duration(s.now-since), n.id)
		}
	}
}

// claim tries now and then to have a shard that nobody has.
func (p *process) claim() {
	s := p.s
	if p.claiming || p.closing {
		return
	}
	p.claiming = true
	if p.token == 0 {
		p.claims++
		p.token = uint64(p.n.runs)<<32 | p.claims
	}
	if p.claimed == nil || p.claimed.broken || p.claimed.timeline != s.store.timeline {
		p.claimed = p.connect()
	}
	sent, token, timeline := p.clock(), p.token, s.store.timeline
	has := make([]bool, len(p.sessions))
	for i, x := range p.sessions {
		has[i] = x != nil
	}
	again := func(soon bool) {
		p.claiming = false
		wait := s.rng.between(20*time.Millisecond, 80*time.Millisecond)
		if soon {
			wait = s.rng.between(0, 30*time.Millisecond)
		}
		p.after(wait, p.claim)
	}
	p.claimed.ask(func() func() {
		if timeline != s.store.timeline {
			return nil
		}
		g := s.store.acquire(p, token, has)
		if g != nil && s.strike(LostGrant) {
			return nil
		}
		return func() {
			p.token = 0
			if g != nil && timeline == s.store.timeline {
				p.take(g, sent, timeline)
			}
			again(g != nil)
		}
	}, func() { again(false) })
}

// take begins the session of a shard that was granted.
func (p *process) take(g *grant, sent message.Time, timeline uint64) {
	s := p.s
	if p.sessions[g.shard] != nil {
		s.failf("node %d is granted shard %d, which it has", p.n.id, g.shard)
		return
	}
	if g.rec.Version.Seq < p.known[g.shard] {
		s.reach(LossNoticed)
		if p.knownIn[g.shard] == timeline {
			s.failf("shard %d is at unit %d, unit %d was acknowledged, and there was no failover", g.shard, g.rec.Version.Seq, p.known[g.shard])
		}
		s.mix(0x1055, uint64(g.shard), uint64(p.known[g.shard]), uint64(g.rec.Version.Seq))
		p.known[g.shard] = g.rec.Version.Seq
	}
	offset := max(p.offset, g.begin-s.now)
	p.takeUp(g.shard, g.rec, g.clean, offset, timeline, g.token)
	x := p.sessions[g.shard]
	if x == nil {
		return
	}
	x.until = sent + message.Time(s.lease)
	x.step(func(message.Time) {})
}

// renew keeps the process's shards, and gives up those that it could not keep.
func (p *process) renew() {
	s := p.s
	p.after(message.Time(s.lease)/3, p.renew)
	sent := p.clock()
	for _, x := range p.sessions {
		if x == nil {
			continue
		}
		if x.until <= sent {
			s.reach(LeaseLapsed)
			x.lose("its lease is over")
			continue
		}
		if x.conn.broken {
			continue
		}
		x.conn.ask(func() func() {
			l := &s.store.leases[x.id]
			if l.holder != p || l.token != x.token || x.timeline != s.store.timeline {
				s.reach(RenewRefused)
				return func() { x.lose("its lease is another's") }
			}
			l.until = s.now + message.Time(s.lease)
			return func() { x.until = max(x.until, sent+message.Time(s.lease)) }
		}, func() { x.lose("a renewal was lost") })
	}
}

// giveAway ends a session in order, once nothing of it is under way. It reports
// false if that had begun before.
func (x *session) giveAway() bool {
	if x.closing {
		return false
	}
	x.closing = true
	x.m.Quiesce()
	tries := 0
	var look func()
	look = func() {
		s := x.s
		tries++
		x.step(func(message.Time) {})
		switch {
		case x.ended:
		case !x.m.HasUnit() && len(x.flights) == 0 && x.jobs == 0:
			x.released()
		case tries > 200:
			x.lose("it does not come to rest")
		default:
			x.after(s.rng.between(time.Millisecond, 8*time.Millisecond), look)
		}
	}
	x.after(0, look)
	return true
}

// released gives the lease up.
func (x *session) released() {
	s, p := x.s, x.p
	token, timeline := x.token, x.timeline
	x.end(nil)
	p.sessions[x.id] = nil
	if s.keep {
		s.tracef("node %d gives shard %d away", p.n.id, x.id)
	}
	p.connect().ask(func() func() {
		if l := &s.store.leases[x.id]; l.holder == p && l.token == token && timeline == s.store.timeline {
			*l = lease{clean: true, free: s.now}
		}
		return func() {}
	}, func() {})
}

// giveAllAway ends a process of a cluster in order.
func (p *process) giveAllAway() {
	left := 0
	for _, x := range p.sessions {
		if x != nil {
			left++
			x.giveAway()
		}
	}
	if left > 0 {
		p.after(p.s.rng.between(5*time.Millisecond, 20*time.Millisecond), p.giveAllAway)
		return
	}
	n, s := p.n, p.s
	p.after(message.Time(10*time.Millisecond), func() {
		p.dies()
		n.leap()
		s.after(s.rng.between(0, 100*time.Millisecond), func() { n.start(false) })
	})
}

// failover makes the standby the store. It has not all that was acknowledged:
// what is missing is lost, and everybody who was told of it is excused.
func (s *Sim) failover() {
	st := s.store
	st.sync(s.rng.intn(len(st.log) + 1))
	lost := st.lose()
	st.timeline++
	if s.opt.Broken.SurviveFailover {
		s.surviveFailover()
	} else {
		for i := range st.leases {
			l := &st.leases[i]
			l.until, l.free, l.token = min(l.until, s.now), s.now, 0
		}
	}
	for _, n := range s.nodes {
		n.ill(s.now)
	}
	s.mix(0xfa11, uint64(len(lost)))
	if s.keep {
		s.tracef("failover, %d entries of the log are lost", len(lost))
	}
	for _, e := range lost {
		s.excuse(e)
	}
}

// surviveFailover is a planted bug: sessions go on with the new store where its
// rows allow it, as through a pool that connects again and says nothing. Both
// halves of the fence are compared, and that is not enough: a machine may hold
// messages that it pulled of units which are lost, and an epoch may come again.
func (s *Sim) surviveFailover() {
	for _, n := range s.nodes {
		if n.p == nil {
			continue
		}
		for _, x := range n.p.sessions {
			if x != nil {
				x.timeline = s.store.timeline
			}
		}
	}
}
