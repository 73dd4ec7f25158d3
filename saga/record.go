package saga

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/semel-dev/semel"
)

// record is the state of a saga's agent: all that is known of it, and nothing
// else decides what comes next.
//
//  1. Phase is Running, Compensating, or an end; Running only goes to
//     Compensating or Completed, and Compensating to Compensated or Cancelled.
//  2. Steps are those of the definition's version, in its order; their names and
//     Shape tell whether that version is still the same.
//  3. A step is Registered from the commit on that asks for its Do. Only what is
//     registered is compensated, so whatever may leave is undone.
//  4. Running without Failure, all steps of the stages before At are done.
//     Compensating, all stages behind At are undone.
//  5. Failure is set once, when it was decided that the saga does not complete;
//     from then on no Do is asked for.
//  6. While Park is set nothing new is asked for; answers are recorded.
type record struct {
	Format    int             `json:"format"` // of this record: 1
	Version   int             `json:"version"`
	Shape     string          `json:"shape"`
	Instance  string          `json:"instance"`            // tells answers to a forgotten saga from those to its successor
	Principal string          `json:"principal,omitempty"` // who started it
	Input     string          `json:"input"`               // the hash of what it was started with
	Pivot     int             `json:"pivot"`               // its place among the steps; -1 if there is none
	Phase     Phase           `json:"phase"`
	At        int             `json:"at"` // the stage
	Steps     []stepRecord    `json:"steps"`
	Failure   *Failure        `json:"failure,omitempty"`
	Park      *Park           `json:"park,omitempty"`
	State     json.RawMessage `json:"state"`
	Waiting   []semel.Waiting `json:"waiting,omitempty"` // who is told of the end
	Started   time.Time       `json:"started"`
	Deadline  time.Time       `json:"deadline,omitzero"` // of the whole saga
	Ended     time.Time       `json:"ended,omitzero"`
	Forget    time.Time       `json:"forget,omitzero"`
}

// stepRecord is what is known of one step.
type stepRecord struct {
	Name       string `json:"name"`
	Registered bool   `json:"registered,omitempty"`
	Do         side   `json:"do"`
	Undo       side   `json:"undo"`
}

// side is a step's Do or its Undo.
type side struct {
	State     State           `json:"state,omitempty"`
	Serial    int             `json:"serial,omitempty"` // how often it was asked for; tells a late answer from the one awaited
	Tries     int             `json:"tries,omitempty"`  // since somebody resumed the saga
	Key       string          `json:"key,omitempty"`    // of the effect asked last; empty for an agent's action
	Asked     time.Time       `json:"asked,omitzero"`
	Settled   time.Time       `json:"settled,omitzero"`
	Due       time.Time       `json:"due,omitzero"` // Asked: when its time is over. Backoff: when it is asked for again
	Code      string          `json:"code,omitempty"`
	Detail    string          `json:"detail,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
	Reply     json.RawMessage `json:"reply,omitempty"`     // only while Unkept
	Unkept    bool            `json:"unkept,omitempty"`    // done, and the state does not know of it yet
	TooLarge  bool            `json:"too_large,omitempty"` // Unkept, and the reply was too large to wait here
	Withdrawn bool            `json:"withdrawn,omitempty"`
	TimedOut  bool            `json:"timed_out,omitempty"`
	Overdue   bool            `json:"overdue,omitempty"` // its time is over, and it cannot be withdrawn
	By        string          `json:"by,omitempty"`      // who settled it by hand
	Why       string          `json:"why,omitempty"`
}

// Failure is why a saga does not complete.
type Failure struct {
	Step   string          `json:"step,omitempty"` // empty if none failed: it was cancelled, or its time was over
	Code   string          `json:"code"`
	Detail string          `json:"detail,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"` // of the step's rejection, if it has at most 64 KiB
	By     string          `json:"by,omitempty"`   // who cancelled it
	At     time.Time       `json:"at"`
}

// Park is why a saga waits for an operator.
type Park struct {
	Step   string    `json:"step,omitempty"`
	Code   string    `json:"code"`
	Detail string    `json:"detail"`
	At     time.Time `json:"at"`
}

// fact is what is known of the step's Do.
func (s *stepRecord) fact() Fact {
	switch s.Do.State {
	case Done:
		return Happened
	case Asked, Unknown:
		return MayHaveHappened
	}
	return DidNotHappen
}

// sideOf is the Do or the Undo.
func (s *stepRecord) sideOf(undo bool) *side {
	if undo {
		return &s.Undo
	}
	return &s.Do
}

// pastPivot says whether there is no way back any more: the pivot was asked for,
// and is not known not to have happened.
func (r *record) pastPivot() bool {
	return r.Pivot >= 0 && r.Steps[r.Pivot].fact() != DidNotHappen
}

// step finds a step by its name.
func (r *record) step(name string) int {
	for i := range r.Steps {
		if r.Steps[i].Name == name {
			return i
		}
	}
	return -1
}

// registered says whether anything was asked for.
func (r *record) registered() bool {
	return slices.ContainsFunc(r.Steps, func(s stepRecord) bool { return s.Registered })
}
