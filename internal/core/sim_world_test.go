package core

import (
	"bytes"
	"slices"
	"time"

	"github.com/semel-dev/semel/message"
)

// world is the outside: what effects reach. It keeps its own ledger, and
// judges the machine by it.
type world struct {
	s       *sim
	effects map[message.ID]*worldEffect
	answers map[message.ID]*worldEffect // by the ID of the answer's message
}

type worldEffect struct {
	id       message.ID
	ask      body
	calls    []*worldCall
	happened int
	rejected bool
	opaque   bool           // whether it happened can seldom be told
	permit   bool           // a person said that it did not happen
	resolved message.Status // done or rejected, as was acknowledged to a person
}

// worldCall is one call on its way. It may arrive until it was decided.
type worldCall struct {
	job     EffectJob
	decided bool
	closed  bool // a probe closed the key before it arrived: the provider refuses it
	notDone bool // the machine was told that it was certainly not done
}

func newWorld(s *sim) *world {
	return &world{s: s, effects: make(map[message.ID]*worldEffect), answers: make(map[message.ID]*worldEffect)}
}

// asked notes that a step asks for an effect; the step may yet be lost.
func (w *world) asked(id message.ID, b body) {
	if w.effects[id] == nil {
		e := &worldEffect{id: id, ask: b, opaque: w.s.rng.IntN(3) == 0}
		w.effects[id], w.answers[id.Child(0)] = e, e
	}
}

func (e *worldEffect) reply() []byte { return body{Op: e.ask.Op, Text: e.id.String()}.bytes() }

func (e *worldEffect) undecided() bool {
	for _, c := range e.calls {
		if !c.decided {
			return true
		}
	}
	return false
}

// heard judges the answer that an agent consumes.
func (w *world) heard(m *message.Message) {
	e := w.answers[m.ID]
	if e == nil {
		w.s.fail("an answer to an effect that nobody asked for: %s", m.ID)
		return
	}
	readOnly := e.ask.Policy == "ro"
	switch a := m.Answer; a.Status {
	case message.StatusDone:
		if e.happened == 0 || !bytes.Equal(m.Body, e.reply()) {
			w.s.fail("effect %s (%s) is reported done, but happened %d times", e.id, e.ask.Policy, e.happened)
		}
	case message.StatusRejected, message.StatusNotDone:
		if !readOnly && (e.happened > 0 || e.undecided() && !e.rejected) {
			w.s.fail("effect %s (%s) is reported %s, but happened %d times (may yet: %v)", e.id, e.ask.Policy, a.Status, e.happened, e.undecided())
		}
	case message.StatusUnknown:
		if !slices.Contains(w.s.declared[e.ask.Policy], AtMostOnce) {
			w.s.fail("effect %s (%s) is reported unknown", e.id, e.ask.Policy)
		}
	}
	if e.resolved != 0 && e.resolved != m.Answer.Status {
		w.s.fail("effect %s was acknowledged as resolved %s, and the agent hears %s", e.id, e.resolved, m.Answer.Status)
	}
}

// begin receives a call or a probe that the machine let go.
func (w *world) begin(shard message.Shard, job EffectJob) {
	s := w.s
	e := w.effects[job.ID]
	if e == nil {
		s.fail("effect %s is called, but nobody asked for it", job.ID)
		return
	}
	s.trace("call", job.ID, job.Attempt, job.Probe)
	sh := s.shards[shard]
	row, ok := s.store.durable[shard].tables[message.TableEffect][string(job.ID[:])]
	if !ok {
		s.fail("effect %s is called, but its row is not durable", job.ID)
		return
	}
	rec, err := readEffect(message.RowKey{Table: message.TableEffect, Key: job.ID[:]}, row)
	if err != nil {
		s.fail("%v", err)
		return
	}
	if job.Probe {
		w.probe(sh, e, job)
		return
	}
	policy := s.behaviors.Effects[job.Name].Policy
	repeatable := policy == ReadOnly || policy == Keyed
	if repeatable && rec.status == effectAsked && rec.unrecorded < policy.unrecorded() {
		s.fail("effect %s (%s) is called without a record that says so", job.ID, job.Name)
	}
	if !repeatable && (rec.status != effectStarted || rec.attempts != job.Attempt) {
		s.fail("effect %s (%s) attempt %d is called before its started record is durable: status %d attempt %d", job.ID, job.Name, job.Attempt, rec.status, rec.attempts)
	}
	if !repeatable {
		if e.undecided() {
			s.fail("effect %s (%s) is called again while an earlier call may still arrive", job.ID, job.Name)
		}
		if e.happened > 0 {
			s.fail("effect %s (%s) is called again after it happened", job.ID, job.Name)
		}
		for _, c := range e.calls {
			if !c.notDone && (policy == AtMostOnce || policy == Ask) && !e.permit {
				s.fail("effect %s (%s) is called again, and nobody said that it was not done", job.ID, job.Name)
			}
		}
	}
	if e.permit { // the word of a person was acted on
		e.permit = false
		for _, c := range e.calls {
			c.notDone = true
		}
	}
	c := &worldCall{job: job}
	e.calls = append(e.calls, c)
	w.decide(sh, e, c)
}

