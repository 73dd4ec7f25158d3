package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// Two-phase commits over a few banks, whose money nothing else moves, so that all
// of it is zero at any moment. A coordinator is an agent for one transaction: it
// asks for one vote after the other, in the order of the banks' names, so that no
// two wait for each other; it aborts at the first no, or when its time is over; it
// ends when every vote and every acknowledgement has come.

var banks [3]message.Agent

func init() {
	for i := range banks {
		banks[i] = agentOf("bank", fmt.Sprintf("b%d", i))
	}
}

func coordinatorOf(op uint32) message.Agent { return agentOf("coord", txName(op)) }

func txName(op uint32) string { return fmt.Sprintf("x%d", op) }

func opOfTx(tx string) uint32 {
	n, err := strconv.ParseUint(strings.TrimPrefix(tx, "x"), 10, 32)
	if err != nil {
		panic(err)
	}
	return uint32(n)
}

// What a transaction is for (body.n), and what may befall it (body.timer).
const (
	moveMoney = iota
	readMoney // of all banks, at one moment
)
const (
	nothingBefalls = iota
	killsPrepared  // the process, while it prepares
)

// branch is a transaction at one bank.
type branch struct {
	bank uint8
	amt  int32
}

// branchesOf are those of an op, in the order of the banks' names.
func branchesOf(b body) (out []branch) {
	var amts [len(banks)]int32
	if b.n == moveMoney {
		amts[b.to] -= 2 * b.amt
		amts[b.policy] += b.amt
		amts[b.action] += b.amt
	}
	for i := range uint8(len(banks)) {
		if b.n == readMoney || i == b.to || i == b.policy || i == b.action {
			out = append(out, branch{i, amts[i]})
		}
	}
	return out
}

// drawTx draws a transaction.
func (o *op) drawTx(r *rng) {
	b := &o.body
	o.action, o.agent = "begin", coordinatorOf(o.n)
	*b = body{op: o.n, amt: 1 + int32(r.intn(60)), fails: b.fails, ms: pick[int32](r, 5, 30, 100, 1000, 1000)}
	b.to, b.policy, b.action = uint8(r.intn(len(banks))), uint8(r.intn(len(banks))), uint8(r.intn(len(banks)))
	if !r.oneIn(4) {
		b.fails = 0
	}
	switch k := r.intn(12); {
	case k < 4:
		b.n = readMoney
	case k == 4:
		b.timer = killsPrepared
	}
}

func (s *Sim) bankTypes(types map[string]*core.Type) {
	types["coord"] = &core.Type{Load: loadLedger, Schema: 2, Actions: map[string]*core.Action{
		"begin": s.numbered(s.begin),
		"voted": s.numbered(s.voted),
		"told":  s.numbered(s.told),
		"tick":  s.numbered(s.tick),
		"timed": s.numbered(s.timed),
	}}
	types["bank"] = &core.Type{Load: loadLedger, Schema: 1, Actions: map[string]*core.Action{
		"part":     s.promises(s.part),
		"promised": s.numbered(s.promised),
		"poke":     s.numbered(s.poke),
	}}
}

func (s *Sim) begin(st *core.Step, l *ledger, b body) core.Result {
	l.add(nameOf(nSeen, whole, b.op), 1)
	st.Send(core.Outgoing{To: st.Message().To, Action: "tick", Body: b.bytes(), Then: "timed", Context: b.bytes(),
		Delay: time.Duration(b.ms) * time.Millisecond})
	s.askNext(st, l, b)
	return core.Result{Verdict: core.Deferred}
}

// askNext asks the next bank for its vote.
func (s *Sim) askNext(st *core.Step, l *ledger, b body) {
	i := l.get(nameOf(nSent, 0, b.op))
	br := branchesOf(b)[i]
	in := b
	in.part, in.to, in.amt = inner, br.bank, br.amt
	b.pad = uint16(i)
	st.Send(core.Outgoing{To: banks[br.bank], Action: "part", Body: in.bytes(), Then: "voted", Context: b.bytes(),
		Branch: &message.Branch{Tx: txName(b.op), Phase: message.Prepare}})
	l.add(nameOf(nSent, 0, b.op), 1)
}

const (
	committed = 1
	aborted   = 2
)

// decide tells all that may have promised something.
func (s *Sim) decide(st *core.Step, l *ledger, b body, decision int64) {
	l.set(nameOf(nDecided, 0, b.op), decision)
	phase, action := message.Abort, "tx:abort"
	if decision == committed {
		phase, action = message.Commit, "tx:commit"
	}
	for i, br := range branchesOf(b)[:l.get(nameOf(nSent, 0, b.op))] {
		if l.get(nameOf(nNo, part(i), b.op)) > 0 {
			continue
		}
		b.pad = uint16(i)
		st.Send(core.Outgoing{To: banks[br.bank], Action: action, Then: "told", Context: b.bytes(),
			Branch: &message.Branch{Tx: txName(b.op), Phase: phase}})
		l.add(nameOf(nTold, 0, b.op), 1)
	}
}

