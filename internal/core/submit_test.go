package core

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// After every event of a test that uses it, a unit that is full is sealed, as
// the engine does.
func (d *single) event(f func()) {
	f()
	d.work()
	if d.m.Full() {
		d.commit()
	}
}

// timedKey is a UUIDv7 of a time.
func timedKey(at message.Time) string {
	ms := uint64(at) / 1e6
	return fmt.Sprintf("%08x-%04x-7000-8000-000000000001", ms>>16, ms&0xffff)
}

// Duplicates that find the unit full are one execution. The window proves that
// their key is new, so the first of them is not made live at once.
func TestDuplicatesBehindAFullUnit(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"big": func(s *Step, n *numbers) Result { return Result{Verdict: Replied, Body: make([]byte, 15<<10)} },
	}), func(c *Config) { c.MaxUnitBytes = 64 << 10 })
	d.settle()
	d.now += message.Time(time.Second)
	d.keep = true
	for i := range 10 {
		d.submit(new(Caller), keyed("big", fmt.Sprint(i), "1"))
	}
	d.work()
	d.keep = false
	loads := d.loads
	d.loads = nil
	for _, l := range loads {
		d.load(l) // one event: the unit is full before all have run
	}
	d.event(func() {}) // those that are left fill the next one at once
	if !d.m.Full() {
		t.Fatal("the unit is not full")
	}
	k := keyed("count", timedKey(d.now+message.Time(time.Second)), "1")
	var callers []*Caller
	for range 3 {
		callers = append(callers, d.submit(new(Caller), k))
	}
	d.settle()
	if n := count(t, d); n != 1 {
		t.Errorf("executed %d times", n)
	}
	for i, c := range callers {
		if a := d.answers[c]; a.Outcome == nil || a.Replayed != (i > 0) {
			t.Errorf("caller %d: %+v", i, a)
		}
	}
	if len(d.m.active) != 0 {
		t.Errorf("%d envelopes are alive", len(d.m.active))
	}
}

// A cursor does not move over a position of a source that was not consumed:
// what waits behind one that its caller takes back, or that is refused, is
// refused too, and all of it runs when it is sent again.
func TestSequenceKeepsNoGap(t *testing.T) {
	t.Parallel()
	seq := func(p uint64) message.Message {
		return message.Message{To: bob, Action: "count", Source: "s\x00i", Position: p}
	}
	for _, how := range []string{"cancel the first", "cancel the second", "refuse", "invalid"} {
		d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
			"invalid": func(*Step, *numbers) Result { return Result{Verdict: Failed, Invalid: true, Err: errors.New("no")} },
		}), nil)
		d.settle()
		d.keep = true
		callers := []*Caller{{Accept: true}, {Accept: true}, {Accept: true}}
		first := seq(1)
		switch how {
		case "refuse":
			callers[0].Refuse = message.CodeOverloaded
		case "invalid":
			first.Action = "invalid"
		}
		d.submit(callers[0], first)
		d.submit(callers[1], seq(2))
		d.submit(callers[2], seq(3))
		d.work()
		gone := 0
		switch how {
		case "cancel the first":
			d.m.Cancel(d.now, callers[0])
		case "cancel the second":
			d.m.Cancel(d.now, callers[1])
			gone = 1
		}
		d.keep = false
		for _, l := range d.loads {
			d.load(l)
		}
		d.settle()
		for i, c := range callers {
			if f := d.answers[c].Fault; (f != nil) != (i >= gone) || f != nil && f.Code.Kind() != message.NotDone {
				t.Errorf("%s: position %d: %+v", how, i+1, d.answers[c])
			}
		}
		for p := range uint64(3) {
			if a := d.ask(seq(p + 1)); a.Outcome == nil || a.Replayed != (int(p) < gone) {
				t.Errorf("%s: position %d again: %+v", how, p+1, a)
			}
		}
		if n := count(t, d); n != 3 {
			t.Errorf("%s: %d of 3 ran", how, n)
		}
	}
}

