package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
)

// The program of the golden directories. What is on disk was written by it, so
// what its actions do may be added to and never changed.

// diary is the state of its agents: what happened to them.
type diary struct {
	Entries []string
	mark    []string
}

func (d *diary) Mark()                             { d.mark = slices.Clone(d.Entries) }
func (d *diary) Undo() error                       { d.Entries = d.mark; return nil }
func (d *diary) Flat() bool                        { return false }
func (d *diary) Append(dst []byte) ([]byte, error) { return json.Marshal(d) }

// deed is the body of its messages.
type deed struct {
	What   string
	To     string `json:",omitempty"`
	Effect string `json:",omitempty"`
}

func (d deed) body() []byte { b, _ := json.Marshal(d); return b }

func goldenAgent(id string) message.Agent {
	return message.Agent{Tenant: message.DefaultTenant, Type: "diary", ID: id}
}

// goldenEffects have every policy, and all the time there is, but for one. The
// program called one of them another way when the directories were made.
var goldenEffects = map[string]*core.Effect{
	"read_only":    {Policy: core.ReadOnly, Timeout: time.Hour, MaxAttempts: 20},
	"keyed":        {Policy: core.Keyed, Timeout: time.Hour, MaxAttempts: 20},
	"probe":        {Policy: core.Probe, Timeout: time.Hour, MaxAttempts: 20},
	"at_most_once": {Policy: core.AtMostOnce, Timeout: time.Hour, MaxAttempts: 20},
	"ask":          {Policy: core.Ask, Timeout: time.Hour, MaxAttempts: 20},
	"brief":        {Policy: core.Ask, Timeout: time.Millisecond, MaxAttempts: 20},
	"changed":      {Policy: core.Ask, Timeout: time.Hour, MaxAttempts: 20}, // was Keyed
}

