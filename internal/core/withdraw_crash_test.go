package core

import (
	"fmt"
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// A withdrawal is durable even if an answer is on its way already: the answer may
// be lost with the session, and what it would have ended must not be called again.
func TestWithdrawWhileTheAnswerIsOnItsWay(t *testing.T) {
	t.Parallel()
	for _, policy := range policies {
		for _, crash := range []bool{true, false} {
			d := newSingle(t, withdrawer(policy), nil)
			id := d.asked()
			d.m.opened = opened{}
			d.keep = true // the agent cannot hear before the row of the caller is read
			d.m.EffectDone(d.now, EffectResult{ID: id, Attempt: 1, Status: message.StatusDone})
			d.work()
			d.submit(new(Caller), keyed("withdraw", "w", "1"))
			d.commit()
			d.sync()
			d.keep = false
			loads := d.loads
			d.loads = nil
			if len(loads) == 0 {
				t.Fatal("nothing is read")
			}
			want := message.StatusDone
			if crash {
				want = message.StatusUnknown
				if policy == "ro" {
					want = message.StatusNotDone
				}
				d.crash()
			} else {
				for _, l := range loads {
					d.load(l)
				}
			}
			d.answeredOnce(want, crash && (policy == "ask" || policy == "probe"))
		}
	}
}

// Of a withdrawn effect that stays in doubt, the probe finds out what became of it.
func TestProbeOfAWithdrawnEffectGoesOn(t *testing.T) {
	t.Parallel()
	d := newSingle(t, withdrawer("probe"), nil)
	id := d.asked()
	d.withdraw()
	d.done(id, false, message.StatusUnknown)
	d.called(true)
	d.done(id, true, message.StatusDone)
	d.answeredOnce(message.StatusUnknown, false)
}

// Reads cannot have happened, but an effect that was called under another policy
// can.
func TestWithdrawnCallUnderAnotherPolicy(t *testing.T) {
	t.Parallel()
	b := withdrawer("keyed")
	d := newSingle(t, b, nil)
	id := d.asked()
	d.done(id, false, message.StatusUnknown)
	b.Effects["keyed"].Policy = ReadOnly
	d.crash()
	d.settle()
	d.advance(3 * time.Second)
	id = d.called(false)
	d.withdraw()
	d.done(id, false, message.StatusUnknown)
	d.answeredOnce(message.StatusUnknown, false)
}

// An effect that is asked for again under its key, while the one that was
// withdrawn is in doubt, is answered at once, too, however the process ends.
func TestWithdrawnDoubtIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{true, false} {
		d := newSingle(t, withdrawer("ask"), nil)
		id := d.asked()
		d.done(id, false, message.StatusUnknown)
		d.withdraw()
		for range 40 {
			d.now += message.Time(3 * time.Minute)
			d.settle()
		}
		d.submit(new(Caller), keyed("ask", "k", "1"))
		d.settle()
		if crash {
			d.crash()
			d.settle()
		}
		if n, _ := d.of(bob, message.StatusUnknown.String()); n != 2 {
			t.Errorf("crash %v: %d answers", crash, n)
		}
		if len(d.calls) > 0 {
			t.Errorf("crash %v: it is called: %+v", crash, d.calls)
		}
		d.advance(5 * time.Second) // the settling time
		d.resolve(id, message.StatusNotDone)
		if n := d.rows(message.TableEffect) + d.rows(message.TableOpen); n != 0 {
			t.Errorf("crash %v: %d rows are left", crash, n)
		}
	}
}

// A late answer that says otherwise than the agent was told is alarmed.
func TestLateAnswerOfAWithdrawnEffect(t *testing.T) {
	t.Parallel()
	d := newSingle(t, withdrawer("keyed"), nil)
	id := d.asked()
	d.withdraw()
	d.calling = map[message.ID]bool{id: true}
	d.open(false)
	d.settle()
	d.m.LateResult(d.now, EffectResult{ID: id, Attempt: 1, Status: message.StatusDone})
	d.settle()
	if d.alarmed(AlarmConflict) != 1 {
		t.Errorf("alarms %+v", d.alarms)
	}
	d.answeredOnce(message.StatusUnknown, false)
}

