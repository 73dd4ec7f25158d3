package semel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/mem"
)

// provider is the outside world with a ledger of its own: what it did, by key.
type provider struct {
	mu     sync.Mutex
	calls  []string // the keys, in the order of the calls
	probes int
	done   map[string]int // what took effect
	answer func(n int, key string) (string, error)
	find   func(n int, key string) (string, error)
}

func (p *provider) call(_ context.Context, c semel.EffectCall, _ int64) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, c.Key)
	return p.answer(len(p.calls), c.Key)
}

func (p *provider) probe(_ context.Context, c semel.EffectCall, _ int64) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes++
	return p.find(p.probes, c.Key)
}

// did counts an effect, as the provider's own books do.
func (p *provider) did(key string) {
	if p.done == nil {
		p.done = make(map[string]int)
	}
	p.done[key]++
}

// payer registers an agent whose action pays by an effect and defers.
func payer(app *semel.App, p *provider, opts ...semel.EffectOption) *semel.Action[int64, string] {
	agent := semel.NewAgent[counter](app, "payer")
	charge := semel.NewEffect(app, "charge", p.call, opts...)
	charged := semel.Then(agent, "charged", func(c *counter, s *semel.Step, key string, r semel.Result[string]) (string, error) {
		c.Log = append(c.Log, r.Value+r.Code)
		switch {
		case r.NotDone():
			return "", semel.Reject("not_paid", "%s", r.Detail)
		case r.Err() != nil:
			return "", r.Err()
		}
		return r.Value + " for " + key, nil
	})
	return semel.On(agent, "pay", func(c *counter, s *semel.Step, n int64) (string, error) {
		charge.Ask(s, n, charged.With(s.Key()))
		return semel.Defer[string]()
	})
}