// A key is found whichever generation its outcome went to: here the one that
// ends at the very time that the key carries.
func TestGenerationBoundary(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	d.settle()
	d.now = (d.now/1e6+1)*1e6 + message.Time(time.Hour/generationsPerWindow)
	k := keyed("count", timedKey(d.now), "1")
	d.submit(new(Caller), k)
	d.work()
	d.submit(new(Caller), keyed("count", "x", "1"))
	d.settle() // ticks: a generation begins now
	d.open(false)
	if a := d.ask(k); a.Outcome == nil || !a.Replayed || count(t, d) != 2 {
		t.Errorf("%+v, %d executions", a, count(t, d))
	}
	// And when that generation is gone, so is the key.
	for begins := d.m.retention.generations[1].start; d.m.retention.generations[0].start < begins; {
		d.now += message.Time(time.Minute)
		d.settle()
	}
	if a := d.ask(k); a.Fault == nil || a.Fault.Code != message.CodeKeyExpired {
		t.Errorf("%+v, %d executions", a, count(t, d))
	}
}

// What a message waits for may be in a generation that began meanwhile: when
// its rows are read again, that one is asked too.
func TestGenerationBegunWhileWaiting(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"big":  func(s *Step, n *numbers) Result { return Result{Verdict: Replied, Body: make([]byte, 15<<10)} },
		"long": func(s *Step, n *numbers) Result { s.Hold("T", time.Hour); return replied(body{}) },
	}), func(c *Config) { c.MaxUnitBytes = 64 << 10 })
	d.ask(keyed("long", "h", "1"))
	d.submit(&Caller{Accept: true}, keyed("count", "k", "1"))
	d.settle()
	d.keep = true
	dup := d.submit(new(Caller), keyed("count", "k", "1"))
	d.work()
	slow := d.loads[0]
	values := make([][]byte, len(slow.Keys))
	for i, k := range slow.Keys {
		values[i] = d.store.visible[0].get(k)
	}
	d.loads, d.keep = nil, false
	d.now += message.Time(8 * time.Minute)
	d.settle() // a generation begins
	rel := keyed("release", "r", "1")
	rel.Token = "T"
	d.ask(rel) // and what waited is recorded in it
	for i := range 2 {
		m := keyed("big", fmt.Sprint(i), "1")
		m.To = simAgent("t", "alice")
		d.submit(new(Caller), m)
	}
	d.work()
	if !d.m.Full() {
		t.Fatal("the unit is not full")
	}
	// It waits behind the full unit until the overlay has forgotten the outcome.
	if err := d.m.Loaded(d.now, slow, values); err != nil {
		t.Fatal(err)
	}
	d.settle()
	if a := d.answers[dup]; a.Outcome == nil || !a.Replayed || count(t, d) != 1 {
		t.Errorf("%+v, executed %d times", a, count(t, d))
	}
}

// "It was accepted" is said when that is durable.
func TestCancelOfAnAcceptedCallWaits(t *testing.T) {
	t.Parallel()
	d := newSingle(t, effectBehavior("ask"), nil)
	d.settle()
	for _, sealed := range []bool{false, true} {
		c := d.submit(new(Caller), keyed("ask", fmt.Sprint("k", sealed), "1"))
		d.work()
		if sealed {
			d.commit()
		}
		d.m.Cancel(d.now, c)
		d.work()
		if a, early := d.answers[c]; early {
			t.Errorf("sealed %v: told %+v before it is durable", sealed, a.Fault)
		}
		d.settle()
		if f := d.answers[c].Fault; f == nil || f.Code != message.CodeInFlight {
			t.Errorf("sealed %v: %+v", sealed, d.answers[c])
		}
	}
}

// An outcome is in doubt no longer when its doubt was settled, though the step
// that hears of it asks for more.
func TestDoubtEndsThoughTheStepDefers(t *testing.T) {
	t.Parallel()
	ask := func(s *Step, n *numbers) Result {
		s.Ask(Call{Effect: "ask", Then: "told"})
		return Result{Verdict: Deferred}
	}
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{"ask": ask, "told": ask}), nil)
	d.submit(new(Caller), keyed("ask", "k", "1"))
	d.settle()
	id := d.calls[0].ID
	d.m.EffectDone(d.now, EffectResult{ID: id, Attempt: 1, Status: message.StatusUnknown})
	d.settle()
	if o := d.ask(keyed("ask", "k", "1")).Outcome; o == nil || o.Status != message.StatusInDoubt {
		t.Fatalf("%+v", o)
	}
	d.m.Resolve(d.now, new(Caller), id, Resolution{Status: message.StatusDone})
	d.settle()
	c := d.submit(new(Caller), keyed("ask", "k", "1"))
	d.settle()
	if a, ok := d.answers[c]; ok {
		t.Errorf("told %+v, and no effect is in doubt", a.Outcome)
	}
}
