package core

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/semel-dev/semel/message"
)

// clients call the machine as the outside does: they retry with the same key
// until they have a final answer, send duplicates, give up, lie about their
// payload and come back long after. Operators settle what needs a person.
type clients struct {
	s        *sim
	ops      []*op
	sources  []*simSource
	duration time.Duration
	bulky    bool // bodies, contexts and replies are large
	bursts   bool // ops come many at a time
	open     []*request
	agents   []string
}

// op is one thing that a client wants done once.
type op struct {
	n       int
	name    string
	agent   message.Agent
	action  string
	body    body
	key     string // empty: an at-least-once call
	token   string
	accept  bool
	final   *message.Outcome
	settled bool         // nothing more is asked
	unknown bool         // expired: nobody can say
	first   message.Time // when it was first sent, by the machine's clock
	invalid bool
	rush    bool // it was first sent when the unit was full
	retries bool // or each of several that are refused at once would be tried again
	waiting int
	sent    int
}

type request struct {
	op       *op
	caller   *Caller
	sh       *simShard
	answered bool
	probe    bool // a replay after the final answer
	must     bool // ... which the retention guarantees
	evil     bool // with another payload under the same key
	other    func(a Answer)
	what     string
}

// simSource is a sequenced source that feeds one agent.
type simSource struct {
	name  string
	agent message.Agent
	next  uint64
	acked uint64
	end   uint64
	fails map[uint64]int
}

func newClients(s *sim, ops int) *clients {
	c := &clients{s: s}
	r := s.rng
	for i := range pick(r, 3, 6, 10) {
		c.agents = append(c.agents, fmt.Sprintf("a%d", i))
	}
	c.bulky, c.bursts = r.IntN(3) == 0, r.IntN(3) == 0
	c.duration = time.Duration(ops) * 15 * time.Millisecond
	for i := range ops {
		c.ops = append(c.ops, c.makeOp(i))
	}
	if c.bursts {
		c.gather()
	}
	for i := range 2 {
		src := &simSource{name: fmt.Sprintf("topic/%d", i), agent: c.agent(), next: 1, end: uint64(ops / 10), fails: make(map[uint64]int)}
		for p := range src.end {
			if r.IntN(10) == 0 {
				src.fails[p+1] = r.IntN(6)
			}
		}
		c.sources = append(c.sources, src)
	}
	return c
}

func (c *clients) agent() message.Agent { return simAgent("acct", pick(c.s.rng, c.agents...)) }

// burstSize is how many ops come at once, and burstPad bounds how much more
// than usual each replies: far more than one unit has room for.
const burstSize, burstPad = 30, 5000

// gather makes half of each burst one for one agent, which is held for a while:
// what waits for the hold to end is let loose by one event.
func (c *clients) gather() {
	r := c.s.rng
	for i := 0; i+burstSize <= len(c.ops); i += burstSize {
		a := c.agent()
		for j, o := range c.ops[i : i+burstSize/2] {
			o.action, o.agent, o.accept, o.body = "credit", a, false, body{Op: o.name, Amt: 1, Pad: r.IntN(burstPad)}
			if j == 0 {
				o.action, o.body = "hold", body{Op: o.name, MS: 10 + r.IntN(40), N: 1}
			}
		}
	}
}

