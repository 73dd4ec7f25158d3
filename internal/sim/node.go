package sim

import (
	"slices"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// node is a machine that runs a process, one after the other.
type node struct {
	s    *Sim
	id   int
	p    *process // nil while there is none
	wall message.Time
	cut  [fars]message.Time // until when a way is cut
	well message.Time       // since when nothing keeps it from its work
	runs int
}

// ill says that something keeps the node from its work until a time.
func (n *node) ill(until message.Time) { n.well = max(n.well, until) }

// process is one run of the program. Its clock begins at the machine's and is
// not moved while it runs (FAULTS 30).
type process struct {
	s        *Sim
	n        *node
	dead     bool
	resume   message.Time // it sleeps until then
	slowTo   message.Time // it is late with everything until then
	offset   message.Time // of its clock
	behavior core.Behavior
	effects  map[string]*core.Effect
	feed     bool
	killed   bool // a message killed it
	closing  bool // it ends in order
	sessions []*session
	lost     []*lost       // what is left of sessions, by shard
	known    []message.Seq // the last unit of each shard of which this process knows that it is durable
	knownIn  []uint64      // ... and in which timeline
	granted  *session      // whose suspect is on trial
	trials   []*session
	calling  map[message.ID]int // calls of effects that did not come back

	claims   uint64 // numbers tokens
	claiming bool
	token    uint64 // of a claim whose answer did not come
	claimed  *connection
}

func (p *process) clock() message.Time { return p.s.now + p.offset }

// start begins a process. An embedded one has all shards at once.
func (n *node) start(unclean bool) {
	s := n.s
	n.runs++
	p := &process{s: s, n: n, offset: n.wall, effects: usualEffects(), calling: make(map[message.ID]int), sessions: make([]*session, s.cfg.Shards),
		lost: make([]*lost, s.cfg.Shards), known: make([]message.Seq, s.cfg.Shards), knownIn: make([]uint64, s.cfg.Shards)}
	n.p = p
	n.well = max(n.well, s.now)
	p.behavior = core.Behavior{Types: s.agentTypes, Effects: p.effects}
	p.declare()
	p.feed = s.keepsFeed()
	s.mix(0x57, uint64(n.id), uint64(p.clock()))
	if s.keep {
		s.tracef("node %d starts, unclean %v, clock %d", n.id, unclean, p.clock())
	}
	if s.cluster {
		p.after(s.rng.between(0, 20*time.Millisecond), p.claim)
		p.after(message.Time(s.lease)/3, p.renew)
		return
	}
	p.openAll(unclean)
}

// openAll opens every shard of an embedded store.
func (p *process) openAll(unclean bool) {
	s := p.s
	for i := range p.sessions { // the system's clock may have gone back
		p.offset = max(p.offset, s.store.begin(message.Shard(i))-s.now)
	}
	for i := range p.sessions {
		s.store.open(message.Shard(i), p)
		rec := s.store.recovered(message.Shard(i))
		rec.Unclean = unclean
		p.begin(message.Shard(i), rec, p.offset, s.store.timeline, 0)
		if s.failure != "" {
			return
		}
	}
	p.stepAll()
}

// begin is a time that the shard has not passed.
func (st *store) begin(shard message.Shard) message.Time {
	at, err := core.ClockOf(st.visible[shard].scan(message.TableMeta, "clock"))
	if err != nil {
		st.s.failf("%v", err)
	}
	return at
}

// dies ends the process. What it began in the outside world goes on.
func (p *process) dies() {
	s := p.s
	p.dead = true
	p.n.p = nil
	p.n.ill(s.now)
	for _, x := range p.sessions {
		if x != nil {
			x.ended = true
		}
	}
	s.clients.processEnded(p)
}

// crash ends the process without warning. An embedded store loses a part of
// what it had not synced.
func (p *process) crash(again int) {
	s, n := p.s, p.n
	s.mix(0xcc, uint64(n.id), uint64(again))
	if s.keep {
		s.tracef("node %d crashes", n.id)
	}
	if !s.cluster {
		s.store.sync(s.rng.intn(len(s.store.log) + 1))
		s.store.lose()
	}
	p.dies()
	n.leap()
	if again == 3 {
		s.reach(ThreeCrashes)
	}
	downtime := s.rng.between(0, 50*time.Millisecond)
	if s.cluster && s.rng.oneIn(3) {
		downtime = s.rng.between(0, 2*time.Second)
	}
	n.ill(s.now + downtime)
	s.after(downtime, func() {
		n.start(true)
		if again < 3 && n.p != nil && s.strike(Relapse) {
			p := n.p
			if s.cluster { // let it come as far as to take a shard
				p.after(s.rng.between(0, 100*time.Millisecond), func() { p.crash(again + 1) })
			} else {
				p.crash(again + 1)
			}
		}
	})
}

// leap moves the machine's clock while no process looks at it.
func (n *node) leap() {
	if n.s.strike(Leap) {
		r := n.s.draw(Leap)
		n.wall += pick(r, -message.Time(2e9), -message.Time(1e8), message.Time(5e8), message.Time(3e9), message.Time(8e9))
	}
}

// sleeps stops the process for a while; its clock may stand still meanwhile. It
// reports false if the process sleeps already.
func (p *process) sleeps(d message.Time, suspended bool) bool {
	s := p.s
	if p.resume > s.now {
		return false
	}
	p.resume = s.now + d
	p.n.ill(p.resume)
	if s.keep {
		s.tracef("node %d sleeps for %.1f ms, suspended %v", p.n.id, float64(d)/1e6, suspended)
	}
	if suspended {
		p.after(d, func() { // before everything that waits for it to wake
			p.offset -= d
			for _, x := range p.sessions {
				if x != nil {
					x.offset -= d
				}
			}
		})
	}
	return true
}

// stop ends the process in order.
func (p *process) stop() {
	s := p.s
	if s.cluster {
		p.closing = true
		p.after(0, p.giveAllAway)
		return
	}
	for _, x := range p.sessions {
		for range 100 {
			x.work()
			if !x.m.HasUnit() || !x.seal() {
				break
			}
		}
		if p.dead {
			return
		}
	}
	s.store.sync(len(s.store.log))
	if s.keep {
		s.tracef("stop")
	}
	n := p.n
	p.dies()
	n.leap()
	s.after(s.rng.between(0, 50*time.Millisecond), func() { n.start(false) })
}

// reopenAll loses the sessions of an embedded store, as when its commit fails,
// but not the process: the calls that it began go on. It reports false if the
// last time is not over.
func (p *process) reopenAll() bool {
	s := p.s
	if slices.Contains(p.sessions, nil) {
		return false
	}
	s.store.sync(s.rng.intn(len(s.store.log) + 1))
	s.store.lose()
	if s.keep {
		s.tracef("reopen")
	}
	for i, x := range p.sessions {
		p.lost[i] = x.end(nil)
		p.sessions[i] = nil
	}
	p.granted, p.trials = nil, nil
	p.after(s.rng.between(0, 20*time.Millisecond), func() {
		for i := range p.sessions {
			shard := message.Shard(i)
			s.store.open(shard, p)
			p.takeUp(shard, s.store.recovered(shard), true, p.offset, s.store.timeline, 0)
			if s.failure != "" {
				return
			}
		}
		p.stepAll()
	})
	return true
}

// stepAll lets the machines do what they begin with.
func (p *process) stepAll() {
	for _, x := range slices.Clone(p.sessions) {
		if x != nil { // an earlier one may have been the end of all
			x.step(func(message.Time) {})
		}
	}
}

// grantTrial lets the next suspect of the process have its turn.
func (p *process) grantTrial() {
	if p.granted != nil && (p.granted.ended || !p.granted.m.OnTrial()) {
		p.granted = nil
	}
	for p.granted == nil && len(p.trials) > 0 {
		x := p.trials[0]
		p.trials = p.trials[1:]
		if x.ended {
			continue
		}
		p.granted = x
		x.after(p.s.rng.between(0, time.Millisecond), func() { x.step(x.m.TrialGranted) })
	}
}
