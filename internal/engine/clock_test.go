package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/mem"
)

// FAULTS 30: the wall clock goes back across a restart, by an hour or a year.
// No step sees an earlier time than those before it, and time goes on: what is
// planned from then on happens.
func TestClockNeverGoesBack(t *testing.T) {
	t.Parallel()
	for _, back := range []time.Duration{time.Hour, 365 * 24 * time.Hour} {
		disk := mem.New()
		wall := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
		fired := make(chan message.Time, 1)
		clocked := core.Behavior{Types: map[string]*core.Type{"counter": {
			Load: behavior.Types["counter"].Load,
			Actions: map[string]*core.Action{
				"now": {Run: func(s *core.Step, _ core.State) core.Result {
					return core.Result{Verdict: core.Replied, Body: fmt.Append(nil, int64(s.Now()))}
				}},
				"plan": {Run: func(s *core.Step, _ core.State) core.Result {
					s.SetTimer("soon", time.Millisecond, "fire", nil)
					return core.Result{Verdict: core.Replied, Body: fmt.Append(nil, int64(s.Now()))}
				}},
				"fire": {Run: func(s *core.Step, _ core.State) core.Result {
					select {
					case fired <- s.Now():
					default:
					}
					return core.Result{Verdict: core.Replied}
				}},
			},
		}}}
		live := func(wall time.Time, do func(e *Engine)) {
			e, err := Open(t.Context(), disk, Config{Now: func() time.Time { return wall }})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Start(clocked, nil); err != nil {
				t.Fatal(err)
			}
			do(e)
			if err := e.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		step := func(e *Engine, action, key string) message.Time {
			a := e.Submit(t.Context(), keyed(t, "a", action, key, 1), false)
			if a.Outcome == nil {
				t.Fatalf("%s: %+v", action, a)
			}
			return message.Time(number(a.Outcome.Body))
		}
		var before message.Time
		live(wall, func(e *Engine) { before = step(e, "now", "k1") })
		live(wall.Add(-back), func(e *Engine) {
			if after := step(e, "plan", "k2"); after < before {
				t.Errorf("%v back: a step sees a time %v before the last one's", back, time.Duration(before-after))
			}
			select {
			case at := <-fired:
				if at < before {
					t.Errorf("%v back: a timer fires %v before the last step", back, time.Duration(before-at))
				}
			case <-time.After(10 * time.Second):
				t.Errorf("%v back: time stands still; a timer of 1 ms has not fired", back)
			}
		})
	}
}
