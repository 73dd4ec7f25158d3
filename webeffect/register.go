package webeffect

import (
	"crypto/tls"
	"encoding/json"
	"fmt"

	"github.com/semel-dev/semel"
)

// The names under which effects are called, and the codes of their rejections.
const (
	// AgentType is reserved for effects: its agents are their names.
	AgentType = "effects"
	// Action is the one action of an effect: its body is the request.
	Action = "run"
	// CodeRejected: the endpoint said no. The rejection's data is a [Refusal].
	CodeRejected = "rejected_by_provider"
	// CodeNotDone: the effect was given up after all its attempts, and certainly
	// did not happen. That is the recorded outcome of its key; a call with a new
	// key tries again, and cannot do it twice.
	CodeNotDone = "effect_not_done"
)

// Options are the choices for all effects. The zero value is good.
type Options struct {
	// TLS is used for https, for example with the roots of a private authority.
	// Nil means the system's roots.
	TLS *tls.Config
}

// state is an agent's: it has none.
type state struct{}

// Register adds the effects to the App, and the agent type that calls them: the
// type also when there are none, for an effect whose configuration was removed
// may still have an answer to bring. The error is that of [Check], and then
// nothing was registered. Like all registering it is for one goroutine, and it
// panics if the App was started, or has an agent type or an effect of the same
// name already.
func Register(app *semel.App, specs map[string]Spec, opts *Options) error {
	if err := Check(specs); err != nil {
		return err
	}
	if opts == nil {
		opts = &Options{}
	}
	agent := semel.NewAgent[state](app, AgentType)
	answered := semel.Then(agent, "answered", answered)
	known := make(map[string]*semel.Effect[json.RawMessage, json.RawMessage], len(specs))
	for name, spec := range specs {
		e, err := newEndpoint(spec.WithDefaults(), opts)
		if err != nil {
			return fmt.Errorf("effects.%s: %w", name, err)
		}
		known[name] = semel.NewEffect(app, name, e.call, e.options()...)
	}
	semel.On(agent, Action, func(_ *state, s *semel.Step, request json.RawMessage) (json.RawMessage, error) {
		effect := known[s.Agent().ID]
		if effect == nil {
			// No rejection: nothing is recorded, and once it is configured the
			// same key may call it.
			return nil, fmt.Errorf("no effect %q is configured; add it to the configuration, or correct the name", s.Agent().ID)
		}
		effect.Ask(s, request, answered.With(struct{}{}))
		return semel.Defer[json.RawMessage]()
	})
	return nil
}

// answered brings the endpoint's answer to whoever called.
func answered(_ *state, _ *semel.Step, _ struct{}, r semel.Result[json.RawMessage]) (json.RawMessage, error) {
	if r.NotDone() {
		return nil, semel.Reject(CodeNotDone, "%s; a call with a new key tries again", r.Detail)
	}
	return r.Value, r.Err()
}

// options are what the machine has to know of the effect.
func (e *endpoint) options() []semel.EffectOption {
	return []semel.EffectOption{e.policy(), semel.Timeout(e.spec.Timeout), semel.Attempts(e.spec.Attempts)}
}

func (e *endpoint) policy() semel.EffectOption {
	switch e.spec.Policy {
	case policyKeyed:
		return semel.Keyed
	case policyProbe:
		return semel.Probe(e.probe)
	case policyAtMostOnce:
		return semel.AtMostOnce
	case policyReadOnly:
		return semel.ReadOnly
	}
	return semel.Ask
}