// makeOp draws something to do.
func (c *clients) makeOp(i int) *op {
	r := c.s.rng
	o := &op{n: i, name: fmt.Sprintf("op%d", i), agent: c.agent(), accept: r.IntN(4) == 0}
	o.body = body{Op: o.name, Amt: 1 + r.IntN(50), To: pick(r, c.agents...)}
	if r.IntN(6) == 0 {
		o.body.Fails = 1 + r.IntN(5)
	}
	switch k := r.IntN(100); {
	case k < 18:
		o.action = "credit"
		if r.IntN(3) == 0 {
			o.token = fmt.Sprint(1 + r.IntN(2))
		}
	case k < 22:
		o.action, o.body.Amt = "credit", -1
	case k < 27:
		o.action = "quick"
	case k < 33:
		o.action = "debit"
	case k < 47:
		o.action = "transfer"
		if r.IntN(4) == 0 {
			o.body.N = 1
		}
		if r.IntN(3) == 0 {
			o.body.MS = r.IntN(100)
		}
	case k < 57:
		o.action, o.body.N = "spawn", 1+r.IntN(3)
		if r.IntN(40) == 0 {
			o.body.N = 90 // more than a mailbox keeps in memory
		}
		if k := r.IntN(12); k < 3 {
			o.body.Name = []string{"poison", "kill", "invalid"}[k]
			if r.IntN(3) == 0 {
				o.body.MS = 1 + r.IntN(50)
			}
		} else if k < 6 {
			o.body.Name = "credit"
			o.body.MS = r.IntN(50)
		}
	case k < 60:
		o.action, o.body.MS, o.body.N = "hold", 20+r.IntN(400), 1+r.IntN(2)
	case k < 63:
		o.action, o.body.N = "release", 1+r.IntN(2)
		o.token = fmt.Sprint(o.body.N)
	case k < 75:
		o.action, o.body.Policy = "effect", pick(r, simPolicies...)
		if r.IntN(4) == 0 {
			o.body.N = 1
		}
		if r.IntN(4) != 0 {
			o.body.Fails = 0
		}
	case k < 81:
		o.action, o.body.Policy, o.body.Name = "ask", pick(r, simPolicies...), pick(r, "effect", "effect", "poison", "flop", "credit")
		if o.body.Name == "flop" {
			o.body.Name = "credit"
			o.body.Amt = 0
		} else {
			o.body.Amt = 0
		}
		o.body.N = 0
	case k < 83:
		o.action = "poison"
	case k < 84:
		o.action = "invalid"
	case k < 90:
		o.action, o.agent = "set", simAgent("clock", pick(r, "c0", "c1", "c2"))
		o.body.Name, o.body.MS, o.body.N = pick(r, "x", "y", "z"), pick(r, 0, 0, 1, 5, 50, 300), i+1
		o.body.Fails = 0
	case k < 92:
		o.action, o.agent = "cancel", simAgent("clock", pick(r, "c0", "c1", "c2"))
		o.body.Name = pick(r, "x", "y", "z")
	case k < 93:
		o.action, o.agent = "remove", simAgent("clock", pick(r, "c0", "c1", "c2"))
	case k < 97:
		o.action, o.agent = "count", simAgent("tally", fmt.Sprintf("t%d", r.IntN(40)))
		o.body = body{Fails: r.IntN(2)}
	default:
		o.action = "again"
		if r.IntN(2) == 0 {
			o.body.Amt = -1
		}
	}
	if o.action == "poison" {
		o.accept = true // or it would never end
	}
	if c.bulky && r.IntN(2) == 0 && o.agent.Type == "acct" {
		// An effect has its body twice, and all of it fits an eighth of a unit.
		o.body.Text, o.body.Pad = strings.Repeat("t", r.IntN(2500)), r.IntN(3000)
	}
	if c.bursts && r.IntN(4) == 0 {
		o.action, o.agent, o.body = "again", simAgent("tally", fmt.Sprintf("t%d", r.IntN(40))), body{}
	}
	return o
}

func (c *clients) begin() {
	s := c.s
	for i, o := range c.ops {
		at := s.between(0, c.duration)
		if c.bursts {
			at = message.Time(i/burstSize)*message.Time(c.duration)*burstSize/message.Time(len(c.ops)) + s.between(0, 2*time.Millisecond)
			if i%burstSize > burstSize/2 {
				at += s.between(0, 100*time.Millisecond)
			}
		}
		s.after(at, false, func() { c.attempt(o) })
	}
	for _, src := range c.sources {
		s.after(s.between(0, c.duration/2), false, func() { c.feed(src) })
	}
	s.after(message.Time(30*time.Millisecond), false, c.operate)
	s.after(message.Time(20*time.Millisecond), false, c.query)
}

