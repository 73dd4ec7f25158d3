package sim

import (
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// An effect that its agent withdraws after a while is called no more. What the
// agent is told agrees with what the world did, and will have done.

// drawRetract draws an effect that is withdrawn.
func (o *op) drawRetract(r *rng) {
	b := &o.body
	o.action, b.policy, b.fails, b.ms = "retract", uint8(r.intn(len(policies))), 0, pick[int32](r, 0, 1, 20, 100, 400, 1500)
	if r.oneIn(4) {
		b.n = 1
	}
}

func (s *Sim) retract(st *core.Step, l *ledger, b body) core.Result {
	l.add(nameOf(nSeen, b.part, b.op), 1)
	call := core.Call{Effect: policies[b.policy], Body: b.bytes()}
	if b.n != 1 {
		call.Then, call.Context = "effected", b.bytes()
	}
	id := st.Ask(call)
	s.world.asked(id, b)
	st.Send(core.Outgoing{To: st.Message().To, Action: "withdraw", Body: body{op: b.op, part: inner, text: id[:]}.bytes(),
		Delay: time.Duration(b.ms) * time.Millisecond})
	if b.n != 1 {
		return core.Result{Verdict: core.Deferred}
	}
	return replied(body{op: b.op})
}

func (s *Sim) withdraw(st *core.Step, _ *ledger, b body) core.Result {
	id := message.ID(b.text)
	st.Withdraw(id)
	s.world.withdraws(s.running, id)
	return replied(body{})
}

// withdrawal is what is known of one.
type withdrawal struct {
	shard   message.Shard
	seq     message.Seq    // the unit that has it; zero if none was accepted
	calling *session       // that had a call under way then, which tells
	attempt int            // of that call
	told    message.Status // in an accepted unit
	toldIn  message.Seq
}

// withdraws notes that a step withdraws an effect; the step may yet be lost.
func (w *world) withdraws(x *session, id message.ID) {
	e := w.effects[id]
	if e == nil {
		w.s.failf("effect %s is withdrawn, and nobody asked for it", id)
		return
	}
	if e.withdrawn == nil {
		e.withdrawn = &withdrawal{shard: x.id}
	}
	e.withdrawn.calling = nil
	if n := x.m.Calling(id); n > 0 {
		w.s.reach(WithdrawnCalling)
		e.withdrawn.calling, e.withdrawn.attempt = x, n
	}
	w.s.asides.withdraws = append(w.s.asides.withdraws, e)
}

// checkWithdrawn: no call begins after a withdrawal is durable, but those that a
// former owner lets go, and one that was under way.
func (w *world) checkWithdrawn(x *session, e *outside, job core.EffectJob) {
	d := e.withdrawn
	if d == nil || d.seq == 0 || d.seq > w.s.acked(d.shard).seq || e.excused || d.calling == x && d.attempt == job.Attempt || x.successor() != nil {
		return
	}
	w.s.failf("effect %s (%s), attempt %d, is called after unit %d of shard %d withdrew it", e.id, e.policy(), job.Attempt, d.seq, d.shard)
}

// heardWithdrawn judges the answer to an effect that may be withdrawn. It says
// whether unknown is one that may be given.
func (w *world) heardWithdrawn(e *outside, a *message.Answer) bool {
	if a.Code != core.CodeWithdrawn {
		return false
	}
	if e.withdrawn == nil {
		w.s.failf("effect %s is reported withdrawn, which nobody did", e.id)
		return true
	}
	w.s.asides.told, w.s.asides.as = e, a.Status
	switch a.Status {
	case message.StatusNotDone:
		w.s.reach(WithdrawnNotDone)
	case message.StatusUnknown:
		w.s.reach(WithdrawnUnknown)
	}
	return true
}

// noteWithdrawals remembers what an accepted unit withdraws and tells.
func (e *entry) noteWithdrawals() {
	for _, st := range e.steps {
		if st.undone {
			continue
		}
		for _, o := range st.withdraws {
			o.withdrawn.shard, o.withdrawn.seq = e.shard, e.version.Seq
		}
		if st.told != nil {
			st.told.withdrawn.told, st.told.withdrawn.toldIn = st.as, e.version.Seq
		}
	}
}

// loseWithdrawals forgets what a lost unit withdrew and told.
func (e *entry) loseWithdrawals(kept message.Seq) {
	for _, st := range e.steps {
		for _, o := range st.withdraws {
			if o.withdrawn.seq > kept {
				o.withdrawn.seq = 0
			}
		}
		if st.told != nil && st.told.withdrawn.toldIn > kept {
			st.told.withdrawn.told = 0
		}
	}
}