func (s *Sim) voted(st *core.Step, l *ledger, _ body) core.Result {
	m := st.Message()
	b := s.ofTx(st, l)
	l.add(nameOf(nVoted, 0, b.op), 1)
	yes := m.Answer.Status == message.StatusDone
	switch decided := l.get(nameOf(nDecided, 0, b.op)); {
	case !yes && m.Answer.Status != message.StatusRejected:
		s.failf("the vote of %s is %s", txName(b.op), m.Answer.Status)
	case decided == committed:
		s.failf("%s was committed before its last vote came", txName(b.op))
	case decided == aborted:
		if !yes && strings.Contains(m.Answer.Detail, "decided before") {
			s.reach(VoidVote)
		}
	case !yes:
		l.set(nameOf(nNo, part(b.pad), b.op), 1)
		s.decide(st, l, b, aborted)
	default:
		s.yes(st, l, b)
	}
	return s.finishTx(st, l, b)
}

// yes goes on with the next bank, or commits.
func (s *Sim) yes(st *core.Step, l *ledger, b body) {
	m, br := st.Message(), branchesOf(b)
	if readOnly := br[b.pad].amt == 0; readOnly != (m.Answer.Code == core.CodeReadOnly) {
		s.failf("the vote of %s has the code %q", txName(b.op), m.Answer.Code)
	}
	sum := nameOf(nSum, 0, b.op)
	l.add(sum, int64(bodyOf(m.Body).amt))
	if int(l.get(nameOf(nSent, 0, b.op))) < len(br) {
		s.askNext(st, l, b)
		return
	}
	if b.n == readMoney {
		s.reach(ReadTogether)
		if l.get(sum) != 0 && !s.running.loses() {
			s.failf("%s reads %d in all banks at one moment, and there is nothing in all of them", txName(b.op), l.get(sum))
		}
	}
	s.decide(st, l, b, committed)
}

// loses says whether a session goes on in a world that a failover has lost.
func (x *session) loses() bool { return x.s.cluster && x.born != x.s.store.timeline }

// ofTx is the op of a vote or an acknowledgement, for which its coordinator waits.
func (s *Sim) ofTx(st *core.Step, l *ledger) body {
	b := bodyOf(st.Message().Answer.Link.Context)
	if l.get(nameOf(nSeen, whole, b.op)) == 0 {
		s.failf("%s hears %s after it has forgotten its transaction", st.Message().To, st.Message().Action)
	}
	return b
}

func (s *Sim) told(st *core.Step, l *ledger, _ body) core.Result {
	b := s.ofTx(st, l)
	if a := st.Message().Answer; a.Status != message.StatusDone {
		s.failf("a bank answers the decision of %s with %s %s: %s", txName(b.op), a.Status, a.Code, a.Detail)
	}
	l.add(nameOf(nAcked, 0, b.op), 1)
	return s.finishTx(st, l, b)
}

// tick comes when the time of a transaction is over. Its answer, unlike it, bears
// who waits for the transaction.
func (s *Sim) tick(st *core.Step, l *ledger, b body) core.Result {
	if l.get(nameOf(nSeen, whole, b.op)) == 0 {
		return s.forget(st, replied(body{}))
	}
	return replied(body{})
}

func (s *Sim) timed(st *core.Step, l *ledger, _ body) core.Result {
	b := bodyOf(st.Message().Answer.Link.Context)
	if l.get(nameOf(nSeen, whole, b.op)) == 0 {
		return s.forget(st, replied(body{}))
	}
	if l.get(nameOf(nDecided, 0, b.op)) == 0 {
		s.reach(TxTimedOut)
		s.decide(st, l, b, aborted)
	}
	return s.finishTx(st, l, b)
}

func (s *Sim) forget(st *core.Step, r core.Result) core.Result {
	st.Forget()
	s.asides.ends = true
	return r
}

// finishTx forgets the transaction when all have said all that they will.
func (s *Sim) finishTx(st *core.Step, l *ledger, b body) core.Result {
	get := func(kind name) int64 { return l.get(nameOf(kind, 0, b.op)) }
	if get(nDecided) == 0 || get(nVoted) < get(nSent) || get(nAcked) < get(nTold) {
		return core.Result{Verdict: core.Deferred}
	}
	l.add(nameOf(nAnswer, 0, b.op), 1)
	if get(nDecided) == committed {
		return s.forget(st, replied(body{op: b.op}))
	}
	return s.forget(st, refused("aborted", true))
}
