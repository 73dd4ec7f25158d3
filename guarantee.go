package semel

import (
	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// Guarantee is what an action promises about the number of its executions.
type Guarantee = message.Guarantee

// ActionOption is a choice made for an action.
type ActionOption interface{ applyAction(*core.Action) }

// EffectOption is a choice made for an effect.
type EffectOption interface{ applyEffect(*effectOptions) }

type guaranteeOption Guarantee

func (g guaranteeOption) applyAction(a *core.Action) { a.Guarantee = Guarantee(g) }

type policyOption core.Policy

func (p policyOption) applyEffect(o *effectOptions) { o.setPolicy(core.Policy(p)) }

// atMostOnce is a guarantee and a policy.
type atMostOnce struct {
	guaranteeOption
	policyOption
}

// Guarantees of actions. The default is exactly once: recorded, and
// acknowledged when durable.
var (
	// ExactlyOnce is the default, spelled out.
	ExactlyOnce ActionOption = guaranteeOption(message.ExactlyOnce)
	// AtLeastOnce drops the record: a call needs no key, and a repeated call
	// runs again.
	AtLeastOnce ActionOption = guaranteeOption(message.AtLeastOnce)
)

// AtMostOnce, of an action, drops the wait for durability: a crash may lose a
// call that was acknowledged, but none runs twice. Of an effect, it is the
// policy to record an unknown end as final: it is never called again.
var AtMostOnce = atMostOnce{guaranteeOption(message.AtMostOnce), policyOption(core.AtMostOnce)}

// Policies of effects: what may be done about a call that began and whose end
// is not known, because of a crash, a timeout, or an answer that does not tell.
var (
	// Ask is the default: the effect is in doubt until a person settles it
	// (App.Doubts, App.Resolve).
	Ask EffectOption = policyOption(core.Ask)
	// ReadOnly promises that the call changes nothing: it is called again.
	ReadOnly EffectOption = policyOption(core.ReadOnly)
	// Keyed promises that the outside world recognizes our key (EffectCall.Key):
	// it is called again with the same key.
	Keyed EffectOption = policyOption(core.Keyed)
)
