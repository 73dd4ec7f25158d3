package sim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// What the simulated agents do. Handlers are deterministic but for the failures
// that the simulation makes them have; they judge what reaches them.

var (
	errFlaky  = errors.New("not this time")
	errPoison = errors.New("never")
)

const (
	principal  = "tester"
	flakyPanic = "flaky"
)

func failed(err error) core.Result { return core.Result{Verdict: core.Failed, Err: err} }

func replied(b body) core.Result { return core.Result{Verdict: core.Replied, Body: b.bytes()} }

func refused(code string, keep bool) core.Result {
	return core.Result{Verdict: core.Refused, Code: code, Detail: "because", Keep: keep}
}

func keeps(r core.Result) bool {
	switch r.Verdict {
	case core.Replied, core.Deferred, core.Lost:
		return true
	case core.Refused:
		return r.Keep
	}
	return false
}

// types are the agents' types.
func (s *Sim) types() map[string]*core.Type {
	types := map[string]*core.Type{
		"acct": {Load: loadLedger, Schema: 1, Actions: map[string]*core.Action{
			"credit":      s.account(message.ExactlyOnce, s.credit),
			"quick":       s.account(message.AtMostOnce, s.credit),
			"again":       s.account(message.AtLeastOnce, s.credit),
			"seq":         s.account(message.ExactlyOnce, s.credit),
			"debit":       s.account(message.ExactlyOnce, s.debit),
			"transfer":    s.account(message.ExactlyOnce, s.transfer),
			"transferred": s.account(message.ExactlyOnce, s.transferred),
			"stray":       s.account(message.ExactlyOnce, s.stray),
			"poison":      s.account(message.ExactlyOnce, s.poison),
			"invalid":     s.account(message.ExactlyOnce, s.invalid),
			"kill":        s.account(message.ExactlyOnce, s.kill),
			"spawn":       s.account(message.ExactlyOnce, s.spawn),
			"note":        s.account(message.ExactlyOnce, s.note),
			"hold":        s.account(message.ExactlyOnce, s.hold),
			"release":     s.account(message.ExactlyOnce, s.releaseHold),
			"effect":      s.account(message.ExactlyOnce, s.effect),
			"effected":    s.account(message.ExactlyOnce, s.effected),
			"ask":         s.account(message.ExactlyOnce, s.ask),
			"asked":       s.account(message.ExactlyOnce, s.asked),
			"retract":     s.account(message.ExactlyOnce, s.retract),
			"withdraw":    s.account(message.ExactlyOnce, s.withdraw),
		}},
		"clock": {Load: loadLedger, Schema: 3, Actions: map[string]*core.Action{
			"set":    s.numbered(s.setTimer),
			"cancel": s.numbered(s.cancelTimer),
			"fired":  s.numbered(s.fired),
		}},
		"tally": {Load: loadTally, Actions: map[string]*core.Action{
			"again": {Guarantee: message.AtLeastOnce, Run: s.count},
			"count": {Run: func(st *core.Step, state core.State) core.Result {
				return s.says(st.Message(), func() core.Result { return s.count(st, state) })
			}},
		}},
	}
	s.bankTypes(types)
	return types
}

type handler = func(*core.Step, *ledger, body) core.Result

// numbered runs a handler, and remembers its step if it stands.
func (s *Sim) numbered(f handler) *core.Action {
	return &core.Action{Run: func(st *core.Step, state core.State) core.Result {
		l := state.(*ledger)
		s.asides = asides{}
		r := s.says(st.Message(), func() core.Result { return f(st, l, bodyOf(st.Message().Body)) })
		if keeps(r) {
			done := l.stands(st.Message().To, l.changes)
			done.asides = s.asides
			s.running.steps = append(s.running.steps, done)
		}
		return r
	}}
}

func (s *Sim) account(g message.Guarantee, f handler) *core.Action {
	a := s.numbered(func(st *core.Step, l *ledger, b body) core.Result {
		m := st.Message()
		if m.Principal != principal {
			s.failf("%s of %s runs for principal %q", m.Action, m.To, m.Principal)
		}
		if until := l.get(nameOf(nHeld, 0, 0)); until > int64(st.Now()) {
			if m.Token != strconv.Itoa(int(l.get(nameOf(nToken, 0, 0)))) && !s.backwards[s.running.id] {
				s.failf("%s runs on %s, which is held", m.Action, m.To)
			}
			if s.running.m.Passing(m.To) {
				s.reach(Passed)
			}
		}
		return f(st, l, b)
	})
	a.Guarantee = g
	return a
}

