package sim

import (
	"bytes"
	"slices"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// world is the outside: what effects reach. It keeps its own ledger, and
// judges the machines by it.
type world struct {
	s       *Sim
	effects map[message.ID]*outside
	sorted  []*outside
	answers map[message.ID]*outside // by the ID of the answer's message
}

// outside is an effect as the outside world knows it.
type outside struct {
	id        message.ID
	ask       body
	calls     []*outsideCall
	happened  int
	rejected  bool
	opaque    bool           // whether it happened can seldom be told
	words     []*word        // of *not done*, that may yet be acted on
	leftTo    message.Time   // until then nobody else looks after the doubt
	unknownIn *session       // that told the agent that the outcome is unknown
	resolved  message.Status // done or rejected, as was acknowledged to a person
	closed    int            // calls up to this attempt are refused: a probe closed their key
	recorded  map[int]bool   // attempts whose start was durable at some time
	excused   bool           // what was acknowledged of it was lost, or it happened by a call that was too late
	promised  bool           // in a transaction
	withdrawn *withdrawal    // nil if no step ever withdrew it
}

// outsideCall is one call on its way. It may arrive until it was decided.
type outsideCall struct {
	attempt int
	decided bool
	late    bool // its former owner let it go later than any settling time covers: FAULTS 3a
	closed  bool // a probe closed the key before it arrived: the provider refuses it
	notDone bool // the machine was told that it was certainly not done
}

func newWorld(s *Sim) *world {
	return &world{s: s, effects: make(map[message.ID]*outside), answers: make(map[message.ID]*outside)}
}

// asked notes that a step asks for an effect; the step may yet be lost.
func (w *world) asked(id message.ID, b body) {
	if w.effects[id] == nil {
		b.text = nil
		e := &outside{id: id, ask: b, opaque: w.s.rng.oneIn(3), recorded: make(map[int]bool)}
		w.effects[id], w.answers[id.Child(0)] = e, e
	}
}

// promised notes that a step asks for an effect that is only promised.
func (w *world) promised(id message.ID, b body) {
	w.asked(id, b)
	w.effects[id].promised = true
}

func (w *world) excuses(id message.ID) bool {
	e := w.effects[id]
	return e != nil && e.excused
}

func (e *outside) reply() []byte { return body{op: e.ask.op, part: e.ask.part, text: e.id[:]}.bytes() }

func (e *outside) policy() string { return policies[e.ask.policy] }

func (e *outside) undecided() bool {
	return slices.ContainsFunc(e.calls, func(c *outsideCall) bool { return !c.decided && !c.late })
}

// heard judges the answer that an agent consumes.
func (w *world) heard(m *message.Message) {
	e := w.answers[m.ID]
	if e == nil {
		w.s.failf("an answer to an effect that nobody asked for: %s", m.ID)
		return
	}
	withdrawn := w.heardWithdrawn(e, m.Answer)
	if e.excused {
		return
	}
	switch a := m.Answer; a.Status {
	case message.StatusDone:
		if e.happened == 0 || !bytes.Equal(m.Body, e.reply()) {
			w.s.failf("effect %s (%s) is reported done, but happened %d times", e.id, e.policy(), e.happened)
		}
	case message.StatusRejected, message.StatusNotDone:
		if e.ask.policy != roPolicy && (e.happened > 0 || e.undecided() && !e.rejected) {
			w.s.failf("effect %s (%s) is reported %s, but happened %d times (may yet: %v)", e.id, e.policy(), a.Status, e.happened, e.undecided())
		}
	case message.StatusUnknown:
		if withdrawn {
			return // and whoever knows may still say so
		}
		e.unknownIn = w.s.running
		if w.s.declared[e.ask.policy]&(1<<core.AtMostOnce) == 0 {
			w.s.failf("effect %s (%s) is reported unknown", e.id, e.policy())
		}
	}
	// A former owner that does not know it yet may run its step on what it
	// believed: nothing of that is ever committed.
	if e.resolved != 0 && e.resolved != m.Answer.Status && w.s.running.successor() == nil {
		w.s.failf("effect %s was acknowledged as resolved %s, and the agent hears %s", e.id, e.resolved, m.Answer.Status)
	}
}

// begin receives a call or a probe that a process let go.
func (w *world) begin(x *session, job core.EffectJob) {
	s := w.s
	s.counts.Calls++
	e := w.effects[job.ID]
	if e == nil {
		s.failf("effect %s is called, but nobody asked for it", job.ID)
		return
	}
	s.mix(0xca, uint64(job.Attempt), uint64(e.ask.op))
	if s.keep {
		s.tracef("node %d calls %s, attempt %d, probe %v", x.p.n.id, job.ID, job.Attempt, job.Probe)
	}
	if job.Probe {
		w.probe(x, e, job)
		return
	}
	policy := x.p.effects[job.Name].Policy
	w.checkRecorded(x, e, job, policy)
	w.checkWithdrawn(x, e, job)
	if e.promised && !s.commits(e.ask.op) && !x.loses() && !e.excused {
		s.failf("effect %s is called, and %s, to which it was promised, is not committed", e.id, txName(e.ask.op))
	}
	c := &outsideCall{attempt: job.Attempt, late: w.late(x)}
	x.p.calling[e.id]++
	if job.Attempt <= e.closed { // a former owner's, which a probe of its successor overtook
		s.reach(ClosedLate)
		w.after(x, e, s.rng.between(0, 20*time.Millisecond), func() core.EffectResult {
			return core.EffectResult{ID: e.id, Attempt: c.attempt, Status: message.StatusUnknown, Detail: "closed"}
		})
		return
	}
	// What can bear it may be called at once by a successor whose program lets
	// it be repeated, whatever this one's policy is.
	bears := x.successor() != nil && (e.ask.policy == roPolicy || e.ask.policy == keyedPolicy)
	if policy != core.ReadOnly && policy != core.Keyed && !e.excused && !bears && !c.late {
		w.checkAgain(e, job, policy)
	}
	if x.successor() == nil {
		w.actOn(e, job.Attempt)
	}
	e.calls = append(e.calls, c)
	if x.p.cutOff(toWorld) {
		c.decided = true
		w.after(x, e, s.rng.between(0, 20*time.Millisecond), func() core.EffectResult {
			c.notDone = c.notDone || !x.ended
			return core.EffectResult{ID: e.id, Attempt: c.attempt, Status: message.StatusNotDone, Detail: "no way there"}
		})
		return
	}
	w.decide(x, e, c)
}

// checkRecorded: the row that lets the call go is durable. A former owner's was
// durable once: its successor may have written another by now.
func (w *world) checkRecorded(x *session, e *outside, job core.EffectJob, policy core.Policy) {
	s := w.s
	if y := x.successor(); y != nil {
		s.reach(ZombieCall)
		if policy != core.ReadOnly && policy != core.Keyed && !e.recorded[job.Attempt] && !e.excused {
			s.failf("effect %s (%s) attempt %d is called by a former owner, and its started record was never durable", e.id, job.Name, job.Attempt)
		}
		return
	}
	row := s.acked(x.id).tables[message.TableEffect][string(job.ID[:])]
	if row == nil {
		// The late answer of an earlier call may have settled what may be repeated.
		repeats := (policy == core.ReadOnly || policy == core.Keyed) && len(e.calls) > 0
		if !e.excused && !repeats {
			s.failf("effect %s is called, but its row is not durable", job.ID)
		}
		return
	}
	if err := core.CallRecorded(message.RowKey{Table: message.TableEffect, Key: job.ID[:]}, row, policy, job.Attempt); err != nil && !e.excused {
		s.failf("effect %s (%s): %v", job.ID, job.Name, err)
	}
}

// late says whether a former owner lets a call go later than the settling time
// of its successor covers.
func (w *world) late(x *session) bool {
	y := x.successor()
	if y == nil || w.s.now <= y.began+message.Time(w.s.cfg.Lease) {
		return false
	}
	w.s.reach(LateCall)
	return true
}

// checkAgain: what is not known to be repeatable is called once, but for what
// somebody knows not to have happened.
func (w *world) checkAgain(e *outside, job core.EffectJob, policy core.Policy) {
	s := w.s
	if e.undecided() {
		s.failf("effect %s (%s) is called again while an earlier call may still arrive", job.ID, job.Name)
	}
	if e.happened > 0 {
		s.failf("effect %s (%s) is called again after it happened", job.ID, job.Name)
	}
	for _, c := range e.calls {
		if !c.notDone && !c.late && !e.permits(job.Attempt) {
			s.failf("effect %s (%s, %s) is called again, and nobody said that it was not done", job.ID, job.Name, policy)
		}
	}
}

// actOn: an owner that calls once more by a person's word takes it for every
// call that was made before. A former owner takes it for its own call alone.
func (w *world) actOn(e *outside, attempt int) {
	if e.resolved != 0 && !e.excused {
		w.s.failf("effect %s is called, and it was acknowledged as resolved %s", e.id, e.resolved)
	}
	if e.permits(attempt) {
		for _, c := range e.calls {
			c.notDone = true
		}
	}
}

// decide draws what becomes of a call.
func (w *world) decide(x *session, e *outside, c *outsideCall) {
	s := w.s
	fate := s.rng.intn(100)
	if s.chaos.calm {
		fate %= 63
	}
	latency := s.rng.between(0, callTimeout*9/10)
	res := core.EffectResult{ID: e.id, Attempt: c.attempt}
	switch {
	case e.rejected, fate >= 55 && fate < 63 && e.happened == 0: // declined, for good
		s.after(latency, func() {
			if !c.decided {
				c.decided = true
				e.rejected = e.rejected || e.happened == 0
			}
		})
		w.after(x, e, latency+1, func() core.EffectResult {
			switch {
			case e.happened > 0:
				res.Status, res.Body = message.StatusDone, e.reply()
			case c.closed && !e.rejected:
				res.Status = message.StatusUnknown
			default:
				res.Status, res.Code = message.StatusRejected, "declined"
			}
			return res
		})
	case fate < 63:
		w.arrive(x, e, c, latency, message.StatusDone, true)
	case fate < 75: // certainly not done
		c.decided = true
		w.after(x, e, latency, func() core.EffectResult {
			c.notDone = c.notDone || !x.ended
			res.Status, res.Detail = message.StatusNotDone, "refused to connect"
			return res
		})
	default:
		w.arrive(x, e, c, latency, message.StatusUnknown, fate < 87)
	}
}

// arrive lets a call arrive, and tells its caller what it can know.
func (w *world) arrive(x *session, e *outside, c *outsideCall, latency message.Time, status message.Status, happens bool) {
	s := w.s
	s.after(latency, func() {
		if !c.decided { // else a probe closed its key
			c.decided = true
			if happens {
				w.happen(e, c)
			}
		}
	})
	wait := latency + 1
	if status == message.StatusUnknown {
		wait = message.Time(callTimeout)
		if s.rng.oneIn(3) { // the connection breaks, and the request goes on
			wait = s.rng.between(0, time.Duration(latency))
		}
	}
	res := core.EffectResult{ID: e.id, Attempt: c.attempt}
	w.after(x, e, wait, func() core.EffectResult {
		switch {
		case e.rejected:
			res.Status, res.Code = message.StatusRejected, "declined"
		case c.closed && e.happened == 0:
			res.Status = message.StatusUnknown
		case status == message.StatusDone:
			res.Status, res.Body = status, e.reply()
		default:
			res.Status, res.Detail = status, "simulated"
		}
		return res
	})
}

func (w *world) happen(e *outside, c *outsideCall) {
	s := w.s
	if e.rejected {
		return
	}
	if e.ask.policy == keyedPolicy && e.happened > 0 {
		s.reach(KeyedAgain)
		return // the provider deduplicates
	}
	e.happened++
	if c.late && e.ask.policy != roPolicy {
		e.excused = true // its successor may have settled it as not done, or call it once more
	}
	s.mix(0x4a, uint64(e.ask.op))
	if s.keep {
		s.tracef("happened %s", e.id)
	}
	if e.happened > 1 && e.ask.policy != roPolicy {
		if e.excused {
			s.reach(Doubled)
		} else {
			s.failf("effect %s (%s) happened %d times", e.id, e.policy(), e.happened)
		}
	}
}

// after gives a call or a probe back, to the session that began it or to a
// later one of its process.
func (w *world) after(x *session, e *outside, wait message.Time, result func() core.EffectResult) {
	x.p.after(wait, func() {
		res := result()
		x.jobs--
		if !res.Probe {
			if x.p.calling[res.ID]--; x.p.calling[res.ID] == 0 {
				delete(x.p.calling, res.ID)
			}
		}
		if !x.ended {
			x.step(func(now message.Time) { x.m.EffectDone(now, res) })
			return
		}
		if y := x.p.sessions[x.id]; y != nil && y != x {
			y.lateResult(e, res)
		}
	})
}

func (w *world) probe(x *session, e *outside, job core.EffectJob) {
	s := w.s
	res := core.EffectResult{ID: e.id, Attempt: job.Attempt, Probe: true}
	unknown := !s.chaos.calm && s.rng.intn(100) < 25 || e.opaque && s.rng.intn(100) < 85
	s.after(s.rng.between(0, 20*time.Millisecond), func() {
		switch {
		case unknown || x.p.cutOff(toWorld):
			res.Status, res.Detail = message.StatusUnknown, "cannot tell"
		case e.happened > 0:
			res.Status, res.Body = message.StatusDone, e.reply()
		case e.rejected:
			res.Status, res.Code = message.StatusRejected, "declined"
		default:
			res.Status = message.StatusNotDone
			if job.Name == "closes" {
				e.closed = max(e.closed, job.Attempt)
			}
			for _, c := range e.calls {
				if job.Name == "closes" && !c.decided && c.attempt <= job.Attempt {
					c.decided, c.closed = true, true
				}
				c.notDone = c.notDone || c.decided
			}
		}
		w.after(x, e, s.rng.between(0, 5*time.Millisecond), func() core.EffectResult { return res })
	})
}
