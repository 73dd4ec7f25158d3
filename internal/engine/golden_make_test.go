package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/pebble"
)

// When what is in the golden directories happened.
var (
	goldenBegan = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	goldenDied  = goldenBegan.Add(4 * time.Hour) // in the next generation
	goldenLater = goldenDied.Add(2 * time.Hour)
)

// golden is one life of the golden program.
type golden struct {
	*testing.T
	e *engine.Engine
}

func goldenStore(fsys vfs.FS) pebble.Options {
	return pebble.Options{FS: fsys, Shards: 2, CacheBytes: 1 << 20, MemTableBytes: 256 << 10, MaxUnitBytes: 1 << 20,
		Logger: slog.New(slog.DiscardHandler), Fatal: func(err error) { panic(err) }}
}

// life is how the program is started.
type life struct {
	now     time.Time
	guest   bool                    // leaves everything as it is
	effects map[string]*core.Effect // goldenEffects, if there are none
	hangs   func()                  // is told of an effect that hangs
	dies    func() error            // ends the process
}

func openGolden(t *testing.T, fsys vfs.FS, l life) golden {
	t.Helper()
	attempts := 2
	if l.now == goldenBegan {
		attempts = 1
	}
	if l.effects == nil {
		l.effects = goldenEffects
	}
	e, err := engine.Open(t.Context(), pebble.At("data", goldenStore(fsys)), engine.Config{
		Feed: true, Guest: l.guest, FreeFloor: 1, EffectsRunning: 2, BackoffBase: time.Hour, BackoffMax: time.Hour, MaxAttempts: attempts, MaxState: 64 << 10,
		Now: func() time.Time { return l.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(goldenProgram(l.effects, l.dies), goldenWorld(l.hangs)); err != nil {
		t.Fatal(err)
	}
	return golden{t, e}
}

func (g golden) close() {
	g.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel() // an effect that hangs is not waited for
	if err := g.e.Close(ctx); err != nil && ctx.Err() == nil {
		g.Fatal(err)
	}
}

// does submits a keyed message.
func (g golden) does(agent, action, key string, d deed, accept bool) core.Answer {
	g.Helper()
	m := &message.Message{To: goldenAgent(agent), Action: action, Principal: message.Anonymous, Key: key, Body: d.body()}
	if action == "release" {
		m.Token = d.What
	}
	var err error
	if m.Fingerprint, err = message.FingerprintOf(m.To, m.Action, m.Body); err != nil {
		g.Fatal(err)
	}
	a := g.e.Submit(g.Context(), m, accept)
	if a.Fault != nil {
		g.Fatalf("%s of %s: %v", action, agent, a.Fault)
	}
	return a
}

// sameShard is an agent of a name that lives beside another one, or not.
func sameShard(as, name string, same bool) string {
	for n := 0; ; n++ {
		id := fmt.Sprint(name, n)
		if (message.ShardOf(goldenAgent(id), 2) == message.ShardOf(goldenAgent(as), 2)) == same {
			return id
		}
	}
}

// makeGolden runs the script of the golden directories, in a process that
// closed its store and one that died, and returns the feed's position between
// the two.
func makeGolden(t *testing.T, fsys *vfs.MemFS) (left *vfs.MemFS, between engine.Position) {
	g := openGolden(t, fsys, life{now: goldenBegan})
	far := sameShard("alice", "far", false)
	for _, agent := range []string{"alice", "bob", far} {
		for n := range 3 {
			g.does(agent, "note", fmt.Sprintf("note-%s-%d", agent, n), deed{What: fmt.Sprint(n)}, false)
		}
	}
	g.does("alice", "note", "019b7ca9-8c88-7000-8000-000000000001", deed{What: "a key with its time"}, false)
	g.does("alice", "refuse", "refused", deed{What: "x"}, false)
	g.does("alice", "lose", "lost", deed{What: "x"}, false)
	g.does("alice", "give", "given", deed{What: "a present", To: far}, false)
	for position := range uint64(3) {
		m := &message.Message{To: goldenAgent("reader"), Action: "note", Principal: message.Anonymous, Source: "orders/7", Position: 10 + position, Body: deed{What: "sequenced"}.body()}
		if a := g.e.Submit(t.Context(), m, true); a.Fault != nil {
			t.Fatal(a.Fault)
		}
	}
	for name := range goldenEffects {
		g.does("payer-"+name, "pay", "paid-"+name, deed{What: "paid", Effect: name}, false)
	}
	a := g.does("settled", "pay", "settled", deed{What: "settled", Effect: "ask"}, false)
	if a := g.e.Resolve(t.Context(), a.Outcome.Doubt, core.Resolution{Status: message.StatusDone, Body: []byte(`"by hand"`), By: "judge"}); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	g.does("settled", "pay", "settled", deed{What: "settled", Effect: "ask"}, false) // until it is
	g.does("victim", "stumble", "dead", deed{What: "x"}, true)
	between, err := g.e.FeedPosition()
	if err != nil {
		t.Fatal(err)
	}
	g.close()

	hung := make(chan struct{})
	g = openGolden(t, fsys, life{now: goldenDied, hangs: func() { close(hung) }})
	g.does("alice", "note", "note-alice-later", deed{What: "later"}, false)
	g.does("held", "hold", "hold", deed{What: "token"}, false)
	g.does("held", "note", "parked", deed{What: "parked"}, true)
	g.does("held", "give", "parked-give", deed{What: "parked", To: far}, true)
	g.does("stumbler", "stumble", "stumbled", deed{What: "x"}, true)
	g.does("alice", "remind", "reminded", deed{What: "soon", To: far}, false)
	g.does("doubter", "pay", "doubtful", deed{What: "doubtful", Effect: "ask"}, false)
	g.does("hanger", "pay", "hanging", deed{What: "hanging", Effect: "ask"}, true)
	<-hung
	g.does(sameShard("hanger", "asker", true), "pay", "asked", deed{What: "asked", Effect: "probe"}, true)
	g.does("alice", "give", "given-later", deed{What: "another", To: far}, false)
	for !g.wantsNothing() { // what was accepted comes to rest
		runtime.Gosched()
	}
	return fsys, between
}

// wantsNothing says whether all that can happen at the time has: what is left
// waits for a person, a provider or the clock.
func (g golden) wantsNothing() bool {
	g.Helper()
	s := g.e.Stats()
	return s.OutboxLag == 0 && s.QueueLength == 0 && s.CallsInFlight == 0 && s.Effects == 3 && s.Doubts == 1 && s.Dead == 1
}