// goldenProgram has one message that may end the process.
func goldenProgram(effects map[string]*core.Effect, dies func() error) core.Behavior {
	on := func(name string, run func(s *core.Step, d *diary, x deed) core.Result) *core.Action {
		return &core.Action{Run: func(s *core.Step, state core.State) core.Result {
			raw, from := s.Message().Body, ""
			if a := s.Message().Answer; a != nil {
				raw, from = a.Link.Context, fmt.Sprintf(": %v %s", a.Status, s.Message().Body)
			}
			var x deed
			if err := json.Unmarshal(raw, &x); err != nil {
				return core.Result{Invalid: true, Err: err}
			}
			d := state.(*diary)
			d.Entries = append(d.Entries, name+" "+x.What+from)
			return run(s, d, x)
		}}
	}
	reply := func(_ *core.Step, d *diary, _ deed) core.Result {
		return core.Result{Verdict: core.Replied, Body: fmt.Appendf(nil, `{"entries":%d}`, len(d.Entries))}
	}
	branch := func(p message.Phase, action, then string) func(*core.Step, *diary, deed) core.Result {
		return func(s *core.Step, d *diary, x deed) core.Result {
			s.Send(core.Outgoing{To: message.Agent{Type: "diary", ID: x.To}, Action: action, Body: x.body(), Then: then, Context: x.body(),
				Branch: &message.Branch{Tx: x.What, Phase: p}})
			return reply(s, d, x)
		}
	}
	answered := func(s *core.Step, d *diary, x deed) core.Result {
		switch a := s.Message().Answer; a.Status {
		case message.StatusDone:
			return reply(s, d, x)
		case message.StatusUnknown:
			return core.Result{Verdict: core.Lost, Detail: a.Detail}
		default:
			return core.Result{Verdict: core.Refused, Keep: true, Code: a.Code, Detail: a.Detail}
		}
	}
	return core.Behavior{Effects: effects, Types: map[string]*core.Type{"diary": {
		Schema: 3,
		Load: func(schema uint32, data []byte) (core.State, error) {
			d := new(diary)
			if data == nil {
				return d, nil
			}
			if schema != 3 {
				return nil, fmt.Errorf("a state of schema %d", schema)
			}
			return d, json.Unmarshal(data, d)
		},
		Actions: map[string]*core.Action{
			"note":  on("note", reply),
			"take":  on("take", reply),
			"given": on("given", answered),
			"paid":  on("paid", answered),
			"tick":  on("tick", reply),
			"refuse": on("refuse", func(*core.Step, *diary, deed) core.Result {
				return core.Result{Verdict: core.Refused, Code: "no_way", Detail: "it is refused", Body: []byte(`{"why":"golden"}`)}
			}),
			"lose": on("lose", func(*core.Step, *diary, deed) core.Result {
				return core.Result{Verdict: core.Lost, Detail: "nobody can know"}
			}),
			"give": on("give", func(s *core.Step, _ *diary, x deed) core.Result {
				s.Send(core.Outgoing{To: message.Agent{Type: "diary", ID: x.To}, Action: "take", Body: x.body(), Then: "given", Context: x.body()})
				return core.Result{Verdict: core.Deferred}
			}),
			"pay": on("pay", func(s *core.Step, _ *diary, x deed) core.Result {
				s.Ask(core.Call{Effect: x.Effect, Body: x.body(), Then: "paid", Context: x.body()})
				return core.Result{Verdict: core.Deferred}
			}),
			"remind": on("remind", func(s *core.Step, d *diary, x deed) core.Result {
				s.SetTimer(x.What, timerDelay, "tick", x.body())
				s.Send(core.Outgoing{To: message.Agent{Type: "diary", ID: x.To}, Action: "note", Body: x.body(), Delay: timerDelay})
				return reply(s, d, x)
			}),
			"hold": on("hold", func(s *core.Step, d *diary, x deed) core.Result {
				s.Hold(x.What, 24*time.Hour)
				return reply(s, d, x)
			}),
			"prepare": on("prepare", branch(message.Prepare, "promise", "voted")),
			"commit":  on("commit", branch(message.Commit, "tx:commit", "decided")),
			"abort":   on("abort", branch(message.Abort, "tx:abort", "decided")),
			"voted":   on("voted", reply),
			"decided": on("decided", reply),
			"promise": on("promise", func(s *core.Step, d *diary, x deed) core.Result {
				s.Send(core.Outgoing{To: message.Agent{Type: "diary", ID: told()}, Action: "note", Body: x.body()})
				s.SetTimer(x.What, timerDelay, "tick", x.body())
				s.Ask(core.Call{Effect: "at_most_once", Body: x.body(), Then: "paid", Context: x.body()})
				return reply(s, d, x)
			}),
			"withdraw": on("withdraw", func(s *core.Step, d *diary, x deed) core.Result {
				id, _ := message.ParseID(x.What)
				s.Withdraw(id)
				return reply(s, d, x)
			}),
			"release": on("release", func(s *core.Step, d *diary, x deed) core.Result { s.Release(); return reply(s, d, x) }),
			"kill":    on("kill", func(*core.Step, *diary, deed) core.Result { return core.Result{Err: dies()} }),
			"stumble": on("stumble", func(*core.Step, *diary, deed) core.Result { return core.Result{Err: errors.New("stumbled")} }),
		},
	}}}
}

// goldenWorld answers the effects: of those whose deed says so it does not
// know, and of those that hang, which it is told of, it says nothing.
func goldenWorld(hangs func()) map[string]engine.Outside {
	call := func(ctx context.Context, job core.EffectJob) core.EffectResult {
		var x deed
		if err := json.Unmarshal(job.Body, &x); err != nil {
			panic(err)
		}
		switch x.What {
		case "doubtful", "settled":
			return core.EffectResult{Status: message.StatusUnknown, Detail: "the line went dead"}
		case "hanging":
			hangs()
			<-ctx.Done()
			return core.EffectResult{Status: message.StatusUnknown, Detail: ctx.Err().Error()}
		}
		return core.EffectResult{Status: message.StatusDone, Body: []byte(`"paid"`)}
	}
	world := map[string]engine.Outside{}
	for name, e := range goldenEffects {
		o := engine.Outside{Call: call}
		if e.Policy == core.Probe {
			o.Probe = call
		}
		world[name] = o
	}
	return world
}