// key gives an op its key when it is first sent: half of them carry a time.
func (c *clients) key(o *op) {
	if o.key != "" || o.action == "again" {
		return
	}
	r := c.s.rng
	if r.IntN(2) == 0 && !o.rush {
		o.key = "key-" + o.name
		return
	}
	at := c.s.clock() + c.s.between(-1900*time.Millisecond, 1900*time.Millisecond)
	ms := uint64(at) / 1e6
	o.key = fmt.Sprintf("%08x-%04x-7000-8000-%012x", ms>>16, ms&0xffff, o.n)
}

// rush sends something new, several times, to a shard whose unit is full: its
// key has a time, so that often nothing has to be read to know that it is new.
func (c *clients) rush(sh *simShard) {
	for _, o := range c.ops {
		if o.sent == 0 && !o.settled && o.agent.Type == "acct" && o.action != "again" &&
			message.ShardOf(o.agent, len(c.s.shards)) == sh.id {
			o.rush = true
			c.attempt(o)
			return
		}
	}
}

func (c *clients) message(o *op, b body) *message.Message {
	m := &message.Message{To: o.agent, Action: o.action, Principal: simPrincipal, Body: b.bytes(), Token: o.token, Key: o.key}
	if o.key != "" {
		m.Fingerprint = sha256.Sum256(append([]byte(o.action+"|"+o.token+"|"), m.Body...))
		return m
	}
	for i := range m.ID {
		m.ID[i] = byte(c.s.rng.Uint32())
	}
	return m
}

// attempt sends an op, sometimes more than once at a time.
func (c *clients) attempt(o *op) {
	s := c.s
	if o.settled {
		return
	}
	if !s.up {
		s.after(s.between(5*time.Millisecond, 60*time.Millisecond), false, func() { c.attempt(o) })
		return
	}
	c.key(o)
	if _, timed := message.KeyTime(o.key); o.first == 0 {
		o.first = s.clock()
	} else if age := s.clock() - o.first; o.key != "" && !timed && age > message.Time(s.cfg.Retention)-5e8 {
		o.settled, o.unknown = true, true // it might run again: a client that knows the window stops asking
		return
	}
	if o.action == "remove" {
		c.remove(o)
		return
	}
	n := pick(s.rng, 1, 1, 1, 2, 3)
	if o.rush {
		n = 3
	}
	for ; n > 0 && s.up; n-- {
		if o.key == "" && o.waiting > 0 {
			break
		}
		c.send(&request{op: o, what: o.name}, o.accept && (o.action == "poison" || s.rng.IntN(8) != 0 && o.sent < 5), o.body)
	}
	if o.action == "credit" && o.key != "" && s.rng.IntN(10) == 0 {
		evil := o.body
		evil.Text = "evil"
		s.after(s.between(0, 10*time.Millisecond), false, func() {
			if s.up && o.final != nil {
				c.send(&request{op: o, evil: true, what: o.name + " evil"}, false, evil)
			}
		})
	}
}

func (c *clients) send(q *request, accept bool, b body) {
	s := c.s
	o := q.op
	q.sh = s.shards[message.ShardOf(o.agent, len(s.shards))]
	q.caller = &Caller{Data: q, Accept: accept}
	c.open = append(c.open, q)
	if !q.probe && !q.evil {
		o.waiting++
		o.sent++
	}
	m := c.message(o, b)
	s.trace("submit", q.what, o.agent, o.action, o.key, accept)
	if s.rng.IntN(12) == 0 && !s.calm {
		s.after(s.between(0, 30*time.Millisecond), true, func() {
			if !q.answered {
				s.trace("cancel", q.what)
				s.step(q.sh, func(now message.Time) { q.sh.m.Cancel(now, q.caller) })
			}
		})
	}
	s.step(q.sh, func(now message.Time) { q.sh.m.Submit(now, q.caller, m) })
}

