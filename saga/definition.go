package saga

import (
	"fmt"
	"strings"
	"time"
)

// MaxSteps bounds the steps of a saga.
const MaxSteps = 100

// Version is one version of a saga's definition. A saga goes on with the version
// that it began with, however long it takes, so a program registers all versions
// of which sagas may still be running; new ones begin with the highest number.
// Retries, timeouts and functions may change within a version; steps, their
// order and what they call may not, which running sagas find out.
type Version[S any] struct {
	Number int // at least 1
	// Timeout is for the whole saga, from its start: when it is over and the
	// pivot was not asked for, the saga fails and is compensated. 0 means none.
	Timeout time.Duration
	Stages  []Stage[S]
}

// Stage is what a saga does next: a Step, or Parallel ones.
type Stage[S any] interface{ stage() []Step[S] }

// Parallel is a stage of steps that are asked for at once. If one of them fails,
// those that have no answer yet are withdrawn, and all are undone at once.
type Parallel[S any] []Step[S]

func (p Parallel[S]) stage() []Step[S] { return p }
func (s Step[S]) stage() []Step[S]     { return []Step[S]{s} }

// Step is one step of a saga.
type Step[S any] struct {
	Name string // unique in its version
	Do   Call[S]
	// Undo compensates the step, if it happened or may have. Nil if there is
	// nothing to undo.
	Undo *Undo[S]
	// UndoAlways has Undo asked also if the step certainly did not happen.
	UndoAlways bool
	// Pivot says that there is no way back once the step happened: the steps
	// behind it are tried until they are done. It stands in a stage by itself, and
	// neither it nor what is behind it has an Undo.
	Pivot bool
	// Retry is for Do, UndoRetry for Undo.
	Retry, UndoRetry Retry
	// Timeout is how long an answer is waited for; 0 means as long as it takes. A
	// Do that is an effect is then withdrawn: it is called no more, and the step
	// failed unless the answer to that says that it is done. Withdrawing settles a
	// doubt as unknown, so give a step whose doubts somebody will settle (the
	// pivot!) no timeout, or a long one. An agent's action and an Undo cannot be
	// withdrawn: an alarm tells that they are overdue.
	Timeout time.Duration
}

// compile checks a version and makes the plan of it. The error names the mistake.
func compile[S any](v Version[S]) (*plan, error) {
	p := &plan{version: v.Number, timeout: v.Timeout, pivot: -1}
	switch {
	case v.Number < 1:
		return nil, fmt.Errorf("version %d: numbers begin at 1", v.Number)
	case v.Timeout < 0:
		return nil, fmt.Errorf("version %d: the timeout is %v", v.Number, v.Timeout)
	case len(v.Stages) == 0:
		return nil, fmt.Errorf("version %d has no stages", v.Number)
	}
	seen := make(map[string]bool)
	for n, stage := range v.Stages {
		if stage == nil || len(stage.stage()) == 0 {
			return nil, fmt.Errorf("version %d: stage %d has no steps", v.Number, n+1)
		}
		var places []int
		for _, s := range stage.stage() {
			ps, err := compileStep(p, s, n, len(stage.stage()))
			if err == nil && seen[s.Name] {
				err = fmt.Errorf("the name is taken")
			}
			if err != nil {
				return nil, fmt.Errorf("version %d: step %q: %w", v.Number, s.Name, err)
			}
			seen[s.Name] = true
			places = append(places, len(p.steps))
			p.steps = append(p.steps, ps)
		}
		p.stages = append(p.stages, places)
	}
	if len(p.steps) > MaxSteps {
		return nil, fmt.Errorf("version %d has %d steps; at most %d are allowed", v.Number, len(p.steps), MaxSteps)
	}
	p.shape = shapeOf(p)
	return p, nil
}

func compileStep[S any](p *plan, s Step[S], stage, beside int) (planStep, error) {
	ps := planStep{name: s.Name, do: s.Do.call, always: s.UndoAlways, timeout: s.Timeout, stage: stage}
	mistake := func(form string, args ...any) (planStep, error) { return ps, fmt.Errorf(form, args...) }
	behind := p.pivot >= 0
	switch {
	case !isName(s.Name):
		return mistake("a name has 1 to 64 of the characters a-z, A-Z, 0-9, _ and -")
	case s.Timeout < 0:
		return mistake("the timeout is %v", s.Timeout)
	case s.Do.request == nil:
		return mistake("its Do makes no request: a function is nil")
	case s.Undo != nil && s.Undo.request == nil:
		return mistake("its Undo makes no request: a function is nil")
	case s.Undo == nil && s.UndoAlways:
		return mistake("it is UndoAlways and has no Undo")
	case s.Pivot && behind:
		return mistake("there is a pivot before it already")
	case s.Pivot && beside > 1:
		return mistake("a pivot stands in a stage by itself: what is beside it would have to be undone and not to be undone")
	case s.Undo != nil && (s.Pivot || behind):
		return mistake("from the pivot on nothing is undone, so it can have no Undo")
	}
	if s.Do.document {
		ps.do.keep = keepIn(s.Name)
	}
	if s.Undo != nil {
		c := s.Undo.call
		ps.undo = &c
	}
	attempts := 1
	if behind {
		attempts = defaultAttempts
	}
	var err error
	if ps.retry, err = s.Retry.complete(attempts); err != nil {
		return ps, err
	}
	if ps.reundo, err = s.UndoRetry.complete(defaultAttempts); err != nil {
		return ps, err
	}
	if s.Pivot {
		p.pivot = len(p.steps)
	}
	return ps, nil
}

// isName says whether a definition or a step may be called so: what ids, paths
// and templates are made of.
func isName(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
}
