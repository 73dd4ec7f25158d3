package saga

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// plan is a version of a definition without its types: what the machine works
// with. It is not changed after it was made.
type plan struct {
	version int
	timeout time.Duration // of the whole saga; 0: none
	steps   []planStep
	stages  [][]int // the steps of each stage
	pivot   int     // -1: none
	shape   string
}

type planStep struct {
	name    string
	do      call
	undo    *call
	always  bool // the Undo is called even if the step did not happen
	retry   Retry
	reundo  Retry
	timeout time.Duration
	stage   int
}

// call is a Do or an Undo without its types. request and keep are the user's,
// work on the JSON of S, and may fail or panic.
type call struct {
	action  bool   // of an agent; else an effect
	target  string // the effect, or type/action
	typ     string // of the agent
	name    string // of the action, or of the effect
	request func(state json.RawMessage, f Fact) (asked, error)
	keep    func(state, reply json.RawMessage) (json.RawMessage, error) // nil: the reply is of no interest
	// document: the reply is kept in a Document under the step's name.
	document bool
}

// asked is a request that a definition made.
type asked struct {
	nothing bool   // it decided that nothing is to be called
	id      string // of the agent
	body    json.RawMessage
}

func (p *planStep) retryOf(undo bool) Retry {
	if undo {
		return p.reundo
	}
	return p.retry
}

func (p *planStep) callOf(undo bool) *call {
	if undo {
		return p.undo
	}
	return &p.do
}

// shapeOf is the fingerprint of what a running saga depends on: which steps
// there are, in which stages, and whom they call. Retries, timeouts and the
// functions may change within a version.
func shapeOf(p *plan) string {
	h := sha256.New()
	for i := range p.steps {
		s := &p.steps[i]
		undo := "-"
		if s.undo != nil {
			undo = fmt.Sprintf("%t %q", s.undo.action, s.undo.target)
		}
		fmt.Fprintf(h, "%d %q %t %q %s %t\n", s.stage, s.name, s.do.action, s.do.target, undo, i == p.pivot)
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// misfit says why a saga cannot go on with this version, which is nil if it is not
// registered; others are those that are. It is nil if the saga can.
func (p *plan) misfit(r *record, others []int) *Park {
	if p == nil {
		return &Park{Code: CodeUnknownVersion, Detail: fmt.Sprintf(
			"it began with version %d of its definition, which is not registered; there are %v: register that one too, and resume the saga", r.Version, others)}
	}
	if p.shape == r.Shape {
		return nil
	}
	was, is := make([]string, len(r.Steps)), make([]string, len(p.steps))
	for i := range r.Steps {
		was[i] = r.Steps[i].Name
	}
	for i := range p.steps {
		is[i] = p.steps[i].name
	}
	return &Park{Code: CodeChanged, Detail: fmt.Sprintf(
		"version %d of its definition is not what it began with: its steps were %q, and are %q, or they call something else, or in other stages: register that version as it was, and what is new under another number", r.Version, was, is)}
}