func (c *clients) remove(o *op) {
	s := c.s
	q := &request{op: o, what: o.name, sh: s.shards[message.ShardOf(o.agent, len(s.shards))]}
	q.caller = &Caller{Data: q}
	c.open = append(c.open, q)
	o.waiting++
	s.step(q.sh, func(now message.Time) { q.sh.m.Remove(now, q.caller, o.agent) })
}

// answered receives an answer that the machine let go.
func (c *clients) answered(sh *simShard, a AnswerTo) {
	q := a.Caller.Data.(*request)
	c.s.trace("answer", q.what, describe(a.Answer))
	if q.answered {
		c.s.fail("%s is answered twice", q.what)
		return
	}
	q.answered = true
	if i := slices.Index(c.open, q); i >= 0 {
		c.open = slices.Delete(c.open, i, i+1)
	} else {
		c.s.fail("%s is answered, but does not wait", q.what)
	}
	if q.other != nil {
		q.other(a.Answer)
		return
	}
	if q.evil || q.probe {
		c.judgeReplay(q, a.Answer)
		return
	}
	q.op.waiting--
	c.judge(q, a.Answer)
}

func describe(a Answer) string {
	if a.Fault != nil {
		return string(a.Fault.Code)
	}
	return fmt.Sprintf("%s %q %s replayed %v", a.Outcome.Status, a.Outcome.Body, a.Outcome.Code, a.Replayed)
}

func sameOutcome(a, b *message.Outcome) bool {
	return a.Status == b.Status && bytes.Equal(a.Body, b.Body) && a.Code == b.Code && a.Detail == b.Detail
}

func (c *clients) judge(q *request, a Answer) {
	s, o := c.s, q.op
	again := func() {
		if !o.settled && o.waiting == 0 && !o.retries {
			o.retries = true
			s.after(s.between(time.Millisecond, 150*time.Millisecond), false, func() {
				o.retries = false
				if o.waiting == 0 {
					c.attempt(o)
				}
			})
		}
	}
	if f := a.Fault; f != nil {
		switch f.Code {
		case message.CodeHandlerFailed, message.CodeCanceled, message.CodeInFlight:
			if strings.HasPrefix(f.Detail, "it was accepted") {
				c.checkAccepted(q)
			}
			again()
		case message.CodeInvalidRequest:
			if o.action != "invalid" {
				s.fail("%s: %v", o.name, f)
			}
			o.settled, o.invalid = true, true
		case message.CodeKeyExpired:
			if o.final != nil && !o.unknown && o.final.Settled > s.clock()-message.Time(s.cfg.Retention)+1e9 {
				s.fail("%s expired within its retention", o.name)
			}
			o.settled, o.unknown = true, true
		case message.CodeKeyInFuture:
			again() // the clock went back
		case message.CodeUnknownAgent:
			if o.action != "remove" {
				s.fail("%s: %v", o.name, f)
			}
			o.settled = true
		default:
			s.fail("%s: %v", o.name, f)
		}
		return
	}
	out := a.Outcome
	if o.action == "remove" || o.key == "" {
		o.settled, o.final = true, out
		return
	}
	if !out.Status.Settled() {
		again()
		return
	}
	if o.action == "quick" {
		if o.final == nil {
			o.final, o.settled = out, true
		}
		return
	}
	if o.final != nil && !sameOutcome(o.final, out) {
		s.fail("%s was answered %s, and now %s", o.name, describe(Answer{Outcome: o.final}), describe(a))
	}
	if o.final == nil {
		c.checkRecorded(q, out)
		s.after(s.between(0, 2*s.cfg.Retention), false, func() { c.replay(o) })
		if s.rng.IntN(3) == 0 {
			s.after(s.between(0, 100*time.Millisecond), false, func() { c.replay(o) })
		}
	}
	o.final, o.settled = out, true
}

