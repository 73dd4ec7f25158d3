package declare

import (
	"errors"
	"fmt"
	"time"

	"github.com/semel-dev/semel/saga"
)

// Saga is a definition.
type Saga struct {
	Version int           // new sagas have it; 0 means 1
	Timeout time.Duration // of the whole, until its pivot; 0 means none
	Steps   []Step
	Former  []Saga // versions that sagas may still be running with
}

// Step is a step of a saga.
type Step struct {
	Name     string
	Do       Call
	Undo     *Call         // nil if there is nothing to undo
	Always   bool          // Undo is asked for also if the step did not happen
	Pivot    bool          // no way back once it happened
	Parallel bool          // it is asked for beside the step before it
	Timeout  time.Duration // until it is withdrawn; 0 means none
	Attempts int           // of Do and of Undo; 0 means the default
}

// Call is an effect, or an action of an agent.
type Call struct {
	Effect string
	Agent  string // "type/id", the id is a template
	Action string
	Body   string // a template of JSON; empty sends the saga's input
}

// FieldError says which field is wrong.
type FieldError struct {
	Field string // as "steps[1].undo.body"
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns what is wrong with it.
func (e *FieldError) Unwrap() error { return e.Err }

// Versions are the definition as saga.Define takes it. What is wrong is a
// FieldError, or several that are joined.
func (s *Saga) Versions() ([]saga.Version[saga.Document], error) {
	first, err := s.compile("")
	all := []saga.Version[saga.Document]{first}
	for i := range s.Former {
		at := fmt.Sprintf("former[%d].", i)
		v, wrong := s.Former[i].compile(at)
		if len(s.Former[i].Former) > 0 {
			wrong = errors.Join(wrong, &FieldError{at + "former", errors.New("former versions are listed once, with the definition")})
		}
		all, err = append(all, v), errors.Join(err, wrong)
	}
	return all, err
}

func (s *Saga) compile(at string) (v saga.Version[saga.Document], err error) {
	v.Number, v.Timeout = s.Version, s.Timeout
	if v.Number == 0 {
		v.Number = 1
	}
	var stage saga.Parallel[saga.Document]
	for i := range s.Steps {
		field := fmt.Sprintf("%ssteps[%d]", at, i)
		step, wrong := s.Steps[i].compile(field)
		err = errors.Join(err, wrong)
		if s.Steps[i].Parallel && i == 0 {
			err = errors.Join(err, &FieldError{field + ".parallel", errors.New("there is no step before it")})
		}
		if !s.Steps[i].Parallel && len(stage) > 0 {
			v.Stages, stage = append(v.Stages, stage), nil
		}
		stage = append(stage, step)
	}
	if len(stage) > 0 {
		v.Stages = append(v.Stages, stage)
	}
	return v, err
}

func (s *Step) compile(at string) (step saga.Step[saga.Document], err error) {
	step = saga.Step[saga.Document]{
		Name: s.Name, UndoAlways: s.Always, Pivot: s.Pivot, Timeout: s.Timeout,
		Retry: saga.Retry{Attempts: s.Attempts}, UndoRetry: saga.Retry{Attempts: s.Attempts},
	}
	do, err := s.Do.parse(at)
	if err == nil {
		step.Do = do.do()
	}
	if s.Undo != nil {
		undo, wrong := s.Undo.parse(at + ".undo")
		if wrong == nil {
			step.Undo = undo.undo()
		}
		err = errors.Join(err, wrong)
	}
	return step, err
}
