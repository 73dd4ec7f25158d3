package semel

import (
	"fmt"
	"time"

	"github.com/semel-dev/semel/internal/core"
)

type effectOptions struct {
	name   string
	effect core.Effect
	policy bool // one was chosen
	probe  any  // an EffectFunc of the effect's types
}

func (o *effectOptions) setPolicy(p core.Policy) {
	if o.policy {
		panic(fmt.Sprintf("semel: effect %q has two policies: %s and %s", o.name, o.effect.Policy, p))
	}
	o.effect.Policy, o.policy = p, true
}

type effectOption func(*effectOptions)

func (f effectOption) applyEffect(o *effectOptions) { f(o) }

// Probe is the policy to ask the outside world by the effect's key whether the
// call was done (see EffectFunc). While it cannot tell, it is asked again; when that
// lasts, the effect is in doubt, and probing goes on. "Not done" is believed
// only when a call that a former process began cannot arrive any more, unless
// ProbeCloses.
func Probe[Req, Rep any](find EffectFunc[Req, Rep]) EffectOption {
	return effectOption(func(o *effectOptions) {
		o.setPolicy(core.Probe)
		o.probe = find
	})
}

// ProbeCloses promises that a probe which hears "not done" also makes the
// outside world refuse the key from then on, except to our next call: so its
// answer counts at once.
var ProbeCloses EffectOption = effectOption(func(o *effectOptions) { o.effect.ProbeCloses = true })

// Timeout bounds one call, and one probe. The default is 30 s.
func Timeout(d time.Duration) EffectOption {
	return effectOption(func(o *effectOptions) {
		if d <= 0 {
			panic(fmt.Sprintf("semel: effect %q: the timeout is %v; it must be positive", o.name, d))
		}
		o.effect.Timeout = d
	})
}

// Attempts bounds the calls of an effect that are not done, or may be repeated,
// before it is given up. The waits in between grow, with full jitter. The
// default is 10.
func Attempts(n int) EffectOption {
	return effectOption(func(o *effectOptions) {
		if n < 1 {
			panic(fmt.Sprintf("semel: effect %q: %d attempts; at least 1 is needed", o.name, n))
		}
		o.effect.MaxAttempts = n
	})
}