// checkRecorded: an answer that was let go is durable in the dedup log.
func (c *clients) checkRecorded(q *request, out *message.Outcome) {
	key := string(append(q.op.agent.AppendKey(nil), message.KeyIdentity(simPrincipal, q.op.key)...))
	for k, v := range c.s.store.durable[q.sh.id].tables[message.TableDedup] {
		if k[4:] == key {
			if o, err := ReadOutcome(message.RowKey{Table: message.TableDedup, Key: []byte(key)}, v); err != nil || !sameOutcome(o, out) {
				c.s.fail("%s is answered %v, but %v is recorded (%v)", q.op.name, out, o, err)
			}
			return
		}
	}
	if out.Settled > c.s.clock()-message.Time(c.s.cfg.Retention)+1e9 {
		c.s.fail("%s is answered, but its outcome is not durable", q.op.name)
	}
}

// checkAccepted: that a call was accepted is durable when its caller hears it.
func (c *clients) checkAccepted(q *request) {
	key := string(append(q.op.agent.AppendKey(nil), message.KeyIdentity(simPrincipal, q.op.key)...))
	durable := c.s.store.durable[q.sh.id]
	if durable.tables[message.TableOpen][key] != nil {
		return
	}
	for k := range durable.tables[message.TableDedup] {
		if k[4:] == key {
			return
		}
	}
	c.s.fail("%s is told that it was accepted, and nothing durable says so", q.op.name)
}

// replay asks again for something that has its final answer.
func (c *clients) replay(o *op) {
	s := c.s
	if !s.up || o.unknown {
		return
	}
	inside := s.clock()-o.final.Settled < message.Time(s.cfg.Retention)-1e9
	_, timed := message.KeyTime(o.key)
	if !inside && !timed {
		return // it may run again
	}
	c.send(&request{op: o, probe: true, must: inside, what: o.name + " again"}, false, o.body)
}

func (c *clients) judgeReplay(q *request, a Answer) {
	s, o := c.s, q.op
	switch f := a.Fault; {
	case f == nil && q.evil:
		s.fail("%s under the same key is answered %s", q.what, describe(a))
	case f == nil:
		if !sameOutcome(o.final, a.Outcome) {
			s.fail("%s was answered %s, and later %s", o.name, describe(Answer{Outcome: o.final}), describe(a))
		}
	case f.Code == message.CodeCanceled || f.Code == message.CodeInFlight:
	case f.Code == message.CodeConflict && q.evil:
	case f.Code == message.CodeKeyExpired && !q.must:
	default:
		s.fail("%s (must %v): %v", q.what, q.must, f)
	}
}

// crashed: whoever waited hears nothing, and asks again.
func (c *clients) crashed() {
	for _, q := range c.open {
		q.answered = true
		if q.other != nil || q.evil || q.probe {
			continue
		}
		o := q.op
		o.waiting--
		if o.waiting == 0 && !o.settled {
			c.s.after(c.s.between(10*time.Millisecond, 200*time.Millisecond), false, func() {
				if o.waiting == 0 {
					c.attempt(o)
				}
			})
		}
	}
	c.open = nil
	for _, src := range c.sources {
		src.next = src.acked + 1
	}
}

