package engine_test

import (
	"errors"
	"maps"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
)

// The scene of doubts: a message killed the process three times, a person said
// *not done* of one effect, and of another what no agent has heard yet, and the
// policy of a third was another one when it was called. A key is ahead of its time.
var doubts = scene{
	versions: []string{"v1-doubts"},
	contents: "doubts.txt",
	make:     makeDoubts,
	rests: func(g golden) bool {
		s := g.e.Stats()
		return s.Effects == 2 && s.Dead == 1 && s.QueueLength == 0 && s.CallsInFlight == 0
	},
	goOn: func(golden) {},
	over: func(g golden) bool { return g.idle() && g.e.Stats().Dead == 1 },
}

// aheadOfItsTime is a key of a caller whose clock is two minutes ahead.
const aheadOfItsTime = "019b7ce2-4fc8-7000-8000-000000000001"

func makeDoubts(t *testing.T, fsys *vfs.MemFS) (left *vfs.MemFS, between engine.Position) {
	effects := maps.Clone(goldenEffects)
	effects["changed"] = &core.Effect{Policy: core.Keyed, Timeout: time.Hour, MaxAttempts: 20}
	unheard, changed := sameShard("killer", "unheard", false), sameShard("killer", "changed", false)

	tried := make(chan struct{})
	g := openGolden(t, fsys, life{now: goldenBegan.Add(time.Hour), effects: effects, dies: func() error {
		close(tried)
		return errors.New("not yet")
	}})
	g.does("killer", "kill", "killing", deed{What: "x"}, true)
	<-tried
	g.does(sameShard("killer", "near", true), "note", aheadOfItsTime, deed{What: "the failure is durable"}, false)
	g.notDone(g.does("again", "pay", "again", deed{What: "doubtful", Effect: "brief"}, false).Outcome.Doubt)
	doubt := g.does(unheard, "pay", "unheard", deed{What: "doubtful", Effect: "ask"}, false).Outcome.Doubt
	left = copyOf(t, fsys)
	g.close()

	for deaths := 1; deaths <= 3; deaths++ {
		dying, hung, free := make(chan struct{}), make(chan struct{}), make(chan struct{})
		fsys = left
		g = openGolden(t, fsys, life{now: goldenDied, effects: effects, hangs: func() { close(hung) }, dies: func() error {
			close(dying)
			<-free
			return errors.New("it lives")
		}})
		<-dying
		if deaths == 3 {
			g.does(changed, "pay", "changed", deed{What: "hanging", Effect: "changed"}, true)
			<-hung
			// The answer waits for its trial, as the killer has the turn.
			word := core.Resolution{Status: message.StatusRejected, Code: "no_funds", Detail: "the bank says so", By: "judge"}
			if a := g.e.Resolve(t.Context(), doubt, word); a.Fault != nil {
				t.Fatal(a.Fault)
			}
		}
		left = copyOf(t, fsys)
		close(free)
		g.close()
	}
	return left, between
}

// notDone says so of a doubt as soon as that is taken, and waits until the next
// call is in doubt as well.
func (g golden) notDone(doubt message.ID) {
	g.Helper()
	for {
		e, found, err := g.e.Effect(g.Context(), doubt)
		if err != nil || !found {
			g.Fatalf("no effect is in doubt: %v", err)
		}
		a := g.e.Resolve(g.Context(), doubt, core.Resolution{Status: message.StatusNotDone, By: "judge", Seen: e.Seen})
		if a.Fault == nil {
			break
		}
		if a.Fault.Code != message.CodeTooEarly {
			g.Fatal(a.Fault)
		}
		runtime.Gosched()
	}
	g.await(func(g golden) bool {
		e, _, err := g.e.Effect(g.Context(), doubt)
		return err == nil && e.InDoubt && e.Attempts == 2
	})
}

// copyOf is what a process that dies now leaves.
func copyOf(t *testing.T, from *vfs.MemFS) *vfs.MemFS {
	t.Helper()
	to := vfs.NewMem()
	copyDir(t, from, to, "data")
	return to
}
