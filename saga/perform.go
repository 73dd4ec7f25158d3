package saga

import (
	"encoding/json"
	"fmt"

	"github.com/semel-dev/semel"
)

// outcome is what is told of an ended saga.
func (r *record) outcome() (json.RawMessage, error) {
	if r.Phase == Completed {
		return r.State, nil
	}
	f := r.Failure
	no := semel.Reject(f.Code, "the saga is %s: %s", r.Phase, f)
	return nil, no.With(Failed{Phase: r.Phase, Failure: *f}).Keep()
}

// tell has the end of the saga told to who waits.
func (d *definition) tell(r *record, s *semel.Step, w semel.Waiting) {
	a := about{Instance: r.Instance}
	d.over.Ask(s, s.Agent().ID, a, d.ended.With(a).For(w))
}

// perform carries out the machine's orders. told says that this step's own
// outcome is that of the first who waits.
func (d *definition) perform(r *record, s *semel.Step, m *machine, told bool) {
	for _, o := range m.orders {
		a := about{Instance: r.Instance}
		if o.kind == orderAsk || o.kind == orderTimer {
			a.Step, a.Undo, a.Serial = r.Steps[o.step].Name, o.undo, r.Steps[o.step].sideOf(o.undo).Serial
		}
		switch o.kind {
		case orderAsk:
			d.ask(r, s, m, o, a)
		case orderWithdraw:
			s.Withdraw(r.Steps[o.step].Do.Key)
		case orderTimer:
			d.tick.After(s, timerName(o), o.after, a)
		case orderNoTimer:
			s.CancelTimer(timerName(o))
		case orderLimit:
			a.Kind = tickLimit
			d.tick.After(s, tickLimit, o.after, a)
		case orderEnd:
			d.atEnd(r, s, told)
		case orderForget:
			s.Forget()
		case orderAlarm:
			d.registry.raise(s, d.name, o.alarm)
		}
	}
}

func (d *definition) ask(r *record, s *semel.Step, m *machine, o order, a about) {
	c := m.p.steps[o.step].callOf(o.undo)
	then := d.answered.With(a)
	if len(r.Waiting) > 0 {
		then = then.For(r.Waiting[0])
	}
	if c.action {
		semel.RefTo[json.RawMessage, json.RawMessage](c.typ, c.name).Ask(s, o.asked.id, o.asked.body, then)
		return
	}
	key := semel.EffectTo[json.RawMessage, json.RawMessage](c.name).Ask(s, o.asked.body, then)
	r.Steps[o.step].sideOf(o.undo).Key = key
}

func (d *definition) atEnd(r *record, s *semel.Step, told bool) {
	if !r.Deadline.IsZero() {
		s.CancelTimer(tickLimit)
	}
	for i, w := range r.Waiting {
		if i > 0 || !told {
			d.tell(r, s, w)
		}
	}
	d.tick.After(s, tickForget, r.Forget.Sub(s.Now()), about{Instance: r.Instance, Kind: tickForget})
}

func timerName(o order) string {
	if o.undo {
		return fmt.Sprintf("undo %d", o.step)
	}
	return fmt.Sprintf("do %d", o.step)
}

// String is the failure as people read it.
func (f *Failure) String() string {
	what := f.Code
	if f.Step != "" {
		what = fmt.Sprintf("step %q failed (%s)", f.Step, f.Code)
	}
	if f.Detail != "" {
		what += ": " + f.Detail
	}
	if f.By != "" {
		what += ", said " + f.By
	}
	return what
}

// Failed is the data of the rejection with which a saga that did not complete is
// told: the rejection's code is the Failure's.
type Failed struct {
	Phase Phase `json:"phase"` // Compensated or Cancelled
	Failure
}
