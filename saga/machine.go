package saga

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/semel-dev/semel"
)

// machine takes a saga's record from one event to the next, and says what is to
// be asked for. It does nothing itself, and is used for one step only.
//
// What is recorded and what follows from it are kept apart: an event is written
// into the record first (events.go, operate.go), and advance looks at nothing
// but the record. So a saga whose definition is missing still records every
// answer, and one that is resumed goes on as if it had never waited.
type machine struct {
	r        *record
	p        *plan // of the saga's version; nil if it cannot be used
	misfit   *Park // why it cannot
	now      time.Time
	jitter   func() float64 // of [0,1)
	maxState int            // bytes of S
	keep     time.Duration  // how long an ended saga can be read
	orders   []order
}

// order is what a step is to do when the machine has decided.
type order struct {
	kind  orderKind
	step  int
	undo  bool
	asked asked         // orderAsk
	after time.Duration // orderTimer
	alarm *Park         // orderAlarm
}

type orderKind int

const (
	orderAsk      orderKind = iota + 1 // ask for the Do or the Undo
	orderWithdraw                      // withdraw the effect of a Do
	orderTimer                         // set the timer of a Do or an Undo
	orderNoTimer                       // remove it
	orderLimit                         // set the timer of the whole saga
	orderEnd                           // tell who waits, and set the timer that forgets the saga
	orderForget
	orderAlarm
)

func (m *machine) order(o order) { m.orders = append(m.orders, o) }

// asks says whether anything was asked for whose answer will come.
func (m *machine) asks() bool {
	return slices.ContainsFunc(m.orders, func(o order) bool { return o.kind == orderAsk })
}

// advance does whatever follows from the record.
func (m *machine) advance() {
	for !m.r.Phase.Ended() && m.r.Park == nil {
		if !m.known() {
			return
		}
		again := false
		switch {
		case m.r.Phase == Compensating:
			again = m.backward()
		case m.r.Failure != nil:
			again = m.turn()
		default:
			again = m.forward()
		}
		if !again {
			return
		}
	}
}

// known parks the saga if its definition is not there, or is another one.
func (m *machine) known() bool {
	if m.p == nil {
		m.park("", m.misfit.Code, "%s", m.misfit.Detail)
	}
	return m.p != nil
}

// park makes the saga wait for an operator, with an alarm.
func (m *machine) park(step, code, form string, args ...any) {
	m.r.Park = &Park{Step: step, Code: code, Detail: fmt.Sprintf(form, args...), At: m.now}
	m.order(order{kind: orderAlarm, alarm: m.r.Park})
}

// overdue raises the alarm about something that cannot be made to answer.
func (m *machine) overdue(step, form string, args ...any) {
	m.order(order{kind: orderAlarm, alarm: &Park{Step: step, Code: CodeOverdue, Detail: fmt.Sprintf(form, args...), At: m.now}})
}

// fail decides that the saga does not complete. The first reason stands.
func (m *machine) fail(f Failure) {
	if m.r.Failure == nil {
		f.At = m.now
		m.r.Failure = &f
	}
}

// end is the saga's last change, but for its being forgotten.
func (m *machine) end(p Phase) {
	m.r.Phase, m.r.Ended, m.r.Forget = p, m.now, m.now.Add(m.keep)
	m.order(order{kind: orderEnd})
}

// request has the definition make a request. ok is false if the saga failed or
// parks instead.
func (m *machine) request(i int, undo bool) (a asked, ok bool) {
	s := &m.r.Steps[i]
	c := m.p.steps[i].callOf(undo)
	err := protect(func() (err error) {
		a, err = c.request(m.r.State, s.fact())
		return err
	})
	if err == nil && !a.nothing && c.action {
		err = semel.AgentName{Tenant: "default", Type: c.typ, ID: a.id}.Validate()
	}
	if err == nil {
		return a, true
	}
	var no *semel.Rejection
	if at := m.place(i, undo); (at == beforePivot || at == atPivot) && errors.As(err, &no) && no != nil {
		m.fail(failureOf(s.Name, no))
		return a, false
	}
	if !m.r.registered() { // nothing was done: what it was started with is wrong
		m.fail(Failure{Step: s.Name, Code: CodeInvalidInput, Detail: fmt.Sprintf("the request of step %q cannot be made: %v", s.Name, err)})
		return a, false
	}
	m.park(s.Name, CodeDefinition, "the request of %s of step %q cannot be made: %v", sideName(undo), s.Name, err)
	return a, false
}

// ask asks for a Do or an Undo. It is registered by the same commit.
func (m *machine) ask(i int, undo bool, a asked) {
	s, ps := &m.r.Steps[i], &m.p.steps[i]
	x := s.sideOf(undo)
	if a.nothing {
		x.State, x.Settled = Done, m.now
		if undo {
			x.State = Skipped
		}
		return
	}
	s.Registered = true
	*x = side{State: Asked, Serial: x.Serial + 1, Tries: x.Tries + 1, Asked: m.now}
	m.order(order{kind: orderAsk, step: i, undo: undo, asked: a})
	if ps.timeout > 0 {
		x.Due = m.now.Add(ps.timeout)
		m.order(order{kind: orderTimer, step: i, undo: undo, after: ps.timeout})
	}
}

// again has a Do or an Undo asked for again later.
func (m *machine) again(i int, undo bool) {
	x := m.r.Steps[i].sideOf(undo)
	d := m.p.steps[i].retryOf(undo).wait(x.Tries, m.jitter())
	x.State, x.Due = Backoff, m.now.Add(d)
	m.order(order{kind: orderTimer, step: i, undo: undo, after: d})
}

// kept brings a reply into S. It is false if the saga failed or parks instead.
func (m *machine) kept(i int, undo bool) bool {
	s := &m.r.Steps[i]
	x := s.sideOf(undo)
	if !x.Unkept {
		return true
	}
	if x.TooLarge {
		m.park(s.Name, CodeTooLarge, "the reply of step %q is too large to be kept: say what the state needs of it, if anything", s.Name)
		return false
	}
	state := m.r.State
	if c := m.p.steps[i].callOf(undo); c != nil && c.keep != nil {
		err := protect(func() (err error) {
			state, err = c.keep(m.r.State, x.Reply)
			return err
		})
		var no *semel.Rejection
		switch {
		case m.place(i, undo) == beforePivot && errors.As(err, &no) && no != nil:
			// It happened, and is not what was wanted: it is undone with the rest.
			x.Reply, x.Unkept = nil, false
			m.fail(failureOf(s.Name, no))
			return false
		case err != nil:
			m.park(s.Name, CodeDefinition, "the reply of %s of step %q cannot be kept: %v", sideName(undo), s.Name, err)
			return false
		case len(state) > m.maxState:
			m.park(s.Name, CodeTooLarge, "with the reply of step %q the state has %d bytes; at most %d are allowed", s.Name, len(state), m.maxState)
			return false
		}
	}
	m.r.State = state
	x.Reply, x.Unkept = nil, false
	return true
}

func failureOf(step string, no *semel.Rejection) Failure {
	f := Failure{Step: step, Code: no.Code, Detail: no.Detail}
	if len(no.Data) <= maxData {
		f.Data = compact(no.Data)
	}
	if f.Code == "" {
		f.Code = "rejected"
	}
	return f
}

func sideName(undo bool) string {
	if undo {
		return "the compensation"
	}
	return "the action"
}

// protect contains the panics of a definition's functions: a saga that they
// stop must be seen, not retried into the dead letters.
func protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("it panicked: %v", v)
		}
	}()
	return f()
}
