package sim

import (
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// session is a process's right to change a shard, with the machine that does
// it. It follows internal/engine: what waits for a unit is let go when that is
// durable, and whatever the store says but yes ends the session.
type session struct {
	s      *Sim
	p      *process
	id     message.Shard
	m      *core.Shard
	epoch  message.Epoch
	offset message.Time // of its clock: the process's, unless the shard had come further
	began  message.Time // in the simulation's time
	ended  bool

	held      held // waits for the open unit
	flights   []*flight
	acked     message.Seq
	calls     []*call // that the machine has
	reading   int     // loads that did not come back
	jobs      int     // calls and probes of effects that did not come back
	steps     []*doneStep
	tickAt    message.Time
	tried     message.Time       // when a suspect was on trial last, which others wait for
	doubts    map[message.ID]int // alarmed since the last unit was sealed
	conflicts int                // alarmed
	heir      bool               // it knows what the last session of its process did
	sealing   bool
	closing   bool // it is given away when nothing is under way

	// Of the remote store alone.
	timeline uint64
	born     uint64 // the timeline that it was opened in
	token    uint64
	until    message.Time // the lease, as the process's clock and its last renewal have it
	conn     *connection
}

// held is what waits for a unit to be durable.
type held struct {
	answers []core.AnswerTo
	jobs    []core.EffectJob
	wakes   []message.Shard
}

// flight is a unit on its way to being durable.
type flight struct {
	seq     message.Seq
	refused bool // the store said that it is not, and will not be, committed
	unknown bool // the store did not say
	held    held
}

// call is one caller of the machine.
type call struct {
	caller core.Caller
	q      *request
	at     message.Time // when it came, by the machine's clock
	index  int          // among the session's
}

func (x *session) clock() message.Time { return x.s.now + x.offset }

func (x *session) after(d message.Time, fn func()) {
	x.p.after(d, func() {
		if !x.ended {
			fn()
		}
	})
}

// begin makes the machine of a session.
func (p *process) begin(id message.Shard, rec core.Recovered, offset message.Time, timeline, token uint64) {
	s := p.s
	x := &session{s: s, p: p, id: id, epoch: rec.Version.Epoch, offset: offset, began: s.now, acked: rec.Version.Seq, timeline: timeline, born: timeline, token: token}
	cfg := s.cfg
	cfg.Shard, cfg.Feed = id, p.feed
	m, err := core.New(cfg, p.behavior, x.clock(), rec)
	if err != nil {
		s.failf("shard %d does not start: %v", id, err)
		return
	}
	x.m = m
	p.sessions[id] = x
	s.begun[id] = append(s.begun[id], x)
	if last := s.last[id]; last == nil || x.follows(last) {
		s.last[id] = x // else its process was so late that others had the shard meanwhile
	}
	p.knows(id, rec.Version.Seq)
	if s.cluster {
		x.conn = p.connect()
	}
	if x.clock() < s.store.visible[id].clock {
		s.reach(Backwards)
		s.backwards[id] = true
	}
	s.mix(0xbe, uint64(id), uint64(x.epoch), uint64(rec.Version.Seq))
	if s.keep {
		s.tracef("node %d has shard %d, epoch %d, after unit %d, unclean %v", p.n.id, id, x.epoch, rec.Version.Seq, rec.Unclean)
	}
}

// knows remembers that units are durable, as far as the process was told.
func (p *process) knows(id message.Shard, seq message.Seq) {
	if p.known[id] < seq {
		p.known[id], p.knownIn[id] = seq, p.s.store.timeline
	}
}

// follows says whether a session was opened after another one of its shard.
func (x *session) follows(y *session) bool {
	return x.timeline > y.timeline || x.timeline == y.timeline && x.epoch > y.epoch
}

// successor is the first session to begin of those that were opened after this
// one; nil if there is none.
func (x *session) successor() *session {
	for _, y := range x.s.begun[x.id] {
		if y.follows(x) {
			return y
		}
	}
	return nil
}

// step lets one event into the machine and does what follows.
func (x *session) step(event func(now message.Time)) {
	s := x.s
	if x.ended || s.failure != "" {
		return
	}
	s.counts.Steps++
	s.running = x
	event(x.clock())
	if !x.ended {
		if x.m.OnTrial() {
			x.tried = s.now
		}
		x.follow()
	}
}

// follow does what the machine wants after an event, and now and then lets
// something befall its process.
func (x *session) follow() {
	s := x.s
	for range pick(s.rng, 1, 1, 3) { // what waits for a unit may fill the next one, and the engine goes on with both
		if x.p.killed {
			s.reach(Killed)
			x.p.crash(0)
			return
		}
		x.work()
		if x.ended || !x.m.HasUnit() || len(x.flights) >= s.inFlight {
			break // the next acknowledgement goes on
		}
		if !x.m.Full() && s.rng.intn(3) != 0 {
			x.sealLater()
			break
		}
		if !x.seal() {
			return
		}
	}
	if x.p.killed {
		s.reach(Killed)
		x.p.crash(0)
		return
	}
	x.work()
	if x.ended {
		return
	}
	x.scheduleTick()
	x.p.grantTrial()
	if x.m.Full() && s.rng.oneIn(4) {
		s.reach(Rushed)
		x.after(0, func() { s.clients.rush(x) })
	}
	x.befall()
}

func (x *session) sealLater() {
	if x.sealing {
		return
	}
	x.sealing = true
	x.after(x.s.rng.between(0, 4*time.Millisecond), func() {
		x.sealing = false
		x.step(func(message.Time) {
			if len(x.flights) < x.s.inFlight {
				x.seal()
			}
		})
	})
}

// befall is where the faults strike that may come at any time.
func (x *session) befall() {
	s, p := x.s, x.p
	if s.chaos.calm {
		return
	}
	switch {
	case s.strike(Crash):
		p.crash(0)
	case s.strike(Reopen):
		if s.cluster {
			x.lose("its connection broke")
		} else if !p.reopenAll() {
			s.missed(Reopen)
		}
	case s.strike(Stop):
		p.stop()
	case s.strike(Stall):
		s.stall()
	case s.strike(Slow):
		p.stutter(s.now + s.draw(Slow).between(50*time.Millisecond, time.Second))
	}
	if !s.cluster || s.failure != "" {
		return
	}
	// These may befall any node.
	if s.strike(Pause) {
		s.befallen(Pause, func(p *process, r *rng) bool { return p.sleeps(r.between(10*time.Millisecond, 3*time.Second), false) })
	}
	if s.strike(Suspend) {
		s.befallen(Suspend, func(p *process, r *rng) bool { return p.sleeps(r.between(10*time.Millisecond, 3*time.Second), true) })
	}
	if s.strike(Partition) {
		s.befallen(Partition, func(p *process, _ *rng) bool {
			s.partition(p.n)
			return true
		})
	}
	if s.strike(Failover) {
		s.after(0, s.failover)
	}
	if s.strike(Handover) {
		s.befallen(Handover, func(p *process, _ *rng) bool {
			for _, x := range p.sessions {
				if x != nil {
					return x.giveAway()
				}
			}
			return false
		})
	}
}

// befallen lets something befall one of the nodes. What finds no process, or one
// to which the same is happening, does not count.
func (s *Sim) befallen(k Kind, f func(*process, *rng) bool) {
	r := s.draw(k)
	if p := s.nodes[r.intn(len(s.nodes))].p; p == nil || !f(p, r) {
		s.missed(k)
	}
}

// stutter keeps a process from the processor most of the time.
func (p *process) stutter(until message.Time) {
	p.slowTo = until
	var turn func()
	turn = func() {
		if p.slowTo <= p.s.now {
			return
		}
		p.sleeps(p.s.rng.between(10*time.Millisecond, 60*time.Millisecond), false)
		p.after(p.s.rng.between(60*time.Millisecond, 70*time.Millisecond), turn)
	}
	p.after(0, turn)
}

// stall makes the store's device hang.
func (s *Sim) stall() {
	st := s.store
	st.stalledTo = max(st.stalledTo, s.now+s.draw(Stall).between(100*time.Millisecond, 4*time.Second))
	for _, n := range s.nodes {
		n.ill(st.stalledTo)
	}
	if s.keep {
		s.tracef("the store's device hangs")
	}
}

func (x *session) scheduleTick() {
	next := x.m.NextTick()
	if next == 0 {
		return
	}
	at := max(next-x.offset, x.s.now)
	if x.tickAt != 0 && x.tickAt <= at {
		return
	}
	x.tickAt = at
	x.after(at-x.s.now+x.s.rng.between(0, 300*time.Microsecond), func() {
		if x.tickAt == at {
			x.tickAt = 0
			x.step(x.m.Tick)
		}
	})
}

// submit gives the machine a caller's message or request.
func (x *session) submit(q *request, accept bool, do func(now message.Time, c *core.Caller)) *call {
	c := &call{q: q, at: x.clock(), index: len(x.calls)}
	c.caller = core.Caller{Data: c, Accept: accept}
	x.calls = append(x.calls, c)
	x.step(func(now message.Time) { do(now, &c.caller) })
	return c
}

func (x *session) cancel(c *call) {
	if c.index >= 0 && !x.ended {
		x.step(func(now message.Time) { x.m.Cancel(now, &c.caller) })
	}
}

// takeCall takes a call back from the machine, which answered it.
func (x *session) takeCall(c *call) {
	if c.index < 0 {
		x.s.failf("%s is answered twice by one machine", c.q.what)
		return
	}
	last := len(x.calls) - 1
	x.calls[c.index] = x.calls[last]
	x.calls[c.index].index = c.index
	x.calls = x.calls[:last]
	c.index = -1
}