// litter changes all that a step can change. As the step does not stand, nobody
// must ever see anything of it: the world does not know the effect, no handler
// bears a stray message, and the hold outlasts the run.
func litter(st *core.Step, l *ledger) {
	l.add(nameOf(nDirt, 0, 0), 1)
	st.Send(core.Outgoing{To: accounts[0], Action: "stray"})
	st.Send(core.Outgoing{To: accounts[0], Action: "stray", Delay: time.Millisecond})
	st.Ask(core.Call{Effect: policies[askPolicy]})
	st.SetTimer(timers[0], time.Millisecond, "stray", nil)
	st.Hold("litter", time.Hour)
}

func (s *Sim) stray(st *core.Step, _ *ledger, _ body) core.Result {
	s.failf("%s hears what a step sent that does not stand", st.Message().To)
	return replied(body{})
}

// flaky makes a handler fail as often as the message wants.
func (s *Sim) flaky(st *core.Step, l *ledger, op uint32, p part, fails int) (core.Result, bool) {
	k := nameOf(0, p, op)
	if p != whole { // else its client tries again too
		s.checkRetry(st, k)
	}
	if s.failures[k] >= fails {
		return core.Result{}, false
	}
	s.failures[k]++
	s.failedStep(k)
	litter(st, l)
	if s.failures[k]%2 == 0 {
		panic(flakyPanic)
	}
	return failed(errFlaky), true
}

func (s *Sim) credit(st *core.Step, l *ledger, b body) core.Result {
	if r, ok := s.flaky(st, l, b.op, b.part, int(b.fails)); ok {
		return r
	}
	if b.amt < 0 {
		litter(st, l)
		return refused("negative", false)
	}
	l.add(nameOf(nSeen, b.part, b.op), 1)
	l.add(nameOf(nBalance, 0, 0), int64(b.amt))
	return replied(body{op: b.op, part: b.part, amt: b.amt, n: int32(l.get(nameOf(nBalance, 0, 0))), text: zeros[:b.pad]})
}

func (s *Sim) debit(_ *core.Step, l *ledger, b body) core.Result {
	if l.get(nameOf(nBalance, 0, 0)) < int64(b.amt) {
		return refused("insufficient", false)
	}
	l.add(nameOf(nSeen, whole, b.op), 1)
	l.add(nameOf(nBalance, 0, 0), -int64(b.amt))
	return replied(body{op: b.op, amt: -b.amt})
}

func (s *Sim) transfer(st *core.Step, l *ledger, b body) core.Result {
	if l.get(nameOf(nBalance, 0, 0)) < int64(b.amt) {
		return refused("insufficient", false)
	}
	l.add(nameOf(nSeen, whole, b.op), 1)
	l.add(nameOf(nBalance, 0, 0), -int64(b.amt))
	in := body{op: b.op, part: inner, amt: b.amt, fails: b.fails}
	if b.n == 1 {
		in.amt = -b.amt // will be refused
	}
	st.Send(core.Outgoing{To: accounts[b.to], Action: "credit", Body: in.bytes(), Then: "transferred",
		Context: b.bytes(), Delay: time.Duration(b.ms) * time.Millisecond})
	return core.Result{Verdict: core.Deferred}
}

func (s *Sim) transferred(st *core.Step, l *ledger, _ body) core.Result {
	a := st.Message().Answer
	was := bodyOf(a.Link.Context)
	if r, ok := s.flaky(st, l, was.op, answering, int(was.fails)/2); ok {
		return r
	}
	l.add(nameOf(nSeen, answering, was.op), 1)
	if a.Status != message.StatusDone {
		l.add(nameOf(nBalance, 0, 0), int64(was.amt))
		return refused(a.Code, true)
	}
	return replied(body{op: was.op, amt: -was.amt, to: was.to})
}

func (s *Sim) poison(_ *core.Step, l *ledger, _ body) core.Result {
	l.add(nameOf(nDirt, 0, 0), 1)
	return failed(errPoison)
}

func (s *Sim) invalid(*core.Step, *ledger, body) core.Result {
	return core.Result{Verdict: core.Failed, Invalid: true, Err: errPoison}
}

func (s *Sim) kill(st *core.Step, _ *ledger, b body) core.Result {
	s.running.p.killed = true
	s.killers[st.Message().ID] = true
	return replied(b)
}

// mayBeAwaited says whether a dead letter may be a note or a timer, which others
// are in order with. Those fail by themselves never, and kill nothing; but a
// process that often ends by chance may be thought to end by them.
func (s *Sim) mayBeAwaited(a core.Alarm) bool {
	for _, own := range []string{errFlaky.Error(), errPoison.Error(), flakyPanic} {
		if strings.HasSuffix(a.Detail, own) {
			return false
		}
	}
	return !s.killers[a.ID]
}