func TestEffects(t *testing.T) {
	t.Parallel()
	lost := errors.New("the line went dead")
	fail := func(n int, err error, then string) func(int, string) (string, error) {
		return func(i int, _ string) (string, error) {
			if i <= n {
				return "", err
			}
			return then, nil
		}
	}
	paid := "paid for k"
	for name, c := range map[string]struct {
		answer, find func(int, string) (string, error)
		opts         []semel.EffectOption
		reply        string
		check        func(t *testing.T, err error)
		calls        int
		probes       int
	}{
		"done": {answer: fail(0, nil, "paid"), reply: paid, calls: 1},
		"rejected": {
			answer: fail(9, fmt.Errorf("upstream: %w", semel.Reject("card_declined", "no")), ""), calls: 1,
			check: func(t *testing.T, err error) { wantRejection(t, err, "card_declined") },
		},
		"not done is tried again":    {answer: fail(2, semel.NotDone(lost), "paid"), reply: paid, calls: 3},
		"not done is given up":       {answer: fail(9, semel.NotDone(lost), ""), opts: []semel.EffectOption{semel.Attempts(3)}, calls: 3, check: func(t *testing.T, err error) { wantRejection(t, err, "not_paid") }},
		"read only calls again":      {answer: fail(2, lost, "paid"), opts: []semel.EffectOption{semel.ReadOnly}, reply: paid, calls: 3},
		"read only gives up":         {answer: fail(9, lost, ""), opts: []semel.EffectOption{semel.ReadOnly, semel.Attempts(2)}, calls: 2, check: func(t *testing.T, err error) { wantRejection(t, err, "not_paid") }},
		"keyed calls again":          {answer: fail(2, lost, "paid"), opts: []semel.EffectOption{semel.Keyed}, reply: paid, calls: 3},
		"keyed ends in doubt":        {answer: fail(9, lost, ""), opts: []semel.EffectOption{semel.Keyed, semel.Attempts(2)}, calls: 2, check: func(t *testing.T, err error) { wantError(t, err, semel.ErrInDoubt) }},
		"at most once is final":      {answer: fail(9, lost, ""), opts: []semel.EffectOption{semel.AtMostOnce}, calls: 1, check: func(t *testing.T, err error) { wantError(t, err, semel.ErrOutcomeUnknown) }},
		"ask is in doubt":            {answer: fail(9, lost, ""), opts: []semel.EffectOption{semel.Ask}, calls: 1, check: func(t *testing.T, err error) { wantError(t, err, semel.ErrInDoubt) }},
		"the default is ask":         {answer: fail(9, lost, ""), calls: 1, check: func(t *testing.T, err error) { wantError(t, err, semel.ErrInDoubt) }},
		"a panic is unknown":         {answer: func(int, string) (string, error) { panic("oops") }, calls: 1, check: func(t *testing.T, err error) { wantError(t, err, semel.ErrInDoubt) }},
		"a probe finds it":           {answer: fail(9, lost, ""), find: fail(2, lost, "found"), reply: "found for k", calls: 1, probes: 3},
		"a probe finds a rejection":  {answer: fail(9, lost, ""), find: fail(9, semel.Reject("late_no", ""), ""), calls: 1, probes: 1, check: func(t *testing.T, err error) { wantRejection(t, err, "late_no") }},
		"a closing probe finds none": {answer: fail(1, lost, "paid"), find: fail(9, semel.NotDone(lost), ""), opts: []semel.EffectOption{semel.ProbeCloses}, reply: paid, calls: 2, probes: 1},
		"a probe waits for the call": {answer: fail(1, lost, "paid"), find: fail(9, semel.NotDone(lost), ""), opts: []semel.EffectOption{semel.Timeout(20 * time.Millisecond)}, reply: paid, calls: 2},
		"a probe that cannot tell":   {answer: fail(9, lost, ""), find: fail(99999, lost, ""), opts: []semel.EffectOption{semel.Attempts(2)}, calls: 1, check: func(t *testing.T, err error) { wantError(t, err, semel.ErrInDoubt) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &provider{answer: c.answer, find: c.find}
			if c.find != nil {
				c.opts = append(c.opts, semel.Probe(p.probe))
			}
			app := open(t, nil, semel.Config{})
			pay := payer(app, p, c.opts...)
			reply, err := pay.Call(t.Context(), "a", 5, semel.Key("k"))
			if c.check == nil && err != nil || reply != c.reply {
				t.Fatalf("%q, %v", reply, err)
			}
			if c.check != nil {
				c.check(t, err)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.calls) != c.calls || c.probes != 0 && p.probes != c.probes {
				t.Errorf("%d calls and %d probes", len(p.calls), p.probes)
			}
			for _, key := range p.calls {
				if key != p.calls[0] || len(key) != 32 {
					t.Errorf("the keys are %v", p.calls)
				}
			}
		})
	}
}

