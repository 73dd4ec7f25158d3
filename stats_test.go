package semel_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/mem"
	"github.com/semel-dev/semel/store/pebble"
)

// counted is what of a snapshot does not depend on time.
func counted(s semel.Stats) string {
	for kind, n := range s.Alarms {
		if n == 0 {
			delete(s.Alarms, kind)
		}
	}
	s.UnitBytes, s.CommitSeconds, s.LargestUnitBytes = semel.Histogram{}, semel.Histogram{}, 0
	s.OldestDoubt, s.CacheBytes = 0, 0
	return fmt.Sprintf("%+v", s)
}

func wantStats(t *testing.T, app *semel.App, want semel.Stats) {
	t.Helper()
	got := app.Stats()
	want.Shards, want.StoreBytes, want.FreeBytes = got.Shards, -1, -1
	if got, want := counted(got), counted(want); got != want {
		t.Errorf("the stats are\n%s, want\n%s", got, want)
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	disk := mem.New()
	var healthy atomic.Bool
	type program struct {
		app       *semel.App
		add, act  *semel.Action[int64, int64]
		send, pay func(key string) error
	}
	run := func() program {
		p := program{app: open(t, disk, semel.Config{MaxAttempts: 3})}
		agent := semel.NewAgent[counter](p.app, "counter")
		p.add = semel.On(agent, "add", add)
		p.act = semel.On(agent, "act", func(c *counter, _ *semel.Step, n int64) (int64, error) {
			if !healthy.Load() {
				panic("ill")
			}
			return n, nil
		})
		send := semel.On(agent, "send", func(_ *counter, s *semel.Step, n int64) (none, error) {
			addRef.Send(s, "b", n)
			return none{}, nil
		})
		p.send = func(key string) error { _, err := send.Call(t.Context(), "a", 1, semel.Key(key)); return err }
		lost := &provider{answer: func(int, string) (string, error) { return "", errors.New("the line went dead") }}
		pay := payer(p.app, lost)
		p.pay = func(key string) error { _, err := pay.Call(t.Context(), "p", 5, semel.Key(key)); return err }
		return p
	}
	p := run()
	wantStats(t, p.app, semel.Stats{})
	call := func(key string, n int64) error {
		_, err := p.add.Call(t.Context(), "a", n, semel.Key(key))
		return err
	}
	for range 3 {
		if err := call("k", 1); err != nil {
			t.Fatal(err)
		}
	}
	wantStats(t, p.app, semel.Stats{Steps: 1, Replays: 2, AgentsCached: 1})
	wantError(t, call("k", 2), semel.ErrConflict)
	for range 2 {
		wantRejection(t, call("no", -1), "negative")
	}
	if _, err := p.app.Outcome(t.Context(), semel.AgentName{Type: "counter", ID: "a"}, "k"); err != nil { // is no call
		t.Fatal(err)
	}
	wantStats(t, p.app, semel.Stats{Steps: 2, Rejections: 1, Replays: 3, Conflicts: 1, AgentsCached: 1})
	if err := p.send("s"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the message", func() bool { s := p.app.Stats(); return s.OutboxLag == 0 && s.Steps == 4 })
	_, err := p.act.Call(t.Context(), "c", 1, semel.Key("ill"))
	wantError(t, err, semel.ErrHandlerFailed)
	if err := p.act.Submit(t.Context(), "c", 1, semel.Key("dead")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the dead letter", func() bool { return p.app.Stats().DeadLetters == 1 })
	wantError(t, p.pay("pay"), semel.ErrInDoubt)
	all := semel.Stats{
		Steps: 5, Rejections: 1, Replays: 3, Conflicts: 1, HandlerFailures: 4, HandlerPanics: 4, Retries: 2, EffectCalls: 1,
		Alarms:      map[semel.AlarmKind]uint64{semel.AlarmDead: 1, semel.AlarmDoubt: 1},
		DeadLetters: 1, Doubts: 1, EffectsPending: 1, AgentsCached: 4,
	}
	wantStats(t, p.app, all)
	s := p.app.Stats()
	switch h := s.UnitBytes; {
	case s.OldestDoubt <= 0 || s.OldestDoubt > time.Minute || s.CacheBytes < 4*100 || s.CacheBytes > 1<<20:
		t.Errorf("the oldest doubt is of %v, the cache has %d bytes", s.OldestDoubt, s.CacheBytes)
	case h.Count < 7 || h.Sum < float64(s.LargestUnitBytes) || h.Sum > float64(s.LargestUnitBytes)*float64(h.Count) || s.LargestUnitBytes < 100:
		t.Errorf("units %+v, the largest of %d bytes", h, s.LargestUnitBytes)
	case s.CommitSeconds.Count < 7 || s.CommitSeconds.Count > h.Count || s.CommitSeconds.Sum <= 0:
		t.Errorf("commits %+v", s.CommitSeconds)
	case len(s.Alarms) != 6:
		t.Errorf("alarms %v", s.Alarms)
	}

	// What has yet to be done outlives the process; what was counted does not.
	closeApp(t, p.app)
	all.AgentsCached = p.app.Stats().AgentsCached
	wantStats(t, p.app, all)
	p = run()
	if err := p.app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantStats(t, p.app, semel.Stats{DeadLetters: 1, Doubts: 1, EffectsPending: 1, AgentsCached: p.app.Stats().AgentsCached})
	if s := p.app.Stats(); s.OldestDoubt <= 0 {
		t.Errorf("the oldest doubt is of %v", s.OldestDoubt)
	}
	healthy.Store(true)
	for d, err := range p.app.DeadLetters(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if err := p.app.RetryDead(t.Context(), d.ID); err != nil {
			t.Fatal(err)
		}
	}
	for d, err := range p.app.Doubts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.app.Resolve(t.Context(), d.ID, semel.ResolveDone("paid"), "me"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "rest", func() bool { s := p.app.Stats(); return s.Steps == 2 && s.EffectsPending == 0 })
	wantStats(t, p.app, semel.Stats{Steps: 2, AgentsCached: p.app.Stats().AgentsCached})
	if s := p.app.Stats(); s.OldestDoubt != 0 {
		t.Errorf("the oldest doubt is of %v, and there is none", s.OldestDoubt)
	}
}

// An effect is running while its function is, and what it probes is counted
// apart.
func TestStatsOfEffects(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	calling, release := make(chan struct{}), make(chan struct{})
	p := &provider{
		answer: func(int, string) (string, error) {
			calling <- struct{}{}
			<-release
			return "", errors.New("the line went dead")
		},
		find: func(int, string) (string, error) { return "paid", nil },
	}
	pay := payer(app, p, semel.Probe(p.probe))
	done := make(chan error, 1)
	go func() {
		_, err := pay.Call(t.Context(), "p", 5, semel.Key("k"))
		done <- err
	}()
	<-calling
	wantStats(t, app, semel.Stats{Steps: 1, EffectCalls: 1, EffectsRunning: 1, EffectsPending: 1, CallsInFlight: 1, AgentsCached: 1})
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantStats(t, app, semel.Stats{Steps: 2, EffectCalls: 1, EffectProbes: 1, AgentsCached: 1})
}

// Dead letters are counted when a shard is opened, however many there are.
func TestDeadLettersAreCountedAtTheStart(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.Shards(1))
	run := func() (*semel.App, *semel.Action[int64, int64]) {
		app := open(t, disk, semel.Config{MaxAttempts: 1})
		return app, semel.On(semel.NewAgent[counter](app, "counter"), "act", func(*counter, *semel.Step, int64) (int64, error) {
			return 0, errors.New("ill")
		})
	}
	app, act := run()
	const n = 2*64 + 1
	requests := make([]semel.Request, n)
	for i := range requests {
		requests[i] = act.Request("a", 1, semel.Key(fmt.Sprint(i)))
	}
	for _, err := range app.SubmitAll(t.Context(), requests) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := app.Stats().DeadLetters; got != n {
		t.Errorf("%d dead letters, want %d", got, n)
	}
	closeApp(t, app)
	app, _ = run()
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := app.Stats().DeadLetters; got != n {
		t.Errorf("%d dead letters after a restart, want %d", got, n)
	}
}

func TestStatsOfTheStore(t *testing.T) {
	t.Parallel()
	app, err := semel.Open(t.Context(), pebble.At(t.TempDir()), &semel.Config{Fatal: func(err error) { t.Errorf("fatal: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer closeApp(t, app)
	if s := app.Stats(); s.StoreBytes != -1 || s.FreeBytes != -1 || s.Shards != 0 {
		t.Errorf("before the start: %+v", s)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the sizes", func() bool { s := app.Stats(); return s.StoreBytes > 0 && s.FreeBytes > 0 })
}
