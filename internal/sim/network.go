package sim

import (
	"time"

	"github.com/semel-dev/semel/message"
)

// The network between clients and nodes, and between nodes and the remote
// store. A way to somewhere may be cut; a message may be late, lost or, if a
// client or its library repeats it, doubled. Messages overtake each other
// unless they are of one connection.

// far says what a node talks to.
type far uint8

const (
	toStore far = iota
	toClients
	toWorld
	fars
)

const (
	hop        = 2 * time.Millisecond // at most, of a message that nothing delays
	patience   = 700 * time.Millisecond
	brokenPipe = 60 * time.Millisecond // until a lost answer is noticed
)

// cutOff says whether a way is cut.
func (p *process) cutOff(f far) bool { return p.n.cut[f] > p.s.now }

// transit is how long a message is on its way.
func (s *Sim) transit() message.Time {
	d := s.rng.between(0, hop)
	if s.strike(Delay) {
		d += s.draw(Delay).between(10*time.Millisecond, time.Second)
	}
	at := s.now + d
	if at < s.lastArrival {
		s.reach(Reordered)
	}
	s.lastArrival = at
	return d
}

// connection keeps the order of what is sent over it, and ends as a whole.
type connection struct {
	p        *process
	timeline uint64
	last     message.Time // when the last message arrives
	broken   bool
}

func (p *process) connect() *connection { return &connection{p: p, timeline: p.s.store.timeline} }

// ask sends a request to the remote store: do happens there, and what it
// returns happens here when the answer comes. If the network keeps either,
// lost happens here instead, some time later, and the connection is broken.
func (c *connection) ask(do func() (answer func()), lost func()) {
	p, s := c.p, c.p.s
	breaks := func() {
		c.broken = true
		lost()
	}
	if c.broken || p.cutOff(toStore) || s.strike(Drop) {
		p.after(s.rng.between(0, brokenPipe), breaks)
		return
	}
	c.last = max(s.now+s.transit(), c.last+1)
	s.after(c.last-s.now, func() { s.atStore(c, do, breaks) })
}

// atStore lets a request be served, when the store's device does not hang.
func (s *Sim) atStore(c *connection, do func() func(), breaks func()) {
	if st := s.store; st.stalledTo > s.now {
		s.after(st.stalledTo-s.now, func() { s.atStore(c, do, breaks) })
		return
	}
	answer := do()
	if answer == nil || c.p.cutOff(toStore) {
		c.p.after(s.rng.between(0, brokenPipe), breaks)
		return
	}
	c.p.after(s.transit(), func() {
		if !c.broken {
			answer()
		}
	})
}

// deliver carries a client's request to a node, or not.
func (s *Sim) deliver(p *process, fn func()) {
	if !s.networked {
		fn()
		return
	}
	if p.cutOff(toClients) || s.strike(Drop) {
		return
	}
	p.after(s.transit(), fn)
	if s.strike(Duplicate) {
		p.after(s.transit(), fn)
	}
}

// giveBack carries an answer to a client, or not.
func (s *Sim) giveBack(p *process, fn func()) {
	if !s.networked {
		fn()
		return
	}
	if p.cutOff(toClients) || s.strike(Drop) {
		return
	}
	s.after(s.transit(), fn)
}

// partition cuts some of a node's ways for a while.
func (s *Sim) partition(n *node) {
	r := s.draw(Partition)
	until := s.now + r.between(20*time.Millisecond, 2500*time.Millisecond)
	switch which := r.intn(5); which {
	case 0, 1, 2:
		n.cut[which] = until
	case 3:
		n.cut[toStore] = until
		n.cut[toWorld] = until
	default:
		for f := range n.cut {
			n.cut[f] = until
		}
	}
	n.ill(until)
	if s.keep {
		s.tracef("node %d is cut off: %v", n.id, n.cut)
	}
}

// heal ends everything that goes on.
func (s *Sim) heal() {
	s.chaos.calm = true
	for _, n := range s.nodes {
		clear(n.cut[:])
		n.well = max(n.well, s.now)
		if p := n.p; p != nil {
			p.slowTo = 0
		}
	}
	s.tracef("calm")
}
