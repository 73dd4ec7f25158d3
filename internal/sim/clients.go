package sim

import (
	"fmt"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// clients call nodes as the outside does: they ask any of them, retry with the
// same key until they have a final answer, send duplicates, give up, lie about
// their payload and come back long after.
type clients struct {
	s       *Sim
	load    workload
	ops     []*op
	byRow   map[string]*op
	sources []*source
	open    []*request
	guess   []int // which node has a shard
	unsure  []*op // not settled
}

// request is one attempt of a client, at one node.
type request struct {
	o     *op
	what  string
	p     *process
	index int  // among the open ones, -1 when it is over
	probe bool // a replay after the final answer
	must  bool // ... which the retention guarantees
	evil  bool // with another payload under the same key
	then  func(a core.Answer)
	gone  func() // it hears nothing

	stream *stream // of a source
}

func newClients(s *Sim, ops int) *clients {
	c := &clients{s: s, byRow: make(map[string]*op), guess: make([]int, s.cfg.Shards)}
	c.load, c.ops = drawOps(s.seed, ops)
	c.unsure = append(c.unsure, c.ops...)
	for i := range 2 {
		c.sources = append(c.sources, newSource(s, i, uint64(ops/10)))
	}
	return c
}

func (c *clients) begin() {
	s := c.s
	r := newRNG(s.seed, 2)
	for i, o := range c.ops {
		at := r.between(0, c.load.duration)
		if c.load.bursts {
			at = message.Time(i/burstSize)*message.Time(c.load.duration)*burstSize/message.Time(len(c.ops)) + r.between(0, 2*time.Millisecond)
			if i%burstSize > burstSize/2 {
				at += r.between(0, 100*time.Millisecond)
			}
		}
		s.after(at, func() { c.attempt(o) })
	}
	for _, src := range c.sources {
		s.after(r.between(0, c.load.duration/2), src.feed)
	}
	s.after(message.Time(30*time.Millisecond), s.operate)
	s.after(message.Time(20*time.Millisecond), c.query)
}

// clock is the time of the shard's machine, or what it would be.
func (s *Sim) clock(shard message.Shard) message.Time {
	if x := s.owner(shard); x != nil {
		return x.clock()
	}
	return max(s.now, s.store.visible[shard].clock)
}

func (s *Sim) shardOf(a message.Agent) message.Shard { return message.ShardOf(a, s.cfg.Shards) }

// reachable is the process that a client asks for a shard; nil if nobody
// answers.
func (c *clients) reachable(shard message.Shard) *process {
	n := c.s.nodes[c.guess[shard]]
	if n.p == nil {
		c.guessAgain(shard)
	}
	return n.p
}

func (c *clients) guessAgain(shard message.Shard) { c.guess[shard] = c.s.rng.intn(len(c.s.nodes)) }

// redirect follows what a node said of who has the shard, which may be wrong.
func (c *clients) redirect(shard message.Shard) {
	if x := c.s.owner(shard); x != nil && c.s.rng.intn(4) != 0 {
		c.guess[shard] = x.p.n.id
		return
	}
	c.guessAgain(shard)
}

// rush sends something new, several times, to a shard whose unit is full: its
// key has a time, so that often nothing has to be read to know that it is new.
func (c *clients) rush(x *session) {
	for _, o := range c.unsure {
		if o.sent == 0 && !o.settled && o.agent.Type == "acct" && o.action != "again" && c.s.shardOf(o.agent) == x.id {
			o.rush = true
			c.guess[x.id] = x.p.n.id
			c.attempt(o)
			return
		}
	}
}

// attempt sends an op, sometimes more than once at a time.
func (c *clients) attempt(o *op) {
	s := c.s
	if o.settled {
		return
	}
	shard := s.shardOf(o.agent)
	p := c.reachable(shard)
	if p == nil {
		s.after(s.rng.between(5*time.Millisecond, 60*time.Millisecond), func() { c.attempt(o) })
		return
	}
	now := s.clock(shard)
	if o.key == "" {
		o.name(s, now)
		if o.key != "" {
			c.byRow[o.row] = o
		}
	}
	if _, timed := message.KeyTime(o.key); o.first == 0 {
		o.first = now
	} else if age := now - o.first; o.key != "" && !timed && age > message.Time(s.cfg.Retention)-5e8 {
		o.settled, o.unknown = true, true // it might run again: a client that knows the window stops asking
		return
	}
	n := pick(s.rng, 1, 1, 1, 2, 3)
	if o.rush {
		n = 3
	}
	for ; n > 0 && !p.dead; n-- {
		if (o.key == "" || o.action == "remove") && o.waiting > 0 {
			break
		}
		accept := o.accept && (o.action == "poison" || s.rng.intn(8) != 0 && o.sent < 5)
		c.send(p, &request{o: o}, accept, o.body)
	}
	if o.action == "credit" && o.key != "" && s.rng.oneIn(10) {
		c.lie(o)
	}
}

// fit says whether nothing but its caller can keep an op from its outcome.
func (o *op) fit() bool { return o.action == "credit" && o.key != "" && o.body.fails == 0 }

// lieAtOnce sends another payload under the same key, right after the first:
// its outcome is not durable yet, and may not even be known.
func (c *clients) lieAtOnce(x *session, o *op) {
	s := c.s
	if at, timed := message.KeyTime(o.key); x.ended || x.closing || timed && message.Time(at) > x.clock()+message.Time(s.cfg.Skew) {
		return // what came first is gone, or refused for its key's time
	}
	evil := o.body
	evil.evil = true
	q := &request{o: o, evil: true, what: o.action, p: x.p, index: len(c.open)}
	c.open = append(c.open, q)
	if s.networked {
		s.after(message.Time(patience), func() { c.nothing(q) })
	}
	m := c.message(o, evil)
	x.submit(q, false, func(now message.Time, k *core.Caller) { x.m.Submit(now, k, m) })
}

// lie sends another payload under the same key, once the outcome is known.
func (c *clients) lie(o *op) {
	s := c.s
	evil := o.body
	evil.evil = true
	s.after(s.rng.between(0, 10*time.Millisecond), func() {
		p := c.reachable(s.shardOf(o.agent))
		if p != nil && o.final != nil && !o.unknown && !o.excused {
			c.send(p, &request{o: o, evil: true}, false, evil)
		}
	})
}

// post opens a request and carries it to a process, where arrive gives it to
// the session that has the shard. Whoever hears nothing gives up some time.
func (c *clients) post(p *process, shard message.Shard, q *request, arrive func(x *session)) {
	s := c.s
	q.p, q.index = p, len(c.open)
	c.open = append(c.open, q)
	s.deliver(p, func() {
		x := p.sessions[shard]
		if x == nil || x.closing {
			s.reach(Elsewhere)
			s.giveBack(p, func() {
				c.redirect(shard)
				c.nothing(q)
			})
			return
		}
		arrive(x)
	})
	if s.networked {
		s.after(message.Time(patience), func() {
			if q.index >= 0 {
				s.reach(TimedOut)
				c.guessAgain(shard)
				c.nothing(q)
			}
		})
	}
}

func (c *clients) close(q *request) {
	last := len(c.open) - 1
	c.open[q.index] = c.open[last]
	c.open[q.index].index = q.index
	c.open[last] = nil
	c.open = c.open[:last]
	q.index = -1
}

// nothing: the client of a request hears nothing of it, and asks again.
func (c *clients) nothing(q *request) {
	if q.index < 0 {
		return
	}
	c.close(q)
	switch {
	case q.gone != nil:
		q.gone()
	case q.o == nil || q.evil || q.probe:
	default:
		q.o.waiting--
		c.again(q.o, 10*time.Millisecond, 300*time.Millisecond)
	}
}

// processEnded: whoever waited for it hears so.
func (c *clients) processEnded(p *process) {
	for i := len(c.open) - 1; i >= 0; i-- {
		if i < len(c.open) && c.open[i].p == p {
			c.nothing(c.open[i])
		}
	}
}

// again tries an op again, when nothing of it is under way.
func (c *clients) again(o *op, lo, hi time.Duration) {
	s := c.s
	if o.settled || o.waiting > 0 || o.retries {
		return
	}
	o.retries = true
	s.after(s.rng.between(lo, hi), func() {
		o.retries = false
		if o.waiting == 0 {
			c.attempt(o)
		}
	})
}

func (c *clients) send(p *process, q *request, accept bool, b body) {
	s, o := c.s, q.o
	q.what = o.action
	if !q.probe && !q.evil {
		o.waiting++
		o.sent++
	}
	if s.keep {
		s.tracef("submit %s key %q to node %d, accept %v", o, o.key, p.n.id, accept)
	}
	c.post(p, s.shardOf(o.agent), q, func(x *session) {
		if q.evil && o.lostIn > 0 {
			return // what it contradicts may be lost
		}
		if o.action == "remove" {
			x.submit(q, false, func(now message.Time, k *core.Caller) { x.m.Remove(now, k, o.agent) })
			return
		}
		if !q.evil {
			o.arrived++
		}
		m := c.message(o, b)
		k := x.submit(q, accept, func(now message.Time, k *core.Caller) { x.m.Submit(now, k, m) })
		if q.probe || q.evil || !o.fit() || !s.rng.oneIn(20) {
			x.mayCancel(k, 30*time.Millisecond)
		} else {
			c.lieAtOnce(x, o)
		}
	})
}

// mayCancel lets a caller give up.
func (x *session) mayCancel(k *call, within time.Duration) {
	if x.s.strike(Cancel) {
		x.after(x.s.rng.between(0, within), func() { x.cancel(k) })
	}
}

func (c *clients) message(o *op, b body) *message.Message {
	m := &message.Message{To: o.agent, Action: o.action, Principal: principal, Body: b.bytes(), Token: o.token, Key: o.key}
	if o.key != "" {
		m.Fingerprint = fingerprint(o, m.Body)
		return m
	}
	for i := range m.ID {
		m.ID[i] = byte(c.s.rng.next())
	}
	return m
}

// replay asks again for something that has its final answer.
func (c *clients) replay(o *op) {
	s := c.s
	shard := s.shardOf(o.agent)
	p := c.reachable(shard)
	if p == nil || o.excused || o.final == nil && !o.unknown {
		return
	}
	inside := !o.unknown && s.clock(shard)-o.final.Settled < message.Time(s.cfg.Retention)-1e9
	_, timed := message.KeyTime(o.key)
	if !inside && !timed {
		return // it may run again
	}
	c.send(p, &request{o: o, probe: true, must: inside}, false, o.body)
}

// reply carries an answer to its client.
func (c *clients) reply(x *session, q *request, a core.Answer) {
	s := c.s
	s.mix(0xa5, uint64(len(q.what)), answerHash(a))
	if s.keep {
		s.tracef("answer to %s: %s", q.name(), describe(a))
	}
	if a.Fault != nil && q.stream != nil {
		q.stream.dead = true
	}
	s.giveBack(x.p, func() {
		late := q.index < 0
		if !late {
			c.close(q)
		} else if !s.networked {
			s.failf("%s is answered, but does not wait", q.name())
			return
		}
		switch {
		case q.then != nil:
			if !late {
				q.then(a)
			}
		case q.evil || q.probe:
			if !x.outdated(q.o) {
				c.judgeReplay(q, a)
			}
		default:
			if !late {
				q.o.waiting--
			}
			if x.outdated(q.o) {
				c.again(q.o, time.Millisecond, 150*time.Millisecond)
				return
			}
			c.judge(q, a)
		}
	})
}

func (q *request) name() string {
	if q.o == nil {
		return q.what
	}
	return fmt.Sprintf("%s (evil %v, again %v)", q.o, q.evil, q.probe)
}

// query reads an agent: what it says must be durable by then.
func (c *clients) query() {
	s := c.s
	s.after(s.rng.between(10*time.Millisecond, 100*time.Millisecond), c.query)
	a := c.load.account(s.rng)
	if s.rng.oneIn(4) {
		a = banks[s.rng.intn(len(banks))]
	}
	shard := s.shardOf(a)
	p := c.reachable(shard)
	if p == nil || s.chaos.calm && s.rng.intn(4) != 0 {
		return
	}
	q := &request{what: "query", then: func(core.Answer) {}}
	c.post(p, shard, q, func(x *session) {
		x.submit(q, false, func(now message.Time, k *core.Caller) {
			x.m.Query(now, k, a, func(st core.State, version uint64, _ bool) core.Answer {
				body, _ := st.Append(nil)
				return core.Answer{Version: version, Outcome: &message.Outcome{Status: message.StatusDone, Action: "query", Body: body, Detail: a.ID}}
			})
		})
	})
}