// feed sends a source's messages in order, again from the last one that was
// acknowledged when the process died, and now and then from before it.
func (c *clients) feed(src *simSource) {
	s := c.s
	if src.acked >= src.end {
		return
	}
	s.after(s.between(5*time.Millisecond, 60*time.Millisecond), false, func() { c.feed(src) })
	if !s.up {
		return
	}
	if src.next > src.acked+4 || src.next > src.end || s.rng.IntN(10) == 0 {
		src.next = max(1, src.acked+1-min(src.acked, uint64(s.rng.IntN(3))))
	}
	p := src.next
	src.next++
	life := s.life
	q := &request{what: fmt.Sprintf("%s@%d", src.name, p), sh: s.shards[message.ShardOf(src.agent, len(s.shards))]}
	q.other = func(a Answer) {
		if a.Fault != nil {
			if a.Fault.Code != message.CodeCanceled {
				s.fail("%s: %v", q.what, a.Fault)
			}
			if s.life == life && p > src.acked {
				src.next = min(src.next, p) // it was not done, nor what came behind it
			}
			return
		}
		if s.life == life {
			src.acked = max(src.acked, p)
		}
	}
	q.caller = &Caller{Data: q, Accept: true}
	c.open = append(c.open, q)
	m := &message.Message{To: src.agent, Action: "seq", Principal: simPrincipal, Source: src.name, Position: p,
		Body: body{Op: q.what, Amt: 1, Fails: src.fails[p]}.bytes()}
	s.trace("feed", q.what)
	if s.rng.IntN(12) == 0 && !s.calm {
		s.after(s.between(0, 10*time.Millisecond), true, func() {
			if !q.answered {
				s.trace("cancel", q.what)
				s.step(q.sh, func(now message.Time) { q.sh.m.Cancel(now, q.caller) })
			}
		})
	}
	s.step(q.sh, func(now message.Time) { q.sh.m.Submit(now, q.caller, m) })
}

// admin sends an operator's request.
func (c *clients) admin(sh *simShard, what string, do func(now message.Time, caller *Caller), then func(a Answer)) {
	q := &request{what: what, sh: sh, other: then}
	q.caller = &Caller{Data: q}
	c.open = append(c.open, q)
	c.s.trace("admin", what)
	c.s.step(sh, func(now message.Time) { do(now, q.caller) })
}

// operate is a person who looks after doubts and dead letters.
func (c *clients) operate() {
	s := c.s
	s.after(s.between(20*time.Millisecond, 120*time.Millisecond), false, c.operate)
	if !s.up {
		return
	}
	for _, sh := range s.shards {
		life := s.life
		durable := s.store.durable[sh.id]
		for _, row := range durable.scan(message.TableEffect, "") {
			v, err := ReadEffect(message.RowKey{Table: message.TableEffect, Key: row.Key}, row.Value)
			if err != nil {
				s.fail("%v", err)
				return
			}
			if e := s.world.effects[v.ID]; v.InDoubt && e != nil && s.rng.IntN(2) == 0 && !e.undecided() {
				c.resolve(sh, v, e)
			}
			if s.life != life {
				return
			}
		}
		for _, row := range durable.scan(message.TableDead, "") {
			d, err := ReadDead(message.RowKey{Table: message.TableDead, Key: row.Key}, row.Value)
			if err != nil {
				s.fail("%v", err)
				return
			}
			if s.rng.IntN(2) == 0 {
				c.bury(sh, d)
			}
			if s.life != life {
				return
			}
		}
	}
}

func (c *clients) resolve(sh *simShard, v EffectView, e *worldEffect) {
	s := c.s
	r := Resolution{By: "operator"}
	switch {
	case e.happened > 0:
		r.Status, r.Body = message.StatusDone, e.reply()
	case e.rejected || s.rng.IntN(3) == 0:
		r.Status, r.Code = message.StatusRejected, "declined"
		e.rejected = true // and nobody will do it any more
	default:
		r.Status = message.StatusNotDone
	}
	if m := sh.m.effects[v.ID]; m != nil && m.mem.running && m.mem.probing {
		s.stats.probing++
	}
	for range pick(s.rng, 1, 1, 2) {
		c.admin(sh, fmt.Sprintf("resolve %s as %s", v.ID, r.Status), func(now message.Time, caller *Caller) {
			sh.m.Resolve(now, caller, v.ID, r)
		}, func(a Answer) {
			if a.Fault != nil {
				if a.Fault.Code != message.CodeUnknownDoubt && a.Fault.Code != message.CodeAlreadyResolved {
					s.fail("resolve: %v", a.Fault)
				}
				return
			}
			if a.Outcome.Status != r.Status {
				s.fail("resolve %s as %s is answered as %s", v.ID, r.Status, a.Outcome.Status)
			}
			if e.resolved != 0 && e.resolved != r.Status {
				s.fail("effect %s was resolved as %s, and then as %s", v.ID, e.resolved, r.Status)
			}
			if r.Status != message.StatusNotDone {
				e.resolved = r.Status
			}
		})
		if r.Status == message.StatusNotDone {
			e.permit = true // the call may come before the answer does
		}
		if !s.up {
			return
		}
	}
}

