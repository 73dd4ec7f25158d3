package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/saga/declare"
)

// sagaConfig is a saga whose steps are effects and agents' actions; its name is the
// key above.
type sagaConfig struct {
	Version int           `koanf:"version"`
	Timeout time.Duration `koanf:"timeout"`
	Steps   []stepConfig  `koanf:"steps"`
	Former  []sagaConfig  `koanf:"former"` // versions that sagas may still be running with
}

// stepConfig is a step of a saga.
type stepConfig struct {
	Name     string        `koanf:"name"`
	Effect   string        `koanf:"effect"`
	Agent    string        `koanf:"agent"`
	Action   string        `koanf:"action"`
	Body     string        `koanf:"body"`
	Undo     undoConfig    `koanf:"undo"`
	Pivot    bool          `koanf:"pivot"`
	Parallel bool          `koanf:"parallel"`
	Timeout  time.Duration `koanf:"timeout"`
	Attempts int           `koanf:"attempts"`
}

// undoConfig is the compensation of a step.
type undoConfig struct {
	Effect string `koanf:"effect"`
	Agent  string `koanf:"agent"`
	Action string `koanf:"action"`
	Body   string `koanf:"body"`
	Always bool   `koanf:"always"`
}

func (c *sagaConfig) declared() *declare.Saga {
	d := &declare.Saga{Version: c.Version, Timeout: c.Timeout}
	for _, s := range c.Steps {
		step := declare.Step{
			Name: s.Name, Do: declare.Call{Effect: s.Effect, Agent: s.Agent, Action: s.Action, Body: s.Body},
			Pivot: s.Pivot, Parallel: s.Parallel, Timeout: s.Timeout, Attempts: s.Attempts,
		}
		if s.Undo != (undoConfig{}) {
			step.Undo = &declare.Call{Effect: s.Undo.Effect, Agent: s.Undo.Agent, Action: s.Undo.Action, Body: s.Undo.Body}
			step.Always = s.Undo.Always
		}
		d.Steps = append(d.Steps, step)
	}
	for i := range c.Former {
		d.Former = append(d.Former, *c.Former[i].declared())
	}
	return d
}

// checkSagas looks at what can be said without the App: whether the agents' actions
// exist is found when a saga asks for them.
func (l *loaded) checkSagas(bad *problems) {
	for _, name := range slices.Sorted(maps.Keys(l.Sagas)) {
		path, c := "sagas."+name, l.Sagas[name]
		versions, err := c.declared().Versions()
		for _, err := range unjoin(err) {
			var field *declare.FieldError
			if at := path; errors.As(err, &field) {
				at += "." + field.Field
				bad.add(l.where(at), at, "%v", field.Err)
			} else {
				bad.add(l.where(at), at, "%v", err)
			}
		}
		if err == nil {
			if err := saga.Check(name, versions...); err != nil {
				bad.add(l.where(path), path, "%v", err)
			}
		}
		l.checkSagaEffects(path, &c, bad)
	}
}

// checkSagaEffects looks for effects that are not configured.
func (l *loaded) checkSagaEffects(path string, c *sagaConfig, bad *problems) {
	known := func(at, effect string) {
		if _, ok := l.Effects[effect]; !ok && effect != "" {
			bad.add(l.where(at), at, "there is no effect %q; add it to effects, or correct the name", effect)
		}
	}
	for i, s := range c.Steps {
		known(fmt.Sprintf("%s.steps[%d].effect", path, i), s.Effect)
		known(fmt.Sprintf("%s.steps[%d].undo.effect", path, i), s.Undo.Effect)
	}
	for i := range c.Former {
		l.checkSagaEffects(fmt.Sprintf("%s.former[%d]", path, i), &c.Former[i], bad)
	}
}

// defineSagas registers those of the configuration.
func (c *config) defineSagas(g *saga.Registry) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Sagas)) {
		s := c.Sagas[name]
		versions, err := s.declared().Versions()
		if err == nil {
			_, err = saga.Define(g, name, versions...)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("sagas.%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
