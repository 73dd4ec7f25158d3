package saga

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/semel-dev/semel"
)

// View is a saga as it is read.
type View struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"` // of its definition
	Version   int             `json:"version"`
	Principal string          `json:"principal"` // who started it
	Phase     Phase           `json:"phase"`
	Undoing   bool            `json:"undoing,omitempty"` // it is on its way back, also if it is parked
	Steps     []StepView      `json:"steps"`
	Failure   *Failure        `json:"failure,omitempty"` // why it does not complete
	Parked    *Park           `json:"parked,omitempty"`  // why it is parked
	State     json.RawMessage `json:"state"`
	Started   time.Time       `json:"started"`
	Ended     time.Time       `json:"ended,omitzero"`
	// Deadline is the end of the time that the saga was given, Forgotten when it
	// will not be readable any more.
	Deadline  time.Time `json:"deadline,omitzero"`
	Forgotten time.Time `json:"forgotten,omitzero"`
}

// StepView is a step of a saga.
type StepView struct {
	Name  string `json:"name"`
	Pivot bool   `json:"pivot,omitempty"`
	Fact  Fact   `json:"fact,omitempty"` // what is known of Do; empty if it was never asked for
	Do    Try    `json:"do"`
	Undo  Try    `json:"undo,omitzero"`
}

// Try is where a step's Do stands, or its Undo.
type Try struct {
	State    State           `json:"state,omitempty"`
	Waiting  bool            `json:"waiting,omitempty"` // it is withdrawn or overdue, and its answer is waited for
	Attempts int             `json:"attempts,omitempty"`
	Key      string          `json:"key,omitempty"` // of the effect that was asked last: see semel.EffectCall
	Asked    time.Time       `json:"asked,omitzero"`
	Settled  time.Time       `json:"settled,omitzero"`
	Due      time.Time       `json:"due,omitzero"` // when its time is over or, in Backoff, when it is asked again
	Code     string          `json:"code,omitempty"`
	Detail   string          `json:"detail,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"`
	By       string          `json:"by,omitempty"` // who settled it by hand, and why
	Why      string          `json:"why,omitempty"`
}

// IsZero says that it was not asked for.
func (t Try) IsZero() bool { return t.State == Idle && t.Attempts == 0 && t.By == "" }

// view makes the View, all but its id. It runs on the shard's loop, where what it
// shares with the state is encoded too.
func (d *definition) view(r *record, _ struct{}) (View, error) {
	if r.Phase == "" {
		return View{}, semel.Reject(codeUnknownSaga, "there is no such saga any more")
	}
	v := View{
		Name: d.name, Version: r.Version, Principal: r.Principal, Phase: r.phase(), Undoing: r.Failure != nil && !r.Phase.Ended(),
		Failure: r.Failure, Parked: r.Park, State: r.State,
		Started: r.Started, Ended: r.Ended, Deadline: r.Deadline, Forgotten: r.Forget,
	}
	for i := range r.Steps {
		s := &r.Steps[i]
		sv := StepView{Name: s.Name, Pivot: i == r.Pivot, Do: tryOf(&s.Do), Undo: tryOf(&s.Undo)}
		if !sv.Do.IsZero() {
			sv.Fact = s.fact()
		}
		v.Steps = append(v.Steps, sv)
	}
	return v, nil
}

func tryOf(x *side) Try {
	t := Try{
		State: x.State, Waiting: x.State == Asked && (x.Withdrawn || x.Overdue), Attempts: x.Serial, Key: x.Key, Asked: x.Asked, Settled: x.Settled,
		Code: x.Code, Detail: x.Detail, Data: x.Data, By: x.By, Why: x.Why,
	}
	if x.State == Asked || x.State == Backoff {
		t.Due = x.Due
	}
	return t
}

// Entry is a saga in a listing.
type Entry struct {
	View
	Place semel.Place
}

// List lists the sagas of a definition, those of one tenant, in no particular
// order: those that are in one of the phases, or all. Each is read by itself, so
// sagas that move on meanwhile may be in it or not. It ends with an error, if
// there is one.
func (g *Registry) List(ctx context.Context, name string, phases []Phase, opts ...semel.ListOption) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		d, err := g.definition(name)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		for e, err := range d.agent.All(ctx, opts...) {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			id := idOf(name, e.Agent.ID)
			v, err := g.Get(ctx, id, semel.Tenant(e.Agent.Tenant))
			if errors.Is(err, semel.ErrUnknownAgent) {
				continue // it was forgotten meanwhile
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if (len(phases) == 0 || slices.Contains(phases, v.Phase)) && !yield(Entry{View: v, Place: e.Place}, nil) {
				return
			}
		}
	}
}
