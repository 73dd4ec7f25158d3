package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// drainedTables are empty when everything has come to its end.
var drainedTables = []message.Table{
	message.TableOpen, message.TableMailbox, message.TableControl, message.TableEffect,
	message.TableDue, message.TableTimer, message.TableDead,
}

// unfinished says what is still under way, or nothing.
func (s *Sim) unfinished() string {
	if w := s.clients.unfinished(); w != "" {
		return w
	}
	for i := range s.last {
		shard := message.Shard(i)
		x := s.owner(shard)
		if x == nil {
			return fmt.Sprintf("shard %d has no owner", shard)
		}
		if n := len(x.calls) + len(x.held.answers) + len(x.held.jobs) + len(x.flights); n > 0 {
			return fmt.Sprintf("shard %d: %d calls, %d answers for the open unit (%v), %d units in flight", shard, len(x.calls), len(x.held.answers), x.m.HasUnit(), len(x.flights))
		}
		for _, t := range drainedTables {
			if n := len(s.store.visible[shard].tables[t]); n > 0 {
				return fmt.Sprintf("shard %d: %d rows in table %d, the first %q", shard, n, t, s.store.visible[shard].keys(t, "")[0])
			}
		}
		if err := x.m.AtRest(); err != nil {
			return fmt.Sprintf("shard %d: %v", shard, err)
		}
		if err := s.consumed(shard); err != nil {
			return err.Error()
		}
	}
	return ""
}

// consumed says whether a shard has all that others sent to it.
func (s *Sim) consumed(shard message.Shard) error {
	for src := range s.last {
		k := message.RowKey{Table: message.TableCursor, Key: binary.BigEndian.AppendUint16([]byte("c"), uint16(src))}
		var at uint64
		if v := s.store.visible[shard].get(k); v != nil {
			var err error
			if at, err = core.ReadPosition(k, v); err != nil {
				return err
			}
		}
		if end := s.fences[src].outEnd[shard]; at != end {
			return fmt.Errorf("shard %d is at %d of %d from shard %d", shard, at, end, src)
		}
	}
	return nil
}

// unfinished says what is still wanted, or nothing.
func (c *clients) unfinished() string {
	c.unsure = slices.DeleteFunc(c.unsure, func(o *op) bool { return o.settled })
	if len(c.unsure) > 0 {
		return fmt.Sprintf("%s has no final answer", c.unsure[0])
	}
	for _, src := range c.sources {
		if src.acked < src.end {
			return fmt.Sprintf("%s is at %d of %d", src.name, src.acked, src.end)
		}
	}
	if len(c.open) > 0 {
		return "no answer to " + c.open[0].name()
	}
	return ""
}

// checkEnd looks for what was left behind.
func (s *Sim) checkEnd() {
	s.store.sync(len(s.store.log))
	for i := range s.last {
		// A timer that was on trial may have been cancelled since; nobody minds
		// its row before the next clean start.
		if n := len(s.store.visible[i].keys(message.TableMeta, "trial")); n > 3 {
			s.failf("shard %d: %d rows of trials are left when all is done", i, n)
		}
		s.owner(message.Shard(i)).checkGauges()
		s.checkFeed(message.Shard(i))
	}
	t := &totals{c: s.clients}
	for _, o := range s.clients.ops {
		if o.agent.Type == "acct" && o.action != "poison" && o.action != "invalid" {
			t.op(o)
		}
	}
	t.sources()
	t.agents()
	s.checkTransactions()
	s.checkWithdrawals()
	t.timers()
}

// numbers reads an agent's state from the store.
func (s *Sim) numbers(a message.Agent) []byte {
	k := message.RowKey{Table: message.TableState, Key: a.AppendKey(nil)}
	v := s.store.visible[s.shardOf(a)].get(k)
	if v == nil {
		return nil
	}
	_, data, err := core.ReadStateData(k, v)
	if err != nil {
		s.failf("%v", err)
	}
	return data
}

// totals compare the agents with what their callers were told.
type totals struct {
	c      *clients
	states [maxAgents][]byte
	known  [maxAgents]bool
	want   [maxAgents]int64 // balances
}

func (t *totals) get(account uint8, n name) int64 {
	if !t.known[account] {
		t.known[account], t.states[account] = true, t.c.s.numbers(accounts[account])
	}
	return getNumber(t.states[account], n)
}

func (t *totals) count(account uint8, what string, of fmt.Stringer, n, lo, hi int64) {
	if n < lo || n > hi {
		t.c.s.failf("a%d counts %d of %s (%s); want %d to %d", account, n, of, what, lo, hi)
	}
}

