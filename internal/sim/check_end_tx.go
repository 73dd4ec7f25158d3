package sim

import (
	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// checkTransactions: all or none of each transaction, nothing of what was promised
// to one that was aborted, and nobody is left prepared.
func (s *Sim) checkTransactions() {
	var states [len(banks)][]byte
	for i, a := range banks {
		states[i] = s.numbers(a)
	}
	var balances, total [len(banks)]int64
	for _, o := range s.clients.ops {
		if o.agent.Type == "bank" {
			s.checkPoke(o, getNumber(states[account(o.agent)], nameOf(nSeen, whole, o.n)))
		}
		if o.agent.Type != "coord" {
			continue
		}
		did := s.commits(o.n)
		heard, wants := int64(0), int64(0)
		for i := range banks {
			heard += getNumber(states[i], nameOf(nPromised, 0, o.n))
		}
		for _, br := range branchesOf(o.body) {
			n, want := getNumber(states[br.bank], nameOf(nPart, 0, o.n)), int64(0)
			if did && br.amt != 0 {
				want = 1
			}
			wants += want * promisesOf
			balances[br.bank] += want * int64(br.amt)
			if n != want {
				s.failf("%s, committed %v, was done %d times at %s", txName(o.n), did, n, banks[br.bank])
			}
		}
		if heard != wants {
			s.failf("%s, committed %v, had promised %d messages, and %d came", txName(o.n), did, wants, heard)
		}
		if o.final != nil && !o.excused && !o.unknown && (o.final.Status == message.StatusDone) != did {
			s.failf("%s is told %s, and is committed: %v", txName(o.n), describe(core.Answer{Outcome: o.final}), did)
		}
	}
	for i := range banks {
		total[i] = getNumber(states[i], nameOf(nBalance, 0, 0))
		if total[i] != balances[i] || getNumber(states[i], nameOf(nDirt, 0, 0)) != 0 {
			s.failf("%s has %d; its transactions come to %d", banks[i], total[i], balances[i])
		}
	}
	s.checkNobodyPrepared()
}

func (s *Sim) checkPoke(o *op, n int64) {
	lo, hi := int64(0), int64(1)
	switch {
	case o.twice:
		hi = 2
	case o.final != nil && !o.unknown && !o.excused:
		if hi = 0; o.final.Status == message.StatusDone {
			lo, hi = 1, 1
		}
	}
	if n < lo || n > hi {
		s.failf("%s counts %d of %s; want %d to %d", o.agent, n, o, lo, hi)
	}
}

// checkNobodyPrepared: no promise and no coordinator outlives its transaction.
func (s *Sim) checkNobodyPrepared() {
	for _, r := range s.store.visible {
		for _, row := range r.scan(message.TableState, "") {
			k := message.RowKey{Table: message.TableState, Key: row.Key}
			a, _, err := message.ParseAgentKey(row.Key)
			if p := s.promisedBy(k, row.Value); err != nil || p.tx != "" || a.Type == "coord" {
				s.failf("when all is done, %s is there, and has promised something to %q (%v)", a, p.tx, err)
			}
		}
	}
}

// checkWithdrawals: what was told as not done never happened.
func (s *Sim) checkWithdrawals() {
	for _, e := range s.sortedEffects() {
		if d := e.withdrawn; d != nil && d.told == message.StatusNotDone && e.happened > 0 && e.ask.policy != roPolicy && !e.excused {
			s.failf("effect %s (%s) was withdrawn and told as not done, and happened", e.id, e.policy())
		}
	}
}
