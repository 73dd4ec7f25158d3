package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// work does what the machine asks for.
func (x *session) work() {
	s := x.s
	w := x.m.Take()
	for _, a := range w.Alarms {
		x.alarm(a)
	}
	for i := range w.Answers {
		a := w.Answers[i]
		k := a.Caller.Data.(*call)
		x.takeCall(k)
		if a.Answer.Fault != nil && k.q.stream != nil {
			k.q.stream.dead = true // what follows must not be taken in its place
		}
		x.hold(a.After, func(h *held) { h.answers = append(h.answers, a) }, func() { x.confirmed(a) })
	}
	for i := range w.Calls {
		j := w.Calls[i]
		x.hold(j.After, func(h *held) { h.jobs = append(h.jobs, j) }, func() { x.letCall(j) })
	}
	for _, l := range w.Loads {
		x.load(l)
	}
	for _, c := range w.Pulls {
		x.pull(c)
	}
	if w.Retire != nil {
		x.retire(cloneRetire(w.Retire))
	}
	if w.Trial {
		if x.p.granted == x {
			x.p.granted = nil
		}
		x.p.trials = append(x.p.trials, x)
	}
	if s.opt.Broken.AckBeforeDurable {
		x.releaseAll()
	}
}

// hold keeps something for the unit that it waits for, or lets it go if that is
// durable.
func (x *session) hold(after message.Seq, keep func(*held), let func()) {
	switch sealed := x.m.Sealed(); {
	case after > sealed+1:
		x.s.failf("something waits for unit %d; the open one is %d", after, sealed+1)
	case after > sealed:
		keep(&x.held)
	case after <= x.acked:
		let()
	default:
		for _, f := range x.flights {
			if f.seq >= after {
				keep(&f.held)
				return
			}
		}
		x.s.failf("something waits for unit %d, which is not in flight", after)
	}
}

// confirmed lets an answer go that rests on no unit of the session. A refusal
// says that something is not done; a former owner that does not know yet would
// say so of what its successor did, and its caller would do it again under
// another key. So the store is asked first whether the shard is still this
// session's.
func (x *session) confirmed(a core.AnswerTo) {
	if f := a.Answer.Fault; !x.s.cluster || x.s.opt.Broken.TrustLease || f == nil || f.Code.Kind() != message.NotDone {
		x.answer(a)
		return
	}
	x.askAsOwner(func() func() { return func() { x.answer(a) } })
}

// releaseAll is a planted bug: nothing waits for anything.
func (x *session) releaseAll() {
	for _, f := range x.flights {
		h := f.held
		f.held = held{wakes: h.wakes}
		x.release(&h)
	}
	h := x.held
	x.held = held{}
	x.release(&h)
}

// release lets go: everything in h is allowed now.
func (x *session) release(h *held) {
	for i := range h.jobs {
		x.letCall(h.jobs[i])
	}
	for i := range h.answers {
		x.answer(h.answers[i])
	}
	x.hint(h.wakes)
}

// letCall begins a call of an effect. A process that may not have the shard any
// more by its own clock lets none go; between that look and the call it may
// still fall asleep (FAULTS 3a).
func (x *session) letCall(j core.EffectJob) {
	s := x.s
	if s.cluster && x.until <= x.p.clock() {
		s.reach(Withheld)
		x.after(0, func() { x.lose("its lease is over") })
		return
	}
	x.jobs++
	if !s.cluster {
		s.world.begin(x, j)
		return
	}
	x.p.after(s.rng.between(0, 2*time.Millisecond), func() { s.world.begin(x, j) })
	if s.strike(BeforeCall) {
		r := s.draw(BeforeCall)
		d, suspended := r.between(100*time.Millisecond, 3*time.Second), r.oneIn(2)
		if r.oneIn(2) { // it wakes while its successor must still reckon with it
			d = x.until - x.p.clock() + r.between(0, s.lease)
		}
		if !x.p.sleeps(d, suspended) {
			s.missed(BeforeCall)
		}
	}
}

