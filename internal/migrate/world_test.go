package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
)

// tally is the state of the tests' agents: how often each thing happened.
type tally struct {
	N    map[string]int
	mark map[string]int
}

func (c *tally) Mark()       { c.mark = maps.Clone(c.N) }
func (c *tally) Undo() error { c.N = c.mark; return nil }
func (c *tally) Flat() bool  { return false }
func (c *tally) Append(dst []byte) ([]byte, error) {
	b, err := json.Marshal(c)
	return append(dst, b...), err
}

func name(n int) message.Agent {
	return message.Agent{Tenant: message.DefaultTenant, Type: "tally", ID: fmt.Sprint(n)}
}

const agents = 9

// program is agents that tell each other, ask an effect that nobody answers, set
// timers, hold and fail.
var program = core.Behavior{
	Effects: map[string]*core.Effect{"outside": {Policy: core.Ask, Timeout: time.Hour}, "read": {Policy: core.ReadOnly, Timeout: time.Hour}},
	Types: map[string]*core.Type{"tally": {
		Load: func(_ uint32, data []byte) (core.State, error) {
			c := &tally{N: make(map[string]int)}
			if data == nil {
				return c, nil
			}
			return c, json.Unmarshal(data, c)
		},
		Actions: map[string]*core.Action{
			"go": {Run: func(s *core.Step, state core.State) core.Result {
				state.(*tally).N["go"]++
				for i := range agents {
					s.Send(core.Outgoing{To: name(i), Action: "told", Body: s.Message().Body})
					s.Send(core.Outgoing{To: name(i), Action: "told", Delay: 1000 * time.Hour})
				}
				s.SetTimer("t", 1000*time.Hour, "told", nil)
				return core.Result{Verdict: core.Replied, Body: []byte(`"gone"`)}
			}},
			"told": {Run: func(_ *core.Step, state core.State) core.Result {
				state.(*tally).N["told"]++
				return core.Result{Verdict: core.Replied}
			}},
			"ask": {Run: func(s *core.Step, _ core.State) core.Result {
				s.Ask(core.Call{Effect: "outside", Then: "told"})
				s.Ask(core.Call{Effect: "read", Then: "told"})
				return core.Result{Verdict: core.Deferred}
			}},
			"hold": {Run: func(s *core.Step, _ core.State) core.Result {
				s.Hold("token", 1000*time.Hour)
				return core.Result{Verdict: core.Replied}
			}},
			"fail": {Run: func(*core.Step, core.State) core.Result {
				return core.Result{Verdict: core.Failed, Err: fmt.Errorf("never"), Invalid: true}
			}},
		},
	}},
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// serve runs an engine on a disk while work goes on.
func serve(t *testing.T, o store.Opener, now time.Time, work func(e *engine.Engine)) error {
	t.Helper()
	e, err := engine.Open(t.Context(), o, engine.Config{
		Retention: time.Hour, MaxClockJump: 10000 * time.Hour, FreeFloor: 1, Feed: true, MaxAttempts: 2,
		Now: func() time.Time { return now }, Fatal: func(err error) { t.Errorf("fatal: %v", err) },
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	never := engine.Outside{Call: func(ctx context.Context, _ core.EffectJob) core.EffectResult {
		<-ctx.Done()
		return core.EffectResult{}
	}}
	if err := e.Start(program, map[string]engine.Outside{"outside": never, "read": never}); err != nil {
		_ = e.Close(ctx)
		return err
	}
	work(e)
	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond) // effects are under way
	defer cancel()
	_ = e.Close(short)
	return nil
}

func call(t *testing.T, e *engine.Engine, to message.Agent, action, key string, accept bool) core.Answer {
	t.Helper()
	m := &message.Message{To: to, Action: action, Principal: message.Anonymous, Key: key, Body: []byte("1")}
	var err error
	if m.Fingerprint, err = message.FingerprintOf(m.To, m.Action, m.Body); err != nil {
		t.Fatal(err)
	}
	return e.Submit(t.Context(), m, accept)
}

// populated is a disk on which all of that happened, in more than one
// generation, and whose last process died.
func populated(t *testing.T, shards int) *mem.Disk {
	t.Helper()
	disk := mem.New(mem.Shards(shards), mem.Seed(1))
	for day := range 3 {
		err := serve(t, disk, start.Add(time.Duration(day)*20*time.Minute), func(e *engine.Engine) {
			for i := range agents {
				call(t, e, name(i), "go", fmt.Sprintf("go %d %d", day, i), false)
				if day == 1 && i%3 == 0 {
					call(t, e, name(i), "ask", fmt.Sprintf("ask %d", i), true)
					call(t, e, name(i), "fail", fmt.Sprintf("fail %d", i), true)
				}
				if day == 2 && i%2 == 0 {
					call(t, e, name(i), "hold", fmt.Sprintf("hold %d", i), false)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return disk
}

// contents are the rows of a disk, but for marks of moves.
func contents(t *testing.T, o store.Opener) map[string]string {
	t.Helper()
	st, err := o.OpenStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for i := range st.Shards() {
		s, err := st.Open(t.Context(), message.Shard(i), "a look")
		if err != nil {
			t.Fatal(err)
		}
		sh := &shard{session: s}
		for tbl := message.Table(1); tbl < message.Tables; tbl++ {
			gens := []message.Generation{0}
			if tbl == message.TableDedup {
				gens = nil
				for g := range message.Generation(40) {
					gens = append(gens, g+1)
				}
			}
			for _, g := range gens {
				rows, err := sh.all(t.Context(), store.Range{Table: tbl, Gen: g})
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range rows {
					if tbl != message.TableMeta || string(r.Key) != "move" {
						out[fmt.Sprintf("shard %d table %d/%d %q", i, tbl, g, r.Key)] = string(r.Value)
					}
				}
			}
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

func opened(t *testing.T, o store.Opener, called string) Side {
	t.Helper()
	st, err := o.OpenStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return Side{Store: st, Name: called}
}