// innerActions are what spawn and ask send on.
var innerActions = [...]string{"", "poison", "kill", "invalid", "credit", "effect"}

const (
	noAction = iota
	poisonAction
	killAction
	invalidAction
	creditAction
	effectAction
)

// spawn sends notes, and something worse, to another agent.
func (s *Sim) spawn(st *core.Step, l *ledger, b body) core.Result {
	l.add(nameOf(nSeen, whole, b.op), 1)
	out := nameOf(nOut, 0, uint32(b.to))
	for range max(b.n, 1) {
		l.add(out, 1)
		note := body{op: b.op, to: account(st.Message().To), n: int32(l.get(out))}
		st.Send(core.Outgoing{To: accounts[b.to], Action: "note", Body: note.bytes()})
	}
	if b.action != noAction {
		more := body{op: b.op, part: extra, fails: b.fails}
		st.Send(core.Outgoing{To: accounts[b.to], Action: innerActions[b.action], Body: more.bytes(), Delay: time.Duration(b.ms) * time.Millisecond})
	}
	return replied(body{op: b.op})
}

// note: those of one agent to another arrive in order and without a gap.
func (s *Sim) note(st *core.Step, l *ledger, b body) core.Result {
	key := nameOf(nIn, 0, uint32(b.to))
	if got := l.get(key) + 1; got != int64(b.n) && !s.overtaken[st.Message().To.ID] {
		s.failf("note %d of a%d reached %s after note %d", b.n, b.to, st.Message().To, got-1)
	}
	l.set(key, int64(b.n))
	l.add(nameOf(nNotes, 0, 0), 1)
	return replied(body{})
}

func (s *Sim) hold(st *core.Step, l *ledger, b body) core.Result {
	l.add(nameOf(nSeen, whole, b.op), 1)
	d := time.Duration(b.ms) * time.Millisecond
	until := st.Now() + message.Time(d)
	s.heldTo[st.Message().To.ID] = max(s.heldTo[st.Message().To.ID], until)
	l.set(nameOf(nHeld, 0, 0), int64(until))
	l.set(nameOf(nToken, 0, 0), int64(b.n))
	st.Hold(strconv.Itoa(int(b.n)), d)
	return replied(body{op: b.op})
}

func (s *Sim) releaseHold(st *core.Step, l *ledger, b body) core.Result {
	l.add(nameOf(nSeen, whole, b.op), 1)
	if st.Message().Token == strconv.Itoa(int(l.get(nameOf(nToken, 0, 0)))) {
		l.set(nameOf(nHeld, 0, 0), 0)
		st.Release()
	}
	return replied(body{op: b.op})
}

func (s *Sim) effect(st *core.Step, l *ledger, b body) core.Result {
	l.add(nameOf(nSeen, b.part, b.op), 1)
	if b.n == 1 { // nobody waits
		s.world.asked(st.Ask(core.Call{Effect: policies[b.policy], Body: b.bytes()}), b)
		return replied(body{op: b.op})
	}
	s.world.asked(st.Ask(core.Call{Effect: policies[b.policy], Body: b.bytes(), Then: "effected", Context: b.bytes()}), b)
	return core.Result{Verdict: core.Deferred}
}

func (s *Sim) effected(st *core.Step, l *ledger, _ body) core.Result {
	was := bodyOf(st.Message().Answer.Link.Context)
	if r, ok := s.flaky(st, l, was.op, effecting, int(was.fails)); ok {
		return r
	}
	l.add(nameOf(nEffect, was.part, was.op), 1)
	s.world.heard(st.Message())
	return settled(st)
}

// settled hands an answer on.
func settled(st *core.Step) core.Result {
	m := st.Message()
	switch a := m.Answer; a.Status {
	case message.StatusDone:
		return core.Result{Verdict: core.Replied, Body: m.Body}
	case message.StatusUnknown:
		return core.Result{Verdict: core.Lost, Code: a.Code, Detail: a.Detail}
	default:
		return refused(a.Code, true)
	}
}

// ask has another agent do something whose outcome is deferred there.
func (s *Sim) ask(st *core.Step, l *ledger, b body) core.Result {
	l.add(nameOf(nSeen, whole, b.op), 1)
	in := b
	in.part = inner
	st.Send(core.Outgoing{To: accounts[b.to], Action: innerActions[b.action], Body: in.bytes(), Then: "asked", Context: b.bytes()})
	return core.Result{Verdict: core.Deferred}
}

