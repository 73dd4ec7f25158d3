package saga

import (
	"encoding/json"

	"github.com/semel-dev/semel"
)

// cancel is somebody's wish that the saga be undone. There is one end: who asks
// for it past the pivot, or after the end, is refused, and who asks again is told
// the same as before.
func (m *machine) cancel(by, why string) *semel.Rejection {
	r := m.r
	switch {
	case r.Failure != nil:
		return nil // it is being undone already, or was
	case r.Phase.Ended():
		return semel.Reject(CodeEnded, "the saga is %s", r.Phase)
	case r.pastPivot():
		return semel.Reject(CodePastPivot, "step %q was asked for, behind which there is no way back", r.Steps[r.Pivot].Name)
	}
	m.fail(Failure{Code: CodeCancelled, Detail: why, By: by})
	r.Park = nil
	m.advance()
	return nil
}

// resume makes a parked saga try again.
func (m *machine) resume() *semel.Rejection {
	r := m.r
	if r.Phase.Ended() {
		return semel.Reject(CodeEnded, "the saga is %s", r.Phase)
	}
	undo := r.Phase == Compensating
	if r.Park == nil {
		// Somebody did it before; but a timer that was lost, among the dead letters
		// while its definition was away, is made up for.
		for i := range r.Steps {
			if x := r.Steps[i].sideOf(undo); x.State == Backoff && !m.now.Before(x.Due) {
				x.State = Idle
			}
		}
		m.advance()
		return nil
	}
	for i := range r.Steps {
		if s := &r.Steps[i]; s.sideOf(undo).State == Unknown && m.place(i, undo) != beforePivot {
			return semel.Reject(CodeNeedsDecision, "%s", failedWords(s, undo))
		}
	}
	for i := range r.Steps {
		if at := m.place(i, undo); at != behindPivot && at != compensation {
			continue
		}
		if x := r.Steps[i].sideOf(undo); x.State == NotDone || x.State == Rejected {
			x.State, x.Tries = Idle, 0
		}
	}
	r.Park = nil
	m.advance()
	return nil
}

// settle is an operator's word about a step of a parked saga.
func (m *machine) settle(o settlement) *semel.Rejection {
	r := m.r
	if r.Phase.Ended() {
		return semel.Reject(CodeEnded, "the saga is %s", r.Phase)
	}
	i := r.step(o.Step)
	if i < 0 {
		return semel.Reject(CodeUnknownStep, "the saga has no step %q", o.Step)
	}
	undo := r.Phase == Compensating
	x := r.Steps[i].sideOf(undo)
	if o.Fact == Happened && x.State == Done && x.By != "" && !x.Unkept {
		return nil // it was said before
	}
	if !m.open(i, undo, o.Fact) {
		return semel.Reject(CodeNotOpen, "%s of step %q waits for nobody's word: it is %q, and the saga is %s", sideName(undo), o.Step, x.State, r.phase())
	}
	x.By, x.Why, x.Settled = o.By, o.Why, m.now
	switch {
	case o.Fact == Happened:
		x.State, x.Reply, x.Unkept, x.TooLarge = Done, o.Reply, len(o.Reply) > 0, false
	case m.place(i, undo) == atPivot:
		x.State = NotDone
		m.fail(Failure{Step: o.Step, Code: CodeNotDone, Detail: o.Why, By: o.By})
	default:
		x.State, x.Tries = Idle, 0
	}
	r.Park = nil
	m.advance()
	return nil
}

// open says whether somebody's word about a step would settle something.
func (m *machine) open(i int, undo bool, f Fact) bool {
	x := m.r.Steps[i].sideOf(undo)
	at := m.place(i, undo)
	switch {
	case m.r.Park == nil:
		return false
	case x.Unkept:
		return f == Happened // what it replied is given up, or replaced
	case at == beforePivot:
		return false
	case at == atPivot:
		return x.State == Unknown
	}
	return x.State == Unknown || x.State == NotDone || x.State == Rejected
}

// phase is what people are told: parked is where a saga waits, not where it is.
func (r *record) phase() Phase {
	if r.Park != nil {
		return Parked
	}
	return r.Phase
}

// settlement is the body of the action settle.
type settlement struct {
	Step  string          `json:"step"`
	Fact  Fact            `json:"fact"`
	By    string          `json:"by"`
	Why   string          `json:"why,omitempty"`
	Reply json.RawMessage `json:"reply,omitempty"`
}
