package sim

import (
	"bytes"
	"math/bits"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

func sameOutcome(a, b *message.Outcome) bool {
	return a.Status == b.Status && bytes.Equal(a.Body, b.Body) && a.Code == b.Code && a.Detail == b.Detail
}

func answerHash(a core.Answer) uint64 {
	if a.Fault != nil {
		return xxh3.HashString(string(a.Fault.Code))
	}
	return uint64(a.Outcome.Status)<<56 ^ xxh3.Hash(a.Outcome.Body) ^ xxh3.HashString(a.Outcome.Code)
}

// judge looks at an answer that arrived at its client.
func (c *clients) judge(q *request, a core.Answer) {
	o := q.o
	if a.Fault != nil {
		c.judgeFault(o, a.Fault)
		return
	}
	out := a.Outcome
	if o.key != "" && o.action != "remove" && out.Status.Settled() {
		c.s.checkOutcome(o, out)
	}
	switch {
	case o.action == "remove" || o.key == "":
		o.settled, o.final = true, out
	case !out.Status.Settled():
		c.again(o, time.Millisecond, 150*time.Millisecond)
	case o.action == "quick":
		if o.final == nil {
			o.final, o.settled = out, true
		}
	default:
		c.judgeFinal(o, a)
	}
}

// judgeFinal: an outcome that is settled is the same for ever.
func (c *clients) judgeFinal(o *op, a core.Answer) {
	s, out := c.s, a.Outcome
	s.judgedAnew(o)
	if o.final != nil && !sameOutcome(o.final, out) {
		s.failf("%s was answered %s, and now %s", o, describe(core.Answer{Outcome: o.final}), describe(a))
	}
	if o.final == nil {
		_, timed := message.KeyTime(o.key)
		o.twice = !timed && out.Settled > o.first+message.Time(s.cfg.Retention)-1e9 // clocks leapt while it waited
		s.after(s.rng.between(0, 2*s.cfg.Retention), func() { c.replay(o) })
		if s.rng.oneIn(3) {
			s.after(s.rng.between(0, 100*time.Millisecond), func() { c.replay(o) })
		}
	}
	o.final, o.settled = out, true
}

func (c *clients) judgeFault(o *op, f *message.Fault) {
	s := c.s
	again := func() { c.again(o, time.Millisecond, 150*time.Millisecond) }
	switch f.Code {
	case message.CodeHandlerFailed, message.CodeCanceled, message.CodeInFlight, message.CodeStoreUnavailable, message.CodeCommitUnknown:
		again()
	case message.CodeKeyInFuture:
		again() // the clock went back
	case message.CodeInvalidRequest:
		if o.action != "invalid" {
			s.failf("%s: %v", o, f)
		}
		o.settled = true
	case message.CodeKeyExpired:
		s.reach(Expired)
		shard := s.shardOf(o.agent)
		if o.final != nil && !o.unknown && !o.excused && o.final.Settled > s.clock(shard)-message.Time(s.cfg.Retention)+1e9 && !s.backwards[shard] {
			s.failf("%s expired within its retention", o)
		}
		if !o.unknown { // once expired is expired for ever, or it would run again
			s.after(s.rng.between(0, s.cfg.Retention/2), func() { c.replay(o) })
		}
		o.settled, o.unknown = true, true
	case message.CodeUnknownAgent:
		if o.action != "remove" {
			s.failf("%s: %v", o, f)
		}
		o.settled = true
	default:
		s.failf("%s: %v", o, f)
	}
}

// judgeReplay looks at the answer to a repetition or a lie.
func (c *clients) judgeReplay(q *request, a core.Answer) {
	s, o := c.s, q.o
	if o.excused || o.final == nil && !q.evil {
		return // what it would repeat is lost
	}
	switch f := a.Fault; {
	case f == nil && q.evil:
		s.failf("%s under the same key is answered %s", q.name(), describe(a))
	case f == nil:
		if !sameOutcome(o.final, a.Outcome) {
			s.failf("%s was answered %s, and later %s", o, describe(core.Answer{Outcome: o.final}), describe(a))
		}
	case f.Code == message.CodeCanceled || f.Code == message.CodeInFlight || f.Code == message.CodeStoreUnavailable || f.Code == message.CodeCommitUnknown:
	case f.Code == message.CodeConflict && q.evil:
		s.reach(Conflicted)
	case f.Code == message.CodeKeyExpired && (!q.must || s.backwards[s.shardOf(o.agent)]):
	default:
		s.failf("%s (must %v): %v", q.name(), q.must, f)
	}
}

// checkReleased: whatever a node says is durable when it says so.
func (x *session) checkReleased(k *call, a core.Answer) {
	q := k.q
	switch {
	case q.o == nil && a.Fault == nil && a.Outcome.Action == "query":
		x.checkRead(a)
	case q.o == nil:
	case a.Fault != nil && (a.Fault.Code == message.CodeKeyExpired || a.Fault.Code == message.CodeKeyInFuture):
		x.checkTime(k, a.Fault)
	case q.evil:
		x.checkConflict(q.o, a)
	case x.outdated(q.o) || q.o.key == "" || q.o.action == "remove" || q.o.action == "quick":
	case a.Fault != nil:
		if a.Fault.Code == message.CodeInFlight && strings.HasPrefix(a.Fault.Detail, "it was accepted") {
			x.checkAccepted(q.o)
		}
	case a.Outcome.Status.Settled():
		x.checkRecorded(q.o, a.Outcome)
	default:
		x.checkAccepted(q.o)
	}
}

// checkRecorded: an outcome that is let go is durable in the dedup log.
func (x *session) checkRecorded(o *op, out *message.Outcome) {
	s := x.s
	if v := s.acked(x.id).recorded(o.row); v != nil {
		was, err := core.ReadOutcome(message.RowKey{Table: message.TableDedup, Key: []byte(o.row)}, v)
		if err != nil || !sameOutcome(was, out) {
			s.failf("%s is answered %s, but %s is recorded (%v)", o, describe(core.Answer{Outcome: out}), describe(core.Answer{Outcome: was}), err)
		}
		return
	}
	if out.Settled > s.clock(x.id)-message.Time(s.cfg.Retention)+1e9 {
		s.failf("%s is answered, but its outcome is not durable", o)
	}
}

// checkAccepted: that a call was accepted is durable when its caller hears it,
// and until its outcome may be forgotten.
func (x *session) checkAccepted(o *op) {
	now := max(x.clock(), x.s.clock(x.id)) // its successors may be ahead, and have forgotten it
	if o.first < now-message.Time(x.s.cfg.Retention)+1e9 {
		return
	}
	r := x.s.acked(x.id)
	if r.tables[message.TableOpen][o.row] == nil && r.recorded(o.row) == nil {
		x.s.failf("%s is told that it was accepted, and nothing durable says so", o)
	}
}

// checkConflict: that a key was used before is durable when it is said.
func (x *session) checkConflict(o *op, a core.Answer) {
	if a.Fault != nil && a.Fault.Code == message.CodeConflict && !x.outdated(o) {
		x.checkAccepted(o)
	}
}

// maxLead is what the machine takes the largest lead of a key for, at most: it
// counts leads in powers of two.
func (s *Sim) maxLead() message.Time { return 1 << bits.Len64(uint64(s.cfg.Skew)) }

// checkTime: a key is refused for its time only if that is beyond what the
// dedup log remembers, or ahead by more than the skew.
func (x *session) checkTime(k *call, f *message.Fault) {
	s, o := x.s, k.q.o
	t, timed := message.KeyTime(o.key)
	at := message.Time(t)
	now := x.m.Look(x.clock()).At // a shard that was opened again and again is ahead of its process
	switch {
	case !timed:
		s.failf("%s is refused for the time of its key, which has none: %v", o, f)
	case f.Code == message.CodeKeyInFuture && at <= k.at+message.Time(s.cfg.Skew):
		s.failf("%s: its key is %v ahead: %v", o, time.Duration(at-k.at), f)
	case f.Code == message.CodeKeyExpired && at > now-message.Time(s.cfg.Retention)+s.maxLead() && !s.backwards[x.id]:
		s.failf("%s: its key is %v old: %v", o, time.Duration(now-at), f)
	}
}

// checkNotDone: what is said not to have been executed was not, and is not
// recorded as if it were. It can be told only of a call that came once.
func (x *session) checkNotDone(k *call) {
	o, s := k.q.o, x.s
	if o == nil || o.arrived != 1 || o.key == "" || k.q.probe || k.q.evil || o.action == "remove" {
		return
	}
	r := s.acked(x.id)
	if !x.outdated(o) && (r.tables[message.TableOpen][o.row] != nil || r.recorded(o.row) != nil) {
		s.failf("%s is told that it was not executed, and it is recorded", o)
	}
}

// checkRead: what a read shows is durable.
func (x *session) checkRead(a core.Answer) {
	s := x.s
	if s.cluster && x.born != s.store.timeline {
		return // what it knows may be lost
	}
	agent := agentOf("acct", a.Outcome.Detail)
	if a.Outcome.Detail[0] == 'b' {
		agent = agentOf("bank", a.Outcome.Detail)
	}
	k := message.RowKey{Table: message.TableState, Key: agent.AppendKey(nil)}
	var version uint64
	var data []byte
	if v := s.acked(x.id).get(k); v != nil {
		version, data, _ = core.ReadStateData(k, v)
	}
	if a.Version > version {
		s.failf("a read of %s shows version %d; version %d is durable", agent, a.Version, version)
	}
	if a.Version == version && !bytes.Equal(a.Outcome.Body, data) {
		s.failf("a read of %s at version %d shows another state than is stored", agent, a.Version)
	}
}
