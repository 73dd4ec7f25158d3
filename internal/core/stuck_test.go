package core

import (
	"errors"
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// askingBehavior has an action that waits for an effect.
func askingBehavior() Behavior {
	return testBehavior(map[string]func(*Step, *numbers) Result{
		"ask": func(s *Step, n *numbers) Result {
			s.Ask(Call{Effect: "ask", Then: "told"})
			return Result{Verdict: Deferred}
		},
		"told": func(s *Step, n *numbers) Result { return replied(body{}) },
	})
}

// A crash comes after an effect is in doubt and before its message says so.
func TestDoubtIsShownAfterCrash(t *testing.T) {
	t.Parallel()
	d := newSingle(t, askingBehavior(), nil)
	d.submit(new(Caller), keyed("ask", "k", "1"))
	d.settle()
	id := d.calls[0].ID
	d.now += 1000
	d.keep = true // the origin's row is read, asynchronously
	d.m.EffectDone(d.now, EffectResult{ID: id, Status: message.StatusUnknown})
	d.commit()
	d.sync()
	d.keep = false
	d.crash()
	d.settle()
	c := d.submit(new(Caller), keyed("ask", "k", "1"))
	d.settle()
	for range 50 {
		d.now += message.Time(time.Minute)
		d.settle()
	}
	a, ok := d.answers[c]
	if !ok || a.Outcome == nil || a.Outcome.Status != message.StatusInDoubt {
		t.Errorf("the message is not in doubt: answered %v, %+v", ok, a)
	}
}

// A retry that was taken finds another hold than before: what passes that one runs.
func TestRetryMeetsAnotherHold(t *testing.T) {
	t.Parallel()
	ran := 0
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"hold1": func(s *Step, n *numbers) Result { s.Hold("T1", time.Hour); return replied(body{}) },
		"hold2": func(s *Step, n *numbers) Result { s.Hold("T2", time.Hour); return replied(body{}) },
		"bad":   func(s *Step, n *numbers) Result { return failed(errors.New("no")) },
		"two":   func(s *Step, n *numbers) Result { ran++; return replied(body{}) },
	}), nil)
	d.ask(keyed("hold1", "a", "1"))
	p := keyed("two", "p", "1")
	p.Token = "T2"
	d.submit(&Caller{Accept: true}, p)
	d.settle()
	r := keyed("bad", "r", "1")
	r.Token = "T1"
	d.submit(&Caller{Accept: true}, r)
	d.commit()
	d.sync()
	d.store.sync(len(d.store.log))
	d.open(false) // an orderly restart
	d.now += message.Time(2 * time.Second)
	x := keyed("hold2", "x", "1")
	x.Token = "T1"
	d.submit(new(Caller), x)
	d.m.Tick(d.now)
	d.settle()
	for range 10 {
		d.now += message.Time(time.Minute)
		d.settle()
	}
	if ran != 1 {
		t.Errorf("the parked message that bears the hold's token ran %d times in 10 minutes", ran)
	}
}

// Holds that were released leave nothing behind.
func TestReleasedHoldsTakeNoMemory(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"prep": func(s *Step, n *numbers) Result { s.Hold("T", 1<<62); return replied(body{}) },
		"rel":  func(s *Step, n *numbers) Result { s.Release(); return replied(body{}) },
	}), nil)
	for i := range 2000 {
		m := keyed("prep", "", "1")
		m.Key = "p" + string(rune(0x4e00+i))
		d.submit(new(Caller), m)
		m = keyed("rel", "", "1")
		m.Key, m.Token = "r"+string(rune(0x4e00+i)), "T"
		d.submit(new(Caller), m)
		if i%100 == 0 {
			d.settle()
		}
	}
	d.settle()
	if n := len(d.m.alarms.entries); n > 1 {
		t.Errorf("%d alarms are kept for one agent", n)
	}
}

// A crash comes after an effect is not in doubt any more and before its message says so.
func TestSettledDoubtIsNotShownAfterCrash(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"ask": func(s *Step, n *numbers) Result {
			s.Ask(Call{Effect: "ask", Then: "told"})
			return Result{Verdict: Deferred}
		},
		"told": func(s *Step, n *numbers) Result {
			s.Ask(Call{Effect: "ask", Then: "told"})
			return Result{Verdict: Deferred}
		},
	}), nil)
	d.submit(new(Caller), keyed("ask", "k", "1"))
	d.settle()
	id := d.calls[0].ID
	d.done(id, false, message.StatusUnknown)
	d.settle()
	d.now += message.Time(time.Minute)
	d.settle()
	d.keep = true
	d.m.Resolve(d.now, new(Caller), id, Resolution{Status: message.StatusNotDone, By: "x", Seen: d.m.Look(d.now)})
	d.commit()
	d.sync()
	d.keep = false
	d.crash()
	d.settle()
	if len(d.calls) > 0 {
		d.done(id, false, message.StatusDone)
	}
	d.settle()
	c := d.submit(new(Caller), keyed("ask", "k", "1"))
	d.settle()
	if a, ok := d.answers[c]; ok {
		t.Errorf("effect %v is settled, and the answer is %+v", id, a.Outcome)
	}
}

// A retry on trial is dropped, because its agent breaks: the other agents go on.
func TestTrialOfBrokenAgentEnds(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), func(c *Config) { c.BackoffBase, c.BackoffMax = time.Minute, time.Minute })
	d.ask(keyed("hold", "a", "1"))
	r := keyed("fail", "r", "1")
	r.Token = "token"
	d.submit(&Caller{Accept: true}, r)
	d.submit(&Caller{Accept: true}, keyed("count", "p", "1"))
	d.commit()
	d.sync()
	for k, v := range d.store.visible[0].tables[message.TableMailbox] {
		w := append([]byte(nil), v...)
		w[len(w)-1] ^= 1
		d.store.visible[0].tables[message.TableMailbox][k] = w
		d.store.durable[0].tables[message.TableMailbox][k] = w
	}
	d.open(true)
	d.keep = true
	d.m.Tick(d.now)
	d.work() // reads the mailbox
	mail := d.loads
	d.loads = nil
	for range 62 {
		d.now += message.Time(time.Second)
		if d.m.trial.env != nil || d.m.cells[string(bob.AppendKey(nil))].taking != nil {
			break
		}
		d.m.Tick(d.now)
		d.work()
	}
	for _, l := range d.loads {
		d.load(l) // the state
	}
	d.loads = nil
	d.work()
	for _, l := range mail {
		d.load(l)
	}
	d.keep = false
	d.settle()
	other := keyed("count", "z", "1")
	other.To = simAgent("t", "alice")
	c := d.submit(new(Caller), other)
	d.settle()
	for range 20 {
		d.now += message.Time(time.Minute)
		d.settle()
	}
	_, ok := d.answers[c]
	if !ok {
		t.Error("the shard stands still")
	}
}