func (s *Sim) asked(st *core.Step, l *ledger, _ body) core.Result {
	l.add(nameOf(nAnswer, 0, bodyOf(st.Message().Answer.Link.Context).op), 1)
	return settled(st)
}

func (s *Sim) setTimer(st *core.Step, l *ledger, b body) core.Result {
	life := nameOf(nLife, 0, 0)
	if l.get(life) == 0 {
		l.set(life, int64(b.n))
	}
	l.set(nameOf(nWant, 0, uint32(b.timer)), int64(b.n))
	l.set(nameOf(nDue, 0, uint32(b.timer)), int64(st.Now())+int64(b.ms)*1e6)
	b.amt = int32(l.get(life))
	st.SetTimer(timers[b.timer], time.Duration(b.ms)*time.Millisecond, "fired", b.bytes())
	return replied(body{op: b.op})
}

func (s *Sim) cancelTimer(st *core.Step, l *ledger, b body) core.Result {
	l.set(nameOf(nWant, 0, uint32(b.timer)), 0)
	st.CancelTimer(timers[b.timer])
	return replied(body{op: b.op})
}

func (s *Sim) fired(st *core.Step, l *ledger, b body) core.Result {
	to := st.Message().To
	want := nameOf(nWant, 0, uint32(b.timer))
	died := s.overtaken[to.ID] // a dead letter fires when an operator says so
	if l.get(nameOf(nLife, 0, 0)) != int64(b.amt) && !died {
		s.failf("timer %s of %s, set before the agent was removed, fired", timers[b.timer], to)
	}
	if l.get(want) != int64(b.n) && !died {
		s.failf("timer %s of %s fired as set by %d, but it was replaced or cancelled (%d)", timers[b.timer], to, b.n, l.get(want))
	}
	if int64(st.Now()) < l.get(nameOf(nDue, 0, uint32(b.timer))) && !s.backwards[s.running.id] {
		s.failf("timer %s of %s fired early", timers[b.timer], to)
	}
	if !died {
		s.checkPunctual("timer "+timers[b.timer], to, message.Time(l.get(nameOf(nDue, 0, uint32(b.timer)))))
	}
	if l.get(want) == int64(b.n) {
		l.set(want, 0)
	}
	l.add(nameOf(nFired, 0, 0), 1)
	return replied(body{})
}

func (s *Sim) count(st *core.Step, state core.State) core.Result {
	t := state.(*tally)
	t.n++
	if len(st.Message().Body) > 0 && bodyOf(st.Message().Body).fails != 0 {
		return refused("no", false)
	}
	s.running.steps = append(s.running.steps, t.stands(st.Message().To, nil))
	return replied(body{n: int32(t.n)})
}

// policies are the effects, each named after the policy that it needs.
var policies = [...]string{"ask", "ro", "keyed", "probe", "closes", "amo"}

const (
	askPolicy = iota
	roPolicy
	keyedPolicy
	probePolicy
	closesPolicy
	amoPolicy
)

const callTimeout = 200 * time.Millisecond

func usualEffects() map[string]*core.Effect {
	effect := func(p core.Policy, closes bool) *core.Effect {
		return &core.Effect{Policy: p, Timeout: callTimeout, MaxAttempts: 3, ProbeCloses: closes}
	}
	return map[string]*core.Effect{
		"ask": effect(core.Ask, false), "ro": effect(core.ReadOnly, false), "keyed": effect(core.Keyed, false),
		"probe": effect(core.Probe, false), "closes": effect(core.Probe, true), "amo": effect(core.AtMostOnce, false),
	}
}

// declare lets a new process declare other policies for the effects that can
// bear them: a provider that deduplicates may be called under any.
func (p *process) declare() {
	s := p.s
	for i, name := range policies {
		e := p.effects[name]
		if s.strike(Policies) {
			r := s.draw(Policies)
			switch i {
			case keyedPolicy:
				e.Policy = pick(r, core.Keyed, core.Keyed, core.Ask, core.Probe, core.AtMostOnce)
			case roPolicy:
				e.Policy = pick(r, core.ReadOnly, core.ReadOnly, core.Ask, core.Probe)
			default:
				e.Policy = pick(r, core.Ask, core.Probe, core.AtMostOnce)
			}
			if s.keep {
				s.tracef("declare %s %s", name, e.Policy)
			}
		}
		s.declared[i] |= 1 << e.Policy
	}
}

func describe(a core.Answer) string {
	if a.Fault != nil {
		return string(a.Fault.Code) + ": " + a.Fault.Detail
	}
	return fmt.Sprintf("%s %x %s replayed %v", a.Outcome.Status, a.Outcome.Body[:min(len(a.Outcome.Body), 40)], a.Outcome.Code, a.Replayed)
}