func (w *world) decide(sh *simShard, e *worldEffect, c *worldCall) {
	s := w.s
	fate := s.rng.IntN(100)
	if s.calm {
		fate %= 63
	}
	latency := s.between(0, callTimeout*9/10)
	process, life := s.process, s.life
	then := func(wait message.Time, fn func() EffectResult) {
		s.after(wait, false, func() {
			if s.process == process && s.up {
				w.finish(sh, life, fn())
			}
		})
	}
	res := EffectResult{ID: e.id, Attempt: c.job.Attempt}
	arrive := func(status message.Status, happens bool) {
		s.after(latency, false, func() {
			if c.decided {
				return // decided by a crash
			}
			c.decided = true
			if happens {
				w.happen(e)
			}
		})
		wait := latency + 1
		if status == message.StatusUnknown {
			wait = message.Time(callTimeout)
			if s.rng.IntN(3) == 0 { // the connection breaks, and the request goes on
				wait = s.between(0, time.Duration(latency))
			}
		}
		then(wait, func() EffectResult {
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
	switch {
	case e.rejected, fate >= 55 && fate < 63 && e.happened == 0: // declined, for good
		s.after(latency, false, func() {
			if !c.decided {
				c.decided = true
				e.rejected = e.rejected || e.happened == 0
			}
		})
		then(latency+1, func() EffectResult {
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
		arrive(message.StatusDone, true)
	case fate < 75: // certainly not done
		c.decided = true
		then(latency, func() EffectResult {
			c.notDone = c.notDone || s.life == life
			res.Status, res.Detail = message.StatusNotDone, "refused to connect"
			return res
		})
	case fate < 87:
		arrive(message.StatusUnknown, true)
	default:
		arrive(message.StatusUnknown, false)
	}
}

func (w *world) happen(e *worldEffect) {
	if e.rejected {
		return
	}
	if e.ask.Policy == "keyed" && e.happened > 0 {
		return // the provider deduplicates
	}
	e.happened++
	w.s.trace("happened", e.id)
	if e.happened > 1 && e.ask.Policy != "ro" {
		w.s.fail("effect %s (%s) happened %d times", e.id, e.ask.Policy, e.happened)
	}
}

// finish gives a call or a probe back, to the session that began it or to a
// later one of the process.
func (w *world) finish(sh *simShard, life int, res EffectResult) {
	w.s.stats.calls++
	w.s.step(sh, func(now message.Time) {
		if w.s.life == life {
			sh.m.EffectDone(now, res)
		} else {
			w.s.stats.late++
			sh.m.LateResult(now, res)
		}
	})
}

func (w *world) probe(sh *simShard, e *worldEffect, job EffectJob) {
	s := w.s
	res := EffectResult{ID: e.id, Attempt: job.Attempt, Probe: true}
	latency := s.between(0, 20*time.Millisecond)
	unknown := !s.calm && s.rng.IntN(100) < 25 || e.opaque && s.rng.IntN(100) < 85
	process, life := s.process, s.life
	s.after(latency, false, func() {
		switch {
		case unknown:
			res.Status, res.Detail = message.StatusUnknown, "cannot tell"
		case e.happened > 0:
			res.Status, res.Body = message.StatusDone, e.reply()
		case e.rejected:
			res.Status, res.Code = message.StatusRejected, "declined"
		default:
			res.Status = message.StatusNotDone
			for _, c := range e.calls {
				if job.Name == "closes" && !c.decided {
					c.decided, c.closed = true, true
				}
				c.notDone = c.notDone || c.decided
			}
		}
		s.after(s.between(0, 5*time.Millisecond), false, func() {
			if s.process == process && s.up {
				w.finish(sh, life, res)
			}
		})
	})
}
