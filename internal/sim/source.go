package sim

import (
	"fmt"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// source is a sequenced source that feeds one agent: in order, again from the
// last position that was acknowledged when it hears of none, and now and then
// from before it.
type source struct {
	s      *Sim
	num    uint32
	name   string
	agent  message.Agent
	next   uint64
	acked  uint64
	ended  bool // it has nothing more to send
	end    uint64
	fails  map[uint64]int8
	stream *stream
	lost   map[uint64]bool // positions that a failover may have lost for good
}

// stream is a connection of a source to one session. What follows something
// that did not arrive, or was refused, does not arrive either: a cursor that
// moved over a later position would pass the earlier ones off as consumed.
type stream struct {
	p    *process
	x    *session
	last message.Time
	dead bool
}

func newSource(s *Sim, i int, end uint64) *source {
	r := newRNG(s.seed, 3+uint64(i))
	w, _ := drawOps(s.seed, 0)
	src := &source{s: s, num: uint32(i+1) << 24, name: fmt.Sprintf("topic/%d", i), agent: w.account(r), next: 1, end: end,
		fails: make(map[uint64]int8), lost: make(map[uint64]bool)}
	for p := range end {
		if r.oneIn(10) {
			src.fails[p+1] = int8(r.intn(6))
		}
	}
	return src
}

// op is the number that a position counts under.
func (src *source) op(p uint64) uint32 { return src.num | uint32(p) }

// feed sends the next position, now and then.
func (src *source) feed() {
	s := src.s
	if src.ended = src.acked >= src.end; src.ended {
		return
	}
	s.after(s.rng.between(5*time.Millisecond, 60*time.Millisecond), src.feed)
	shard := s.shardOf(src.agent)
	if st := src.stream; st == nil || st.dead || st.p.dead {
		p := s.clients.reachable(shard)
		if p == nil {
			return
		}
		if st != nil {
			s.reach(StreamBroken)
			if s.cluster && s.rng.oneIn(2) {
				s.clients.guessAgain(shard)
			}
		}
		src.stream, src.next = &stream{p: p}, src.acked+1
	}
	switch {
	case s.strike(Redeliver):
		src.next = max(1, src.acked+1-min(src.acked, uint64(s.rng.intn(3))))
	case src.next > src.acked+4 || src.next > src.end:
		src.next = src.acked + 1
	}
	p := src.next
	src.next++
	src.send(src.stream, p, shard)
}

func (src *source) send(st *stream, p uint64, shard message.Shard) {
	s := src.s
	if s.keep {
		s.tracef("feed %s@%d to node %d", src.name, p, st.p.n.id)
	}
	m := &message.Message{To: src.agent, Action: "seq", Principal: principal, Source: src.name, Position: p,
		Body: body{op: src.op(p), amt: 1, fails: src.fails[p]}.bytes()}
	if !s.networked {
		src.arrive(st, p, shard, m)
		return
	}
	if st.p.cutOff(toClients) || s.strike(Drop) {
		st.dead = true // as both ends find out
		return
	}
	st.last = max(s.now+s.transit(), st.last+1)
	st.p.after(st.last-s.now, func() { src.arrive(st, p, shard, m) })
}

func (src *source) arrive(st *stream, p uint64, shard message.Shard, m *message.Message) {
	s, x := src.s, st.p.sessions[shard]
	if st.x == nil {
		st.x = x
	}
	if st.dead || x == nil || x != st.x || x.closing {
		st.dead = true
		return
	}
	q := &request{what: fmt.Sprintf("%s@%d", src.name, p), p: st.p, index: len(s.clients.open), stream: st}
	q.gone = func() { st.dead = true }
	q.then = func(a core.Answer) {
		if s.cluster && x.born != s.store.timeline {
			st.dead = true // what it says may be lost, and the source was set back
			return
		}
		if a.Fault == nil {
			src.acked = max(src.acked, p)
			return
		}
		switch a.Fault.Code {
		case message.CodeCanceled, message.CodeStoreUnavailable, message.CodeCommitUnknown, message.CodeInFlight:
		default:
			s.failf("%s: %v", q.what, a.Fault)
		}
	}
	s.clients.open = append(s.clients.open, q)
	if s.networked {
		s.after(message.Time(patience), func() { s.clients.nothing(q) })
	}
	k := x.submit(q, true, func(now message.Time, k *core.Caller) { x.m.Submit(now, k, m) })
	x.mayCancel(k, 10*time.Millisecond)
}