// What a step withdraws fits into its unit, or the step fails (invariant 9).
func TestWithdrawnEffectsFitAUnit(t *testing.T) {
	t.Parallel()
	var ids []message.ID
	n := 0
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"ask": func(s *Step, _ *numbers) Result {
			ids = append(ids, s.Ask(Call{Effect: "ask", Body: make([]byte, 100<<10)}))
			return replied(body{})
		},
		"withdraw": func(s *Step, _ *numbers) Result {
			for _, id := range ids[:n] {
				s.Withdraw(id)
			}
			return replied(body{})
		},
	}), nil)
	for i := range 20 {
		d.ask(keyed("ask", fmt.Sprint(i), "1"))
	}
	for _, c := range d.calls {
		d.done(c.ID, false, message.StatusUnknown)
	}
	n = 20
	if a := d.ask(keyed("withdraw", "all", "1")); a.Fault == nil {
		t.Error("twenty effects of 100 kB are withdrawn in a unit of 1 MB")
	}
	n = 2
	d.submit(new(Caller), keyed("withdraw", "two", "1"))
	counted := d.m.Counted()
	if u := d.m.Seal(); u == nil || u.Bytes() > counted || counted > d.cfg.MaxUnitBytes {
		t.Errorf("%d bytes, counted %d", u.Bytes(), counted)
	}
}

// An effect that nobody waits for is not called again either, whatever the next
// program declares it to be.
func TestWithdrawnEffectThatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	for _, policy := range policies {
		for _, next := range []Policy{Ask, ReadOnly, Keyed, Probe, AtMostOnce} {
			var id message.ID
			b := testBehavior(map[string]func(*Step, *numbers) Result{
				"ask":      func(s *Step, _ *numbers) Result { id = s.Ask(Call{Effect: policy}); return replied(body{}) },
				"withdraw": func(s *Step, _ *numbers) Result { s.Withdraw(id); return replied(body{}) },
			})
			d := newSingle(t, b, nil)
			d.asked()
			d.withdraw()
			b.Effects[policy].Policy = next
			for range 2 {
				d.crash()
				d.advance(3 * time.Second)
				for _, c := range d.calls {
					if !c.Probe {
						t.Errorf("%s, now %s: it is called again", policy, next)
					}
				}
				if n, kept := d.rows(message.TableEffect), policy != "ro" && (next == Ask || next == Probe); (n == 1) != kept {
					t.Errorf("%s, now %s: %d effects", policy, next, n)
				}
			}
		}
	}
}

// Whoever waits is not left with a doubt that is over, however the session ends that
// withdrew it.
func TestWaitingForAWithdrawnDoubt(t *testing.T) {
	t.Parallel()
	b := withdrawer("ask")
	b.Types["t"].Actions["heard"] = &Action{Run: func(*Step, State) Result { return Result{Verdict: Deferred} }}
	d := newSingle(t, b, nil)
	id := d.asked()
	d.done(id, false, message.StatusUnknown)
	d.keep = true // so that the row which says "in doubt" cannot be changed
	d.submit(new(Caller), keyed("withdraw", "w", "1"))
	d.work()
	if err := d.store.commit(copyUnit(0, d.m.Seal())); err != nil {
		t.Fatal(err)
	}
	d.store.sync(len(d.store.log))
	d.keep = false
	d.crash()
	d.settle()
	for k, v := range d.store.visible[0].tables[message.TableOpen] {
		if o, err := ReadOutcome(message.RowKey{Table: message.TableOpen, Key: []byte(k)}, v); err != nil || o.Status != message.StatusInFlight {
			t.Errorf("%+v, %v", o, err)
		}
	}
	if n := d.rows(message.TableOpen); n != 1 {
		t.Errorf("%d wait", n)
	}
}
