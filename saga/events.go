package saga

import (
	"encoding/json"
	"fmt"

	"github.com/semel-dev/semel"
)

// CodeOverdue is the code of the alarm about what should have been answered by
// now and cannot be withdrawn: an agent's action, or a compensation.
const CodeOverdue = "overdue"

// maxData bounds the data of a rejection that is recorded, in bytes: it stands in
// the record twice, and a record that is too large could not be written at all.
const maxData = 64 << 10

// about is the context of everything that a saga asks for, and the body of its
// timers: what an answer is about.
type about struct {
	Instance string `json:"instance"`
	Step     string `json:"step,omitempty"`
	Undo     bool   `json:"undo,omitempty"`
	Serial   int    `json:"serial,omitempty"`
	Kind     string `json:"kind,omitempty"` // of timers
}

// The kinds of timers.
const (
	tickSide   = ""       // of a Do or an Undo: its time is over, or it is to be asked for again
	tickLimit  = "limit"  // of the whole saga
	tickForget = "forget" // it has been readable for long enough
)

// find is the place of what an event is about; nil if that is not awaited any
// more: it was answered before, or is of a saga that was forgotten.
func (m *machine) find(a about) (i int, x *side) {
	if a.Instance != m.r.Instance {
		return 0, nil
	}
	if i = m.r.step(a.Step); i < 0 {
		return 0, nil
	}
	x = m.r.Steps[i].sideOf(a.Undo)
	if x.Serial != a.Serial {
		return 0, nil
	}
	return i, x
}

// answered records an answer. Late and repeated ones change nothing.
func (m *machine) answered(a about, res semel.Result[json.RawMessage]) {
	i, x := m.find(a)
	if x == nil || x.State != Asked {
		return
	}
	x.Settled = m.now
	if !x.Due.IsZero() && !x.TimedOut && !x.Overdue {
		m.order(order{kind: orderNoTimer, step: i, undo: a.Undo})
	}
	x.Code, x.Detail = res.Code, res.Detail
	switch {
	case res.Done():
		x.State, x.Reply, x.Unkept = Done, compact(res.Value), true
		x.Code, x.Detail = "", ""
		if m.waits() > m.maxState { // while the saga is parked, many may come
			x.Reply, x.TooLarge = nil, true
		}
	case res.Rejected():
		x.State = Rejected
		if len(res.Data) <= maxData && m.waits()+len(res.Data) <= m.maxState {
			x.Data = compact(res.Data)
		}
	case res.NotDone():
		x.State = NotDone
	default:
		x.State = Unknown
	}
}

// waits is how many bytes of answers the record has, besides the state.
func (m *machine) waits() (n int) {
	for i := range m.r.Steps {
		s := &m.r.Steps[i]
		n += len(s.Do.Reply) + len(s.Do.Data) + len(s.Undo.Reply) + len(s.Undo.Data)
	}
	return n
}

// ticked records that a timer is due. One that is early is somebody's forgery,
// since it was asked for by no timer of ours.
func (m *machine) ticked(a about) {
	switch a.Kind {
	case tickForget:
		if a.Instance == m.r.Instance && m.r.Phase.Ended() && !m.now.Before(m.r.Forget) {
			m.order(order{kind: orderForget})
		}
		return
	case tickLimit:
		if a.Instance == m.r.Instance {
			m.limit()
		}
		return
	}
	i, x := m.find(a)
	if x == nil || x.Due.IsZero() || m.now.Before(x.Due) {
		return
	}
	switch x.State {
	case Backoff:
		x.State = Idle
	case Asked:
		m.late(i, a.Undo, x)
	}
}

// late deals with what was not answered in its time. A Do that is an effect is
// withdrawn, and what follows waits for the answer to that. Nothing else can be:
// it is waited for, and an alarm says so.
func (m *machine) late(i int, undo bool, x *side) {
	s := &m.r.Steps[i]
	if undo || m.p == nil || m.p.steps[i].do.action {
		x.Overdue = true
		m.overdue(s.Name, "%s of step %q has had no answer since %s; look for a doubt, a dead letter or an agent that is held", sideName(undo), s.Name, x.Asked.Format("2006-01-02 15:04:05 MST"))
		return
	}
	x.TimedOut = true
	if !x.Withdrawn {
		x.Withdrawn = true
		m.order(order{kind: orderWithdraw, step: i})
	}
}

// limit deals with a saga whose time is over. Behind the pivot it goes on: there
// is nothing else that it could do.
func (m *machine) limit() {
	r := m.r
	switch {
	case r.Phase != Running || r.Failure != nil || r.Deadline.IsZero() || m.now.Before(r.Deadline):
	case r.pastPivot():
		m.overdue("", "the saga is past its pivot, and not at its end in the time that it was given")
	default:
		m.fail(Failure{Code: CodeSagaTimeout, Detail: "it was not at its end in the time that it was given"})
		r.Park = nil
	}
}

// failedWords says how a step failed.
func failedWords(s *stepRecord, undo bool) string {
	x := s.sideOf(undo)
	words := fmt.Sprintf("%s of step %q is %s after %d tries", sideName(undo), s.Name, x.State, x.Tries)
	if x.Code != "" {
		words += " (" + x.Code + ")"
	}
	if x.Detail != "" {
		words += ": " + x.Detail
	}
	if x.State == Unknown {
		words += "; find out whether it happened, and say so by Settle"
	}
	return words
}

// compact spells JSON as the store does, so that a step which finds the record in
// memory sees the same bytes as one that finds it after a restart.
func compact(v json.RawMessage) json.RawMessage {
	if len(v) == 0 {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil // it is not JSON, so nothing that was stored
	}
	return b
}
