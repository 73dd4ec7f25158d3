package engine

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// startEffect makes a call or a probe. Whatever was to be durable before it
// is. The machine bounds how many run at once.
func (sh *shard) startEffect(job core.EffectJob) {
	e := sh.engine
	if e.ctx.Err() != nil {
		return
	}
	life := sh.life
	e.enter(1)
	e.running.Add(1)
	go func() {
		defer e.running.Done()
		defer e.leave(1)
		r := e.callOutside(job)
		sh.queue.push(event{run: func(m *core.Shard) {
			if life == sh.life {
				m.EffectDone(e.clock.now(), r)
			} else { // a new machine took the effect up from the store
				m.LateResult(e.clock.now(), r)
			}
		}})
	}()
}

// callOutside runs the effect's function under its deadline. A panic, and
// whatever is no clear answer, is unknown.
func (e *Engine) callOutside(job core.EffectJob) (r core.EffectResult) {
	unknown := func(detail string) core.EffectResult {
		return core.EffectResult{Status: message.StatusUnknown, Detail: detail}
	}
	defer func() {
		if v := recover(); v != nil {
			e.cfg.Logger.Error("an effect panicked", "effect", job.Name, "id", job.ID.String(), "panic", v, "stack", string(debug.Stack()))
			r = unknown(fmt.Sprintf("the effect's function panicked: %v", v))
		}
		r.ID, r.Attempt, r.Probe = job.ID, job.Attempt, job.Probe
	}()
	out := e.outside[job.Name]
	fn := out.Call
	if job.Probe {
		fn = out.Probe
	}
	if fn == nil {
		return unknown(fmt.Sprintf("this program has no function to call or probe the effect %q", job.Name))
	}
	ctx, cancel := context.WithTimeout(e.ctx, job.Timeout)
	defer cancel()
	return fn(ctx, job)
}
