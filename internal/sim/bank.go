package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// overdraft is how far below zero a bank may be.
const overdraft = 100

// promises runs a handler whose step is only promised, and remembers what that
// would change.
func (s *Sim) promises(f handler) *core.Action {
	return &core.Action{Run: func(st *core.Step, state core.State) core.Result {
		l, m := state.(*ledger), st.Message()
		if m.Branch == nil || m.Branch.Phase != message.Prepare {
			s.failf("%s of %s runs, and is to be promised", m.Action, m.To)
		}
		r := f(st, l, bodyOf(m.Body))
		if r.Verdict == core.Replied {
			s.running.steps = append(s.running.steps, &doneStep{agent: m.To, changes: slices.Clone(l.changes), prepares: m.Branch.Tx})
		}
		return r
	}}
}

func (s *Sim) part(st *core.Step, l *ledger, b body) core.Result {
	if r, ok := s.flaky(st, l, b.op, whole, int(b.fails)); ok {
		return r
	}
	if b.timer == killsPrepared {
		return s.kill(st, l, b)
	}
	balance := l.get(nameOf(nBalance, 0, 0))
	switch {
	case b.amt == 0:
		return replied(body{op: b.op, amt: int32(balance)})
	case balance+int64(b.amt) < -overdraft:
		litter(st, l)
		return refused("overdrawn", true)
	}
	l.add(nameOf(nPart, 0, b.op), 1)
	l.add(nameOf(nBalance, 0, 0), int64(b.amt))
	more := body{op: b.op, part: inner, n: 1, policy: uint8(b.op) % uint8(len(policies))}
	st.Send(core.Outgoing{To: banks[(int(b.to)+1)%len(banks)], Action: "promised", Body: more.bytes(), Delay: time.Duration(b.op%2) * time.Millisecond})
	st.SetTimer(fmt.Sprint("p", b.op), time.Millisecond, "promised", more.bytes())
	if b.op%3 == 0 {
		s.world.promised(st.Ask(core.Call{Effect: policies[more.policy], Body: more.bytes()}), more)
	}
	if b.op%4 == 0 {
		st.Hold("promise", 5*time.Millisecond)
	}
	return replied(body{op: b.op, amt: int32(balance)})
}

// promisesOf is how often banks hear of what one of them promised.
const promisesOf = 2

func (s *Sim) promised(st *core.Step, l *ledger, b body) core.Result {
	if !s.commits(b.op) && !s.running.loses() {
		s.failf("%s hears what %s promised, which was not committed", st.Message().To, txName(b.op))
	}
	l.add(nameOf(nPromised, 0, b.op), 1)
	return replied(body{})
}

func (s *Sim) poke(st *core.Step, l *ledger, b body) core.Result {
	if r, ok := s.flaky(st, l, b.op, whole, int(b.fails)); ok {
		return r
	}
	l.add(nameOf(nSeen, whole, b.op), 1)
	return replied(body{op: b.op})
}