// hint tells shards that they have mail.
func (x *session) hint(to []message.Shard) {
	s := x.s
	for _, dst := range to {
		if s.strike(LostHint) {
			continue // the periodic one finds it
		}
		s.after(s.rng.between(0, 2*time.Millisecond), func() {
			if y := s.owner(dst); y != nil {
				y.p.after(0, func() { y.step(func(message.Time) { y.m.Hint(x.id) }) })
			}
		})
	}
}

func (x *session) alarm(a core.Alarm) {
	s := x.s
	s.mixText(0xa1, string(a.Kind))
	if s.keep {
		s.tracef("alarm of shard %d: %s %s %s", x.id, a.Kind, a.Agent, a.Detail)
	}
	switch a.Kind {
	case core.AlarmDead:
		s.reach(Dead)
		s.overtaken[a.Agent.ID] = s.overtaken[a.Agent.ID] || s.mayBeAwaited(a)
	case core.AlarmDoubt:
		s.reach(Doubted)
		if x.doubts == nil {
			x.doubts = make(map[message.ID]int)
		}
		x.doubts[a.ID]++
	case core.AlarmConflict: // nobody lies here, so only what nobody knew can be contradicted
		s.reach(Contradicted)
		x.conflicts++
		declined := strings.Contains(a.Detail, "settled as not_done") && strings.Contains(a.Detail, "says rejected") // since then
		if !strings.Contains(a.Detail, "settled as unknown") && !declined && !s.world.excuses(a.ID) {
			s.failf("effect %s: %s", a.ID, a.Detail)
		}
	case core.AlarmCorrupt:
		s.failf("corrupt: %s %s", a.Agent, a.Detail)
	case core.AlarmClockJump:
		s.reach(RetentionPaused)
		x.after(s.rng.between(0, 5*time.Second), func() {
			if x.clock() >= s.store.visible[x.id].clock { // a person knows
				x.step(func(now message.Time) { x.m.ResumeRetention(now) })
			}
		})
	}
}

// load performs a read at one moment and gives it back at a later one.
func (x *session) load(l *core.Load) {
	s := x.s
	x.reading++
	perform := func() func() {
		values, due, following := s.store.read(x.id, l)
		if s.keep {
			s.tracef("shard %d reads %s", x.id, readText(l, values, due))
		}
		return func() {
			x.reading--
			x.step(func(now message.Time) {
				var err error
				if l.Due != nil {
					err = x.m.DueLoaded(now, l, due, following)
				} else {
					err = x.m.Loaded(now, l, values)
				}
				if err != nil {
					s.failf("%v", err)
				}
			})
		}
	}
	x.read(perform, s.rng.oneIn(2))
}

// pull reads what another shard's outbox has for this one.
func (x *session) pull(c message.Cursor) {
	s := x.s
	x.read(func() func() {
		batch := s.store.visible[c.Source].inbox(x.id, c, s.cfg.InboxBatch)
		return func() {
			x.step(func(now message.Time) {
				if err := x.m.Delivered(now, c.Source, batch); err != nil {
					s.failf("%v", err)
				}
			})
		}
	}, false)
}

// read performs a read in the store and does what it returns with the result.
func (x *session) read(perform func() func(), now bool) {
	s := x.s
	if s.cluster {
		x.askAsOwner(perform)
		return
	}
	if now {
		x.after(s.rng.between(0, 3*time.Millisecond), perform())
		return
	}
	x.after(s.rng.between(0, 5*time.Millisecond), func() {
		x.after(s.rng.between(0, 3*time.Millisecond), perform())
	})
}

// retire passes on the leave to forget.
func (x *session) retire(r core.Retire) {
	s := x.s
	if s.cluster {
		x.askAsOwner(func() func() {
			s.store.retire(x.id, r)
			return func() {}
		})
		return
	}
	x.after(s.rng.between(0, 20*time.Millisecond), func() { s.store.retire(x.id, r) })
}

func readText(l *core.Load, values [][]byte, due []message.Row) string {
	if l.Due != nil {
		return fmt.Sprintf("%d timers", len(due))
	}
	var b strings.Builder
	for i, k := range l.Keys {
		fmt.Fprintf(&b, " %d/%d %q: %v", k.Table, k.Gen, k.Key, values[i] != nil)
	}
	return b.String()
}