func TestResolveDoubts(t *testing.T) {
	t.Parallel()
	lost := errors.New("timeout")
	p := &provider{answer: func(int, string) (string, error) { return "", lost }}
	app := open(t, nil, semel.Config{})
	pay := payer(app, p, semel.Timeout(10*time.Millisecond))
	doubts := func() (all []semel.PendingEffect) {
		for e, err := range app.Doubts(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		return all
	}
	doubt := func(key string) semel.ID {
		t.Helper()
		_, err := pay.Call(t.Context(), "a", 5, semel.Key(key))
		wantError(t, err, semel.ErrInDoubt)
		var u *semel.UnknownError
		if !errors.As(err, &u) || u.Ref.IsZero() {
			t.Fatal(err)
		}
		return u.Ref
	}
	done := doubt("done")
	if all := doubts(); len(all) != 1 || all[0].ID != done || all[0].Effect != "charge" || !all[0].InDoubt || all[0].Attempts != 1 ||
		string(all[0].Request) != "5" || all[0].Agent.ID != "a" || !strings.Contains(all[0].Reason, "timeout") || all[0].ID.String() != p.calls[0] {
		t.Fatalf("%+v", all)
	}
	if o, err := app.Outcome(t.Context(), semel.AgentName{Type: "payer", ID: "a"}, "done"); err != nil || o.Status != message.StatusInDoubt || o.Ref != done {
		t.Errorf("%+v, %v", o, err)
	}
	resolve := func(id semel.ID, r semel.Resolution, who string) error {
		_, err := app.Resolve(t.Context(), id, r, who)
		return err
	}
	wantError(t, resolve(done, semel.Resolution{}, "ann"), semel.ErrInvalidRequest)
	wantError(t, resolve(done, semel.ResolveDone("x"), ""), semel.ErrInvalidRequest)
	for _, who := range []string{"ann", "bob"} { // the same resolution again changes nothing
		if by, err := app.Resolve(t.Context(), done, semel.ResolveDone("seen in the books"), who); by != "ann" || err != nil {
			t.Fatalf("settled by %q, %v", by, err)
		}
	}
	wantError(t, resolve(done, semel.ResolveNotDone().About(semel.PendingEffect{Seen: "1-1"}), "bob"), semel.ErrAlreadyResolved)
	if reply, err := pay.Call(t.Context(), "a", 5, semel.Key("done")); reply != "seen in the books for done" || err != nil {
		t.Errorf("%q, %v", reply, err)
	}
	failed := doubt("failed")
	if err := resolve(failed, semel.ResolveFailed("fraud", "blocked"), "ann"); err != nil {
		t.Fatal(err)
	}
	_, err := pay.Call(t.Context(), "a", 5, semel.Key("failed"))
	wantRejection(t, err, "fraud")

	again := doubt("again")
	p.mu.Lock()
	before := len(p.calls)
	p.answer = func(int, string) (string, error) { return "paid", nil }
	p.mu.Unlock()
	wantError(t, resolve(again, semel.ResolveNotDone(), "ann"), semel.ErrInvalidRequest)
	early := 0
	eventually(t, "a look when the first call cannot arrive any more", func() bool {
		d, err := app.Doubt(t.Context(), again)
		if err != nil {
			t.Fatal(err)
		}
		err = resolve(again, semel.ResolveNotDone().About(d), "ann")
		if errors.Is(err, semel.ErrTooEarly) {
			early++
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		return true
	})
	if early == 0 {
		t.Error("not done is taken at once")
	}
	var reply string
	eventually(t, "the second call", func() bool {
		reply, err = pay.Call(t.Context(), "a", 5, semel.Key("again"))
		return !errors.Is(err, semel.ErrInDoubt)
	})
	if reply != "paid for again" || err != nil {
		t.Errorf("%q, %v", reply, err)
	}
	if len(p.calls) != before+1 || p.calls[before] != again.String() {
		t.Errorf("the calls are %v", p.calls[before:])
	}
	wantError(t, resolve(semel.ID{1}, semel.ResolveNotDone().About(semel.PendingEffect{Seen: "1-1"}), "ann"), semel.ErrUnknownDoubt)
	if all := doubts(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// FAULTS 3: the process dies after the call, before its result is recorded.
func TestCrashDuringAnEffect(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy func(p *provider) semel.EffectOption
		calls  int // in all
		check  func(t *testing.T, app *semel.App, reply string, err error)
	}{
		"keyed": {
			func(*provider) semel.EffectOption { return semel.Keyed }, 2,
			func(t *testing.T, _ *semel.App, reply string, err error) {
				if reply != "paid for k" || err != nil {
					t.Errorf("%q, %v", reply, err)
				}
			},
		},
		"probe": {
			func(p *provider) semel.EffectOption { return semel.Probe(p.probe) }, 1,
			func(t *testing.T, _ *semel.App, reply string, err error) {
				if reply != "found for k" || err != nil {
					t.Errorf("%q, %v", reply, err)
				}
			},
		},
		"at most once": {
			func(*provider) semel.EffectOption { return semel.AtMostOnce }, 1,
			func(t *testing.T, _ *semel.App, _ string, err error) { wantError(t, err, semel.ErrOutcomeUnknown) },
		},
		"ask": {
			func(*provider) semel.EffectOption { return semel.Ask }, 1,
			func(t *testing.T, app *semel.App, _ string, err error) {
				wantError(t, err, semel.ErrInDoubt)
				var u *semel.UnknownError
				errors.As(err, &u)
				if _, err := app.Resolve(t.Context(), u.Ref, semel.ResolveDone("checked"), "ann"); err != nil {
					t.Error(err)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := mem.New()
			p := &provider{}
			// The first call takes effect and never comes back.
			called, crashed := make(chan struct{}), make(chan struct{})
			p.answer = func(n int, key string) (string, error) {
				p.did(key)
				if n == 1 {
					close(called)
					<-crashed
				}
				return "paid", nil
			}
			p.find = func(_ int, key string) (string, error) {
				if p.done[key] > 0 {
					return "found", nil
				}
				return "", semel.NotDone(nil)
			}
			app := open(t, disk, semel.Config{})
			pay := payer(app, p, c.policy(p))
			if err := pay.Submit(t.Context(), "a", 5, semel.Key("k")); err != nil {
				t.Fatal(err)
			}
			<-called
			disk.Crash(0)
			close(crashed)

			app = open(t, disk, semel.Config{})
			pay = payer(app, p, c.policy(p))
			reply, err := pay.Call(t.Context(), "a", 5, semel.Key("k"))
			c.check(t, app, reply, err)
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.calls) != c.calls || len(p.done) != 1 {
				t.Errorf("the calls are %v, the books %v", p.calls, p.done)
			}
		})
	}
}

func TestEffectsWithoutContinuation(t *testing.T) {
	t.Parallel()
	app := open(t, nil, semel.Config{})
	agent := semel.NewAgent[counter](app, "counter")
	heard := make(chan semel.EffectCall, 1)
	ring := semel.NewEffect(app, "ring", func(_ context.Context, c semel.EffectCall, _ none) (none, error) {
		heard <- c
		return none{}, nil
	})
	act := semel.On(agent, "act", func(c *counter, s *semel.Step, _ none) (string, error) { return ring.Run(s, none{}), nil })
	key := must(act.Call(t.Context(), "a", none{}, semel.Key("k")))
	if c := <-heard; c.Key != key || c.Effect != "ring" || c.Attempt != 1 || c.Agent != agent.Name("a") {
		t.Errorf("%+v", c)
	}
	eventually(t, "the effect to be settled", func() bool {
		for range app.Effects(t.Context()) {
			return false
		}
		return true
	})
}

// A tool that looks into a store leaves its effects to the program that has
// them.
func TestHeldEffects(t *testing.T) {
	t.Parallel()
	disk := mem.New()
	var calls atomic.Int32
	begin := func(hold bool) (*semel.App, *semel.Action[int, int]) {
		app, err := semel.Open(t.Context(), disk, &semel.Config{Guest: hold})
		if err != nil {
			t.Fatal(err)
		}
		charge := semel.NewEffect(app, "charge", func(context.Context, semel.EffectCall, int) (int, error) {
			calls.Add(1)
			return 7, nil
		})
		bank := semel.NewAgent[int](app, "bank")
		charged := semel.Then(bank, "charged", func(_ *int, _ *semel.Step, _ struct{}, r semel.Result[int]) (int, error) { return r.Value, r.Err() })
		return app, semel.On(bank, "pay", func(_ *int, s *semel.Step, n int) (int, error) {
			charge.Ask(s, n, charged.With(struct{}{}))
			return semel.Defer[int]()
		})
	}
	app, pay := begin(true)
	if err := pay.Submit(t.Context(), "b", 7, semel.Key("k")); err != nil {
		t.Fatal(err)
	}
	for e, err := range app.Effects(t.Context()) {
		if err != nil || e.Started || e.InDoubt {
			t.Errorf("%+v, %v", e, err)
		}
	}
	if err := app.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if calls.Load() != 0 {
		t.Error("a held effect was called")
	}
	app, pay = begin(false)
	defer app.Close(context.Background())
	if got, err := pay.Call(t.Context(), "b", 7, semel.Key("k")); err != nil || got != 7 || calls.Load() != 1 {
		t.Errorf("%d, %v after %d calls", got, err, calls.Load())
	}
}