func (t *totals) op(o *op) {
	id := account(o.agent)
	n := t.get(id, nameOf(nSeen, whole, o.n))
	amt := int64(o.body.amt)
	done := o.final != nil && o.final.Status == message.StatusDone
	lo, hi := int64(0), int64(1)
	if !o.unknown && o.action != "quick" && !o.excused {
		lo, hi = 0, 0
		if done || o.final != nil && o.final.Status != message.StatusDone &&
			(o.action == "transfer" && t.get(id, nameOf(nSeen, answering, o.n)) > 0 || o.action == "effect" || o.action == "retract" || o.action == "ask") {
			lo, hi = 1, 1
		}
	}
	switch {
	case o.action == "again":
		hi = int64(o.arrived)
	case o.twice:
		lo, hi = 0, 2
	}
	t.count(id, "step", o, n, lo, hi)
	switch o.action {
	case "credit", "quick", "again":
		if amt > 0 {
			t.want[id] += amt * n
		}
	case "debit":
		t.want[id] -= amt * n
	case "transfer":
		t.transfer(o, id, n, amt, done)
	case "spawn":
		if o.body.action == creditAction {
			t.count(o.body.to, "credit", o, t.get(o.body.to, nameOf(nSeen, extra, o.n)), n, n)
		}
	case "effect", "retract":
		if o.body.n != 1 {
			t.count(id, "effected", o, t.get(id, nameOf(nEffect, whole, o.n)), n, n)
		}
		t.c.checkEffect(o)
	case "ask":
		t.count(id, "answered", o, t.get(id, nameOf(nAnswer, 0, o.n)), n, n)
		in := int64(0)
		if done && o.body.action != poisonAction && !o.excused && !o.twice {
			in = 1
		}
		if o.body.action == creditAction || done {
			t.count(o.body.to, "asked for", o, t.get(o.body.to, nameOf(nSeen, inner, o.n)), in, max(n, 1))
		}
	}
}

func (t *totals) transfer(o *op, id uint8, n, amt int64, done bool) {
	in := t.get(o.body.to, nameOf(nSeen, inner, o.n))
	t.count(o.body.to, "coming in", o, in, 0, n)
	t.count(id, "answer", o, t.get(id, nameOf(nSeen, answering, o.n)), n, n)
	if !o.excused && !o.twice && (done && in != 1 || o.final != nil && !done && in != 0) {
		t.c.s.failf("%s is %s, but %d came in", o, o.final.Status, in)
	}
	t.want[id] -= amt * in
	t.want[o.body.to] += amt * in
}

func (t *totals) sources() {
	for _, src := range t.c.sources {
		id := account(src.agent)
		for p := uint64(1); p <= src.end; p++ {
			n, lo := t.get(id, nameOf(nSeen, whole, src.op(p))), int64(1)
			if src.lost[p] {
				lo = 0
			}
			t.count(id, fmt.Sprint("position ", p), src, n, lo, 1)
			t.want[id] += n
		}
	}
}

// String is for failures.
func (src *source) String() string { return src.name }

func (t *totals) agents() {
	s := t.c.s
	for i := range t.c.load.agents {
		id := uint8(i)
		if got := t.get(id, nameOf(nBalance, 0, 0)); got != t.want[id] {
			s.failf("the balance of a%d is %d; its answers say %d", id, got, t.want[id])
		}
		if t.get(id, nameOf(nDirt, 0, 0)) != 0 {
			s.failf("a%d kept what failed steps wrote", id)
		}
		for j := range t.c.load.agents {
			from := uint8(j)
			out, in := t.get(from, nameOf(nOut, 0, uint32(id))), t.get(id, nameOf(nIn, 0, uint32(from)))
			if out != in && !s.overtaken[accounts[id].ID] {
				s.failf("a%d sent %d notes to a%d, which has %d", from, out, id, in)
			}
		}
	}
}

func (t *totals) timers() {
	s := t.c.s
	for _, a := range clocks {
		data := s.numbers(a)
		for i := 0; i < len(data); i += record {
			n := name(binary.LittleEndian.Uint64(data[i:]))
			if set := getNumber(data, n); n.kind() == nWant && set != 0 {
				s.failf("a timer of %s, set by op%d, never fired", a, set-1)
			}
		}
	}
}

// checkEffect compares what an op was told of its effect with the ledger.
func (c *clients) checkEffect(o *op) {
	if o.final == nil || o.body.n == 1 || o.body.policy == roPolicy || o.excused || o.twice {
		return
	}
	for _, e := range c.s.sortedEffects() {
		if e.ask.op != o.n || e.ask.part != whole || e.excused {
			continue
		}
		switch o.final.Status {
		case message.StatusDone:
			if e.happened != 1 {
				c.s.failf("%s is done, and its effect (%s) happened %d times", o, e.policy(), e.happened)
			}
		case message.StatusRejected:
			if e.happened != 0 {
				c.s.failf("%s is rejected (%s), and its effect (%s) happened", o, o.final.Code, e.policy())
			}
		}
	}
}

// sortedEffects are the effects in an order that a run repeats.
func (s *Sim) sortedEffects() []*outside {
	if len(s.world.sorted) != len(s.world.effects) {
		s.world.sorted = nil
		for _, e := range s.world.effects {
			s.world.sorted = append(s.world.sorted, e)
		}
		slices.SortFunc(s.world.sorted, func(a, b *outside) int { return bytes.Compare(a.id[:], b.id[:]) })
	}
	return s.world.sorted
}