func (c *clients) bury(sh *simShard, d *DeadLetter) {
	s := c.s
	m := d.Message
	action := m.Action
	retry := action != "poison" && action != "kill" && action != "invalid"
	if (action == "poison" || action == "kill") && s.rng.IntN(4) == 0 && !s.calm {
		retry = true
	}
	then := func(a Answer) {
		if a.Fault != nil && a.Fault.Code != message.CodeUnknownDead {
			s.fail("dead letter: %v", a.Fault)
		}
	}
	if retry {
		c.admin(sh, "retry dead "+action, func(now message.Time, caller *Caller) { sh.m.RetryDead(now, caller, m.ID) }, then)
		return
	}
	c.admin(sh, "discard dead "+action, func(now message.Time, caller *Caller) { sh.m.DiscardDead(now, caller, m.ID) }, then)
}

// query reads an agent: what it says must be durable by then.
func (c *clients) query() {
	s := c.s
	s.after(s.between(10*time.Millisecond, 100*time.Millisecond), false, c.query)
	if !s.up || s.calm && s.rng.IntN(4) != 0 {
		return
	}
	a := c.agent()
	sh := s.shards[message.ShardOf(a, len(s.shards))]
	c.admin(sh, "query "+a.ID, func(now message.Time, caller *Caller) {
		sh.m.Query(now, caller, a, func(st State, version uint64, exists bool) Answer {
			body, _ := st.Append(nil)
			return Answer{Version: version, Outcome: &message.Outcome{Status: message.StatusDone, Body: body}}
		})
	}, func(ans Answer) {
		k := message.RowKey{Table: message.TableState, Key: a.AppendKey(nil)}
		var row stateRow
		if v := s.store.durable[sh.id].get(k); v != nil {
			row, _ = readState(k, v)
		}
		if ans.Version > row.version {
			s.fail("a read of %s shows version %d; version %d is durable", a, ans.Version, row.version)
		}
		if ans.Version == row.version && !bytes.Equal(ans.Outcome.Body, row.data) {
			s.fail("a read of %s at version %d shows another state than is stored", a, ans.Version)
		}
	})
}

// unfinished says what is still wanted, or nothing.
func (c *clients) unfinished() string {
	for _, o := range c.ops {
		if !o.settled {
			return fmt.Sprintf("%s (%s of %s) has no final answer", o.name, o.action, o.agent)
		}
	}
	for _, src := range c.sources {
		if src.acked < src.end {
			return fmt.Sprintf("%s is at %d of %d", src.name, src.acked, src.end)
		}
	}
	if len(c.open) > 0 {
		return "no answer to " + c.open[0].what
	}
	return ""
}

