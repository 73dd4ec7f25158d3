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
	if !e.tenancy.valid() { // another node may have the shard: it decides what becomes of it
		sh.lapsed.Store(true)
		sh.queue.wakeUp()
		return
	}
	life := sh.life
	e.calling.add(&job)
	go func() {
		r := core.EffectResult{ID: job.ID, Attempt: job.Attempt, Probe: job.Probe, Status: message.StatusUnknown, Detail: "the effect's function ended its goroutine"}
		defer func() {
			e.calling.remove(&job)
			sh.queue.push(event{run: func(m *core.Shard) {
				if life <= sh.forgot {
					return
				}
				sh.jobsOver(1)
				if life == sh.life {
					m.EffectDone(sh.now(), r)
				} else { // a new machine took the effect up from the store
					m.LateResult(sh.now(), r)
				}
			}})
		}()
		r = e.callOutside(job)
	}()
}

// jobsOver counts effects that the machine has got back, or never will. It runs
// on the loop.
func (sh *shard) jobsOver(n int) {
	sh.jobs -= n
	if sh.engine.jobs.Add(-int64(n)) == 0 && sh.engine.closing() {
		sh.engine.progress()
	}
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
	return fn(context.WithValue(ctx, runningKey{}, &Running{Job: job, Policy: e.policyOf(job.Name)}), job)
}

// Running is which call or probe a context belongs to. The test kit asks: an
// effect's function may tell the outside world anything, and what it is really
// about must not depend on that.
type Running struct {
	Job    core.EffectJob
	Policy core.Policy
}

type runningKey struct{}

// RunningIn finds the call or probe that a context was made for; nil if it was
// not made for one.
func RunningIn(ctx context.Context) *Running {
	r, _ := ctx.Value(runningKey{}).(*Running)
	return r
}

// policyOf is the policy of an effect; of one that this program does not have,
// the strictest, as for the machine.
func (e *Engine) policyOf(name string) core.Policy {
	if p := e.behavior.Effects[name]; p != nil {
		return p.Policy
	}
	return core.Ask
}