// check compares the agents with the answers.
func (c *clients) check() {
	s := c.s
	states := make(map[string]*numbers)
	want := make(map[string]int64)
	state := func(id string) *numbers {
		if states[id] == nil {
			states[id] = s.value(simAgent("acct", id))
		}
		return states[id]
	}
	count := func(id, what string, n, lo, hi int64) {
		if n < lo || n > hi {
			s.fail("%s counts %d of %s; want %d to %d", id, n, what, lo, hi)
		}
	}
	for _, o := range c.ops {
		if o.agent.Type != "acct" || o.action == "poison" || o.action == "invalid" {
			continue
		}
		id := o.agent.ID
		n := state(id).get("seen:" + o.name)
		amt := int64(o.body.Amt)
		done := o.final != nil && o.final.Status == message.StatusDone
		lo, hi := int64(0), int64(1)
		if !o.unknown && o.action != "quick" {
			lo, hi = 0, 0
			if done || o.final != nil && o.final.Status != message.StatusDone && (o.action == "transfer" && state(id).get("seen:"+o.name+"/ans") > 0 || o.action == "effect" || o.action == "ask") {
				lo, hi = 1, 1
			}
		}
		if o.action == "again" {
			hi = int64(o.sent)
		}
		count(id, o.name+" "+o.action, n, lo, hi)
		switch o.action {
		case "credit", "quick", "again":
			if amt > 0 {
				want[id] += amt * n
			}
		case "debit":
			want[id] -= amt * n
		case "transfer":
			in := state(o.body.To).get("seen:" + o.name + "/in")
			count(o.body.To, o.name+"/in", in, 0, n)
			count(id, o.name+"/ans", state(id).get("seen:"+o.name+"/ans"), n, n)
			if done && in != 1 || o.final != nil && !done && in != 0 {
				s.fail("transfer %s is %s, but %d came in", o.name, o.final.Status, in)
			}
			want[id] -= amt * in
			want[o.body.To] += amt * in
		case "spawn":
			if o.body.Name == "credit" {
				count(o.body.To, o.name+"/x", state(o.body.To).get("seen:"+o.name+"/x"), n, n)
			}
		case "effect":
			if o.body.N != 1 {
				count(id, o.name+" effected", state(id).get("eff:"+o.name), n, n)
			}
			c.checkEffect(o, o.name, o.body.Policy)
		case "ask":
			count(id, o.name+" answered", state(id).get("ans:"+o.name), n, n)
			in := int64(0)
			if done && o.body.Name != "poison" {
				in = 1
			}
			if o.body.Name == "credit" || done {
				count(o.body.To, o.name+"/in", state(o.body.To).get("seen:"+o.name+"/in"), in, 1)
			}
		}
	}
	for _, src := range c.sources {
		for p := uint64(1); p <= src.end; p++ {
			what := fmt.Sprintf("%s@%d", src.name, p)
			count(src.agent.ID, what, state(src.agent.ID).get("seen:"+what), 1, 1)
			want[src.agent.ID]++
		}
	}
	for _, id := range c.agents {
		if got := state(id).get("bal"); got != want[id] {
			s.fail("the balance of %s is %d; its answers say %d", id, got, want[id])
		}
		if state(id).get("dirt") != 0 {
			s.fail("%s kept what failed steps wrote", id)
		}
		for _, from := range c.agents {
			if out, in := state(from).get("out:"+id), state(id).get("in:"+from); out != in && !s.overtaken[id] {
				s.fail("%s sent %d notes to %s, which has %d", from, out, id, in)
			}
		}
	}
	for _, id := range []string{"c0", "c1", "c2"} {
		n := s.value(simAgent("clock", id))
		for i, name := range n.names {
			if isTimer(name) && n.vals[i] != 0 {
				s.fail("timer %q of %s, set by op%d, never fired", name, id, n.vals[i]-1)
			}
		}
	}
}

// checkEffect compares what an op was told of its effect with the ledger.
func (c *clients) checkEffect(o *op, name, policy string) {
	if o.final == nil || o.body.N == 1 || policy == "ro" {
		return
	}
	for _, id := range c.s.sortedEffects() {
		e := c.s.world.effects[id]
		if e.ask.Op != name {
			continue
		}
		happened := e.happened
		switch o.final.Status {
		case message.StatusDone:
			if happened != 1 {
				c.s.fail("%s is done, and its effect (%s) happened %d times", name, policy, happened)
			}
		case message.StatusRejected:
			if happened != 0 {
				c.s.fail("%s is rejected (%s), and its effect (%s) happened", name, o.final.Code, policy)
			}
		}
	}
}
