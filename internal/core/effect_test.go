package core

import (
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// asked has the one effect of effectBehavior called, and returns its key.
func (d *single) asked() message.ID {
	d.t.Helper()
	d.submit(new(Caller), keyed("ask", "k", "1"))
	d.settle()
	return d.called(false)
}

// called takes the one call, or probe, that was let go.
func (d *single) called(probe bool) message.ID {
	d.t.Helper()
	if len(d.calls) != 1 || d.calls[0].Probe != probe {
		d.t.Fatalf("want one job, a probe: %v; got %+v", probe, d.calls)
	}
	id := d.calls[0].ID
	d.calls = nil
	return id
}

// done gives back a call or a probe.
func (d *single) done(id message.ID, probe bool, status message.Status) {
	d.t.Helper()
	d.m.EffectDone(d.now, EffectResult{ID: id, Probe: probe, Attempt: 1, Status: status})
	d.settle()
}

func (d *single) resolve(id message.ID, status message.Status) Answer {
	d.t.Helper()
	c := new(Caller)
	d.m.Resolve(d.now, c, id, Resolution{Status: status, By: "eve", Seen: d.m.Look(d.now)})
	d.settle()
	return d.answers[c]
}

// advance lets time pass, in steps that a backoff fits into.
func (d *single) advance(t time.Duration) {
	d.t.Helper()
	for end := d.now + message.Time(t); d.now < end; {
		d.now = min(end, d.now+message.Time(200*time.Millisecond))
		d.settle()
	}
}

func (d *single) alarmed(kind AlarmKind) int {
	n := 0
	for _, a := range d.alarms {
		if a.Kind == kind {
			n++
		}
	}
	return n
}

// DESIGN 2: the settling time counts from the call, not from its record: a
// sync that stalls (FAULTS 13) lets the call go long after that was written.
func TestSettleTimeBeginsWithTheCall(t *testing.T) {
	t.Parallel()
	d := newSingle(t, effectBehavior("probe"), nil) // a call takes a second at most, and the lease is one
	d.submit(new(Caller), keyed("ask", "k", "1"))
	d.work()
	d.commit()
	d.sync()
	d.commit() // the started record
	d.now += message.Time(10 * time.Second)
	d.sync()
	id := d.called(false)
	d.now += 1e6 // the connection breaks; the request may be on its way
	d.done(id, false, message.StatusUnknown)
	d.called(true)
	d.done(id, true, message.StatusNotDone)
	for start := d.now; d.now < start+message.Time(1900*time.Millisecond); d.now += 1e7 {
		d.settle()
		for _, c := range d.calls {
			if !c.Probe {
				t.Fatalf("called again %v after the first call began", time.Duration(d.now-start))
			}
		}
	}
}

// The same, when a person says it: a look before that sees too little. A
// person closes no key, so it holds also where the word of a probe counts at once.
func TestNotDoneIsRefusedWhileTheCallMayArrive(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"ask", "probe"} {
		b := effectBehavior(policy)
		b.Effects[policy].ProbeCloses = policy == "probe"
		d := newSingle(t, b, nil)
		d.submit(new(Caller), keyed("ask", "k", "1"))
		d.work()
		d.commit()
		d.sync()
		d.commit()
		d.now += message.Time(10 * time.Second)
		d.sync()
		id := d.called(false)
		d.done(id, false, message.StatusUnknown)
		returned := d.now
		if policy == "probe" {
			id = doubted(t, d, id)
		}
		for d.now < returned+message.Time(1900*time.Millisecond) {
			a := d.resolve(id, message.StatusNotDone)
			if a.Fault == nil || a.Fault.Code != message.CodeTooEarly {
				t.Fatalf("%s: %v after the call came back: %+v", policy, time.Duration(d.now-returned), a)
			}
			if left := time.Duration(returned-d.now) + 2*time.Second; a.Fault.After < left || a.Fault.After > left+time.Second {
				t.Errorf("%s: it says to look in %v, of %v", policy, a.Fault.After, left)
			}
			d.now += message.Time(100 * time.Millisecond)
			d.settle()
			if len(d.calls) > 0 && !d.calls[0].Probe {
				t.Fatalf("%s: called again: %+v", policy, d.calls)
			}
			d.calls = nil
		}
		d.now += message.Time(200 * time.Millisecond)
		if a := d.resolve(id, message.StatusNotDone); a.Outcome == nil {
			t.Errorf("%s: when its time has come: %+v", policy, a)
		}
		if policy == "probe" {
			d.done(id, true, message.StatusUnknown)
		}
		d.called(false)
	}
}

// A look in a former session, whose clock may have been ahead, says nothing of
// what that session let go before it ended.
func TestALookIsOfItsSession(t *testing.T) {
	t.Parallel()
	d := newSingle(t, effectBehavior("ask"), nil)
	id := d.asked()
	d.done(id, false, message.StatusUnknown)
	former := d.m.Look(d.now)
	d.crash()
	d.advance(time.Minute)
	former.At = d.now // its clock was ahead of what is now
	say := func(l Look) Answer {
		c := new(Caller)
		d.m.Resolve(d.now, c, id, Resolution{Status: message.StatusNotDone, By: "eve", Seen: l})
		d.settle()
		return d.answers[c]
	}
	if a := say(former); a.Fault == nil || a.Fault.Code != message.CodeTooEarly {
		t.Errorf("%+v", a)
	}
	if a := say(d.m.Look(d.now)); a.Outcome == nil {
		t.Errorf("%+v", a)
	}
}

// Rejected and done say what is, and need not wait.
func TestOtherWordsCountAtOnce(t *testing.T) {
	t.Parallel()
	for _, status := range []message.Status{message.StatusDone, message.StatusRejected} {
		d := newSingle(t, effectBehavior("ask"), nil)
		id := d.asked()
		d.done(id, false, message.StatusUnknown)
		if a := d.resolve(id, status); a.Outcome == nil || a.Outcome.Status != status {
			t.Errorf("%+v", a)
		}
	}
}

// Who does not have the effect cannot call it again, and does not know its
// deadline.
func TestNotDoneIsForWhoHasTheEffect(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*single){
		"a guest":                    func(d *single) { d.cfg.Guest = true },
		"a program without it":       func(d *single) { d.b.Effects = nil },
		"a program of other effects": func(d *single) { d.b.Effects = map[string]*Effect{"other": {Policy: Ask}} },
	} {
		d := newSingle(t, effectBehavior("ask"), nil)
		id := d.asked()
		d.done(id, false, message.StatusUnknown)
		change(d)
		d.crash()
		d.advance(time.Hour)
		if a := d.resolve(id, message.StatusNotDone); a.Fault == nil || a.Fault.Code != message.CodeUnknownEffect {
			t.Errorf("%s: %+v", name, a)
		}
		if a := d.resolve(id, message.StatusDone); a.Outcome == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// A probe looks when it begins: one that answers when the time has come has
// not seen what came meanwhile.
func TestProbeLooksWhenItBegins(t *testing.T) {
	t.Parallel()
	d := newSingle(t, effectBehavior("probe"), nil)
	id := d.asked()
	d.done(id, false, message.StatusUnknown)
	d.called(true)
	d.now += message.Time(3 * time.Second) // the settling time is over
	d.done(id, true, message.StatusNotDone)
	d.advance(2 * time.Second)
	d.called(true) // it looks again
	d.done(id, true, message.StatusNotDone)
	d.advance(2 * time.Second)
	d.called(false)
}

// The deadline is that under which the call was made, if it was longer.
func TestSettleTimeOfALongerDeadline(t *testing.T) {
	t.Parallel()
	b := effectBehavior("ask")
	b.Effects["ask"].Timeout = time.Minute
	d := newSingle(t, b, nil)
	id := d.asked()
	b.Effects["ask"].Timeout = time.Second
	d.crash()
	d.advance(50 * time.Second)
	if a := d.resolve(id, message.StatusNotDone); a.Fault == nil || a.Fault.Code != message.CodeTooEarly {
		t.Errorf("%+v", a)
	}
	d.advance(20 * time.Second)
	if a := d.resolve(id, message.StatusNotDone); a.Outcome == nil {
		t.Errorf("%+v", a)
	}
}

// A call that goes on while the shard is opened again in its process is waited
// for like any other: the settling time begins when it comes back.
func TestSettleTimeOfACallAcrossAReopen(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"ask", "probe"} {
		d := newSingle(t, effectBehavior(policy), nil) // a call takes a second at most, and the lease is one
		id := d.asked()
		d.calling = map[message.ID]bool{id: true}
		d.open(false)
		d.settle()
		again := func() bool {
			if d.m.effects[id].status == effectDoubt {
				d.resolve(id, message.StatusNotDone)
			}
			for _, c := range d.calls {
				if !c.Probe {
					return true
				}
				d.calls = nil
				d.done(id, true, message.StatusNotDone)
			}
			return false
		}
		for range 50 {
			if d.advance(200 * time.Millisecond); again() {
				t.Fatalf("%s: called again while the first call is under way", policy)
			}
		}
		d.m.LateResult(d.now, EffectResult{ID: id, Attempt: 1, Status: message.StatusUnknown})
		for range 9 {
			if d.advance(200 * time.Millisecond); again() {
				t.Fatalf("%s: called again at once after the first call came back", policy)
			}
		}
		for i := 0; !again(); i++ {
			if i == 50 {
				t.Fatalf("%s: never called again", policy)
			}
			d.advance(200 * time.Millisecond)
		}
	}
}

// A word is about the calls that were made when the doubt was read, however late
// it comes.
func TestALateWordSaysNothingOfTheNextCall(t *testing.T) {
	t.Parallel()
	d := newSingle(t, effectBehavior("ask"), nil)
	id := d.asked()
	d.done(id, false, message.StatusUnknown)
	say := func(seen Look) Answer {
		c := new(Caller)
		d.m.Resolve(d.now, c, id, Resolution{Status: message.StatusNotDone, By: "eve", Seen: seen})
		d.settle()
		return d.answers[c]
	}
	tooEarly := func(a Answer) bool {
		return a.Fault != nil && a.Fault.Code == message.CodeTooEarly && a.Fault.After == 0
	}
	soon := d.m.Look(d.now)
	d.advance(3 * time.Second)
	if a := say(soon); !tooEarly(a) {
		t.Errorf("looked too early: %+v", a)
	}
	if a := say(Look{d.m.epoch, d.now + 1}); a.Fault == nil || a.Fault.Code != message.CodeInvalidRequest {
		t.Errorf("looked in the future: %+v", a)
	}
	first := d.m.Look(d.now)
	if a := say(first); a.Outcome == nil || a.Replayed {
		t.Fatalf("%+v", a)
	}
	d.called(false)
	d.done(id, false, message.StatusUnknown)
	d.now++
	second := d.m.Look(d.now)
	d.advance(3 * time.Second)
	if a := say(first); a.Outcome == nil || !a.Replayed {
		t.Errorf("the word again: %+v", a)
	}
	if a := say(second); !tooEarly(a) {
		t.Errorf("looked too early at the second call: %+v", a)
	}
	if len(d.calls) > 0 {
		t.Fatalf("called again: %+v", d.calls)
	}
	if a := say(d.m.Look(d.now)); a.Outcome == nil || a.Replayed {
		t.Errorf("a word about the second call: %+v", a)
	}
	d.called(false)
}

// A timeout "for ever" must not make "not done" count at once.
func TestSettleTimeOfAnEndlessCall(t *testing.T) {
	t.Parallel()
	b := effectBehavior("probe")
	b.Effects["probe"].Timeout = 1<<63 - 1
	d := newSingle(t, b, nil)
	id := d.asked()
	d.done(id, false, message.StatusUnknown)
	d.called(true)
	d.done(id, true, message.StatusNotDone)
	d.advance(time.Minute)
	if len(d.calls) > 0 {
		t.Errorf("%+v", d.calls)
	}
}

// inDoubt brings a probed effect into doubt, with a probe under way.
func inDoubt(t *testing.T, d *single) message.ID {
	t.Helper()
	id := d.asked()
	d.done(id, false, message.StatusUnknown)
	return doubted(t, d, id)
}

func doubted(t *testing.T, d *single, id message.ID) message.ID {
	t.Helper()
	for range 10_000 {
		if len(d.calls) == 1 && d.m.effects[id].status == effectDoubt {
			d.called(true)
			return id
		}
		if len(d.calls) == 1 {
			d.called(true)
			d.done(id, true, message.StatusUnknown)
		}
		d.now += 1e6
		d.settle()
	}
	t.Fatal("never in doubt")
	return id
}

// A person's "not done" that counts at once stands, whatever a probe that was
// under way says, unless that is certain.
func TestNotDoneWhileAProbeIsUnderWay(t *testing.T) {
	t.Parallel()
	for _, probed := range []message.Status{message.StatusUnknown, message.StatusNotDone} {
		d := newSingle(t, effectBehavior("probe"), nil)
		id := inDoubt(t, d)
		d.now += message.Time(time.Minute) // the settling time has passed
		d.resolve(id, message.StatusNotDone)
		d.done(id, true, probed)
		if st := d.m.effects[id].status; st != effectStarted {
			t.Errorf("a probe says %s: status %d", probed, st)
		}
		d.called(false)
	}
}

// A probe that was under way finds a person wrong, before a second call.
func TestProbeBeliesAPerson(t *testing.T) {
	t.Parallel()
	d := newSingle(t, effectBehavior("probe"), nil)
	id := inDoubt(t, d)
	d.now += message.Time(time.Minute)
	d.resolve(id, message.StatusNotDone)
	d.done(id, true, message.StatusDone)
	d.advance(3 * time.Second)
	if a := d.ask(keyed("ask", "k", "1")); a.Outcome == nil || a.Outcome.Status != message.StatusDone || len(d.calls) > 0 {
		t.Errorf("%+v; calls %+v", a, d.calls)
	}
	if n := d.alarmed(AlarmConflict); n != 1 {
		t.Errorf("%d alarms", n)
	}
}

// A person's "not done" may come while a probe waits for its turn.
func TestNotDoneWhileAProbeWaits(t *testing.T) {
	t.Parallel()
	d := newSingle(t, effectBehavior("probe"), func(c *Config) { c.Running = 1 })
	id := inDoubt(t, d)
	d.done(id, true, message.StatusUnknown) // it is probed again soon
	m := keyed("ask", "k", "1")
	m.To = simAgent("t", "alice")
	d.submit(new(Caller), m)
	d.settle()
	other := d.called(false) // and takes the only place
	d.now += message.Time(3 * time.Second)
	d.settle()
	if e := d.m.effects[id]; !e.mem.waiting || e.mem.running {
		t.Fatalf("%+v", e.mem)
	}
	d.resolve(id, message.StatusNotDone)
	d.done(other, false, message.StatusDone)
	d.advance(3 * time.Second)
	if d.called(false) != id {
		t.Error("the other effect is called again")
	}
}

// A probe that hears "not done" lets a failing call be made again after a
// pause, and as often as the effect allows.
func TestProbedCallsAreBounded(t *testing.T) {
	t.Parallel()
	for _, closes := range []bool{false, true} {
		b := effectBehavior("probe")
		b.Effects["probe"].ProbeCloses = closes
		d := newSingle(t, b, nil)
		id := d.asked()
		d.done(id, false, message.StatusUnknown)
		d.called(true)
		d.done(id, true, message.StatusNotDone)
		if len(d.calls) != 0 {
			t.Errorf("closes %v: called again at once", closes)
		}
		made := 1
		for range 1000 {
			d.advance(200 * time.Millisecond)
			if len(d.calls) == 0 {
				continue
			}
			probe := d.calls[0].Probe
			d.called(probe)
			if probe {
				d.done(id, true, message.StatusNotDone)
			} else {
				made++
				d.done(id, false, message.StatusUnknown)
			}
		}
		if a := d.ask(keyed("ask", "k", "1")); made != 2 || a.Outcome == nil || a.Outcome.Code != "gave_up" {
			t.Errorf("closes %v: %d calls of 2; %+v", closes, made, a)
		}
	}
}

// When a key runs again after its retention, an effect of it that is in doubt
// stays so: the outside world knows both by one key.
func TestDoubtOutlivesItsKey(t *testing.T) {
	t.Parallel()
	for _, defers := range []bool{false, true} {
		d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
			"charge": func(s *Step, n *numbers) Result {
				n.add("n", 1)
				if defers && n.get("n") == 2 {
					s.Ask(Call{Effect: "ask", Then: "told"})
					return Result{Verdict: Deferred}
				}
				s.Ask(Call{Effect: "ask"})
				return replied(body{})
			},
			"told": func(s *Step, n *numbers) Result { return replied(body{N: 7}) },
		}), nil)
		d.ask(keyed("charge", "k", "1"))
		id := d.called(false)
		d.done(id, false, message.StatusUnknown)
		for range 40 {
			d.now += message.Time(3 * time.Minute)
			d.settle()
		}
		c := d.submit(new(Caller), keyed("charge", "k", "1"))
		d.settle()
		if len(d.calls) > 0 {
			t.Errorf("an effect in doubt is called again without anybody's word: %+v", d.calls)
		}
		if n := count(t, d); n != 2 {
			t.Fatalf("%d executions", n)
		}
		if o := d.answers[c].Outcome; defers && (o == nil || o.Status != message.StatusInDoubt) {
			t.Errorf("%+v", d.answers[c])
		}
		d.resolve(id, message.StatusDone)
		if a := d.ask(keyed("charge", "k", "1")); defers && string(a.Outcome.Body) != `{"n":7}` {
			t.Errorf("%+v", a.Outcome)
		}
		if d.rows(message.TableEffect) != 0 || len(d.m.doubts) != 0 {
			t.Errorf("%d effects are left", d.rows(message.TableEffect))
		}
	}
}

// A message that waits for two effects is in doubt as long as one of them is.
func TestTwoDoubtsOfOneMessage(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{false, true} {
		d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
			"ask": func(s *Step, n *numbers) Result {
				s.Ask(Call{Effect: "ask", Then: "told"})
				s.Ask(Call{Effect: "ask", Then: "told"})
				return Result{Verdict: Deferred}
			},
			"told": func(s *Step, n *numbers) Result {
				if n.add("n", 1); n.get("n") < 2 {
					return Result{Verdict: Deferred}
				}
				return replied(body{})
			},
		}), nil)
		d.submit(new(Caller), keyed("ask", "k", "1"))
		d.settle()
		calls := d.calls
		for _, c := range calls {
			d.done(c.ID, false, message.StatusUnknown)
		}
		if crash {
			d.crash()
			d.settle()
		}
		at := func() *message.Outcome {
			c := d.submit(new(Caller), keyed("ask", "k", "1"))
			d.settle()
			a, ok := d.answers[c]
			if !ok {
				d.m.Cancel(d.now, c)
				d.settle()
				return &message.Outcome{Status: message.StatusInFlight}
			}
			return a.Outcome
		}
		first := at()
		other := calls[0].ID
		if first.Doubt == other {
			other = calls[1].ID
		}
		d.advance(3 * time.Second)
		d.calls = nil
		d.resolve(first.Doubt, message.StatusNotDone)
		if o := at(); o.Status != message.StatusInDoubt || o.Doubt != other {
			t.Errorf("crash %v: one of two doubts is settled: %+v", crash, o)
		}
		d.resolve(other, message.StatusDone) // its step asks for nothing more and waits on
		if o := at(); o.Status != message.StatusInFlight {
			t.Errorf("crash %v: both doubts are settled: %+v", crash, o)
		}
		d.done(first.Doubt, false, message.StatusDone)
		if o := at(); o.Status != message.StatusDone || len(d.m.doubts) != 0 {
			t.Errorf("crash %v: %+v", crash, o)
		}
	}
}

// A doubt whose continuation asks for more is settled: the message goes on.
func TestSettledDoubtGoesOn(t *testing.T) {
	t.Parallel()
	again := func(s *Step, n *numbers) Result {
		s.Ask(Call{Effect: "ask", Then: "told"})
		return Result{Verdict: Deferred}
	}
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{"ask": again, "told": again}), nil)
	id := d.asked()
	d.done(id, false, message.StatusUnknown)
	d.resolve(id, message.StatusDone)
	c := d.submit(new(Caller), keyed("ask", "k", "1"))
	d.settle()
	if a, ok := d.answers[c]; ok {
		t.Errorf("told %+v, and no effect is in doubt", a.Outcome)
	}
}

// A dead letter and a doubt of one message: the row shows the dead letter, and
// when that is retried, the doubt.
func TestDoubtBehindADeadLetter(t *testing.T) {
	t.Parallel()
	broken := true
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"ask": func(s *Step, n *numbers) Result {
			s.Ask(Call{Effect: "ask", Then: "told"})
			s.Ask(Call{Effect: "ask", Then: "told"})
			return Result{Verdict: Deferred}
		},
		"told": func(s *Step, n *numbers) Result {
			if broken {
				return Result{Verdict: Failed, Err: errPoison, Invalid: true}
			}
			return Result{Verdict: Deferred}
		},
	}), nil)
	d.submit(new(Caller), keyed("ask", "k", "1"))
	d.settle()
	calls := d.calls
	d.done(calls[0].ID, false, message.StatusDone) // its answer dies
	d.done(calls[1].ID, false, message.StatusUnknown)
	dead := calls[0].ID.Child(0)
	if a := d.ask(keyed("ask", "k", "1")); a.Outcome.Status != message.StatusDead || a.Outcome.Doubt != dead {
		t.Errorf("%+v", a.Outcome)
	}
	broken = false
	d.m.RetryDead(d.now, new(Caller), dead)
	d.settle()
	if a := d.ask(keyed("ask", "k", "1")); a.Outcome.Status != message.StatusInDoubt || a.Outcome.Doubt != calls[1].ID {
		t.Errorf("%+v", a.Outcome)
	}
}

// A late answer that contradicts a person is recorded and alarmed, also while
// that word is on its way to the agent.
func TestLateAnswerWhileResolved(t *testing.T) {
	t.Parallel()
	d := newSingle(t, effectBehavior("ask"), nil)
	id := d.asked()
	d.crash()
	d.settle()
	d.open(false) // bob is not in memory
	d.keep = true
	d.m.Resolve(d.now, new(Caller), id, Resolution{Status: message.StatusRejected, By: "eve"})
	d.work()
	d.m.LateResult(d.now, EffectResult{ID: id, Status: message.StatusDone})
	d.keep = false
	for _, l := range d.loads {
		d.load(l)
	}
	d.settle()
	d.m.LateResult(d.now, EffectResult{ID: id, Status: message.StatusDone})
	d.settle()
	if n := d.alarmed(AlarmConflict); n != 1 {
		t.Errorf("%d alarms: %+v", n, d.alarms)
	}
}

// A person who said no, and a provider that says no with its own words and data,
// agree.
func TestLateRejectionAgreesWithAPerson(t *testing.T) {
	t.Parallel()
	d := newSingle(t, effectBehavior("ask"), nil)
	id := d.asked()
	d.open(false) // the process lives, and so may the call
	d.settle()
	d.resolve(id, message.StatusRejected)
	d.m.LateResult(d.now, EffectResult{ID: id, Status: message.StatusRejected, Code: "declined", Body: []byte("{}")})
	d.settle()
	if n := d.alarmed(AlarmConflict); n != 0 {
		t.Errorf("%d alarms: %+v", n, d.alarms)
	}
	d.m.LateResult(d.now, EffectResult{ID: id, Status: message.StatusDone})
	d.settle()
	if n := d.alarmed(AlarmConflict); n != 1 {
		t.Errorf("%d alarms: %+v", n, d.alarms)
	}
}

// docs/guarantees.md: the first settlement wins, whoever made it, and a late
// answer that contradicts it is alarmed.
func TestLateAnswerContradicts(t *testing.T) {
	t.Parallel()
	late := func(status message.Status) func(*single, message.ID) {
		return func(d *single, id message.ID) {
			d.m.LateResult(d.now, EffectResult{ID: id, Status: status})
			d.settle()
		}
	}
	for name, c := range map[string]struct {
		policy string
		settle func(d *single, id message.ID)
		late   message.Status
		want   message.Status
		alarms int
	}{
		"unknown, and it was done": {"amo", func(*single, message.ID) {}, message.StatusDone, message.StatusUnknown, 1},
		"found rejected by a probe, and it was done": {"probe", func(d *single, id message.ID) {
			d.called(true)
			d.done(id, true, message.StatusRejected)
		}, message.StatusDone, message.StatusRejected, 1},
		"found done by a probe": {"probe", func(d *single, id message.ID) {
			d.called(true)
			d.done(id, true, message.StatusDone)
		}, message.StatusDone, message.StatusDone, 0},
		"heard by another call":   {"keyed", late(message.StatusDone), message.StatusRejected, message.StatusDone, 1},
		"in time, during a probe": {"probe", func(*single, message.ID) {}, message.StatusDone, message.StatusDone, 0},
		"in time, in doubt":       {"ask", func(*single, message.ID) {}, message.StatusDone, message.StatusDone, 0},
		"to be called again on a person's word": {"ask", func(d *single, id message.ID) {
			d.advance(3 * time.Second)
			d.m.Resolve(d.now, new(Caller), id, Resolution{Status: message.StatusNotDone, By: "eve", Seen: d.m.Look(d.now)})
		}, message.StatusDone, message.StatusDone, 1},
		"to be called again on a probe's word": {"probe", func(d *single, id message.ID) {
			d.called(true)
			d.done(id, true, message.StatusNotDone)
			d.advance(3 * time.Second)
			d.called(true)
			d.done(id, true, message.StatusNotDone)
		}, message.StatusDone, message.StatusDone, 1},
		"called again on a person's word": {"ask", func(d *single, id message.ID) {
			d.advance(3 * time.Second)
			d.resolve(id, message.StatusNotDone)
			d.called(false)
		}, message.StatusDone, message.StatusDone, 1},
	} {
		d := newSingle(t, effectBehavior(c.policy), nil)
		id := d.asked()
		d.open(false) // the process lives, and so may the call
		d.settle()
		c.settle(d, id)
		late(c.late)(d, id)
		late(c.late)(d, id)
		if a := d.ask(keyed("ask", "k", "1")); a.Outcome == nil || a.Outcome.Status != c.want {
			t.Errorf("%s: %+v", name, a)
		}
		if n := d.alarmed(AlarmConflict); n != c.alarms {
			t.Errorf("%s: %d alarms", name, n)
		}
	}
}

// What may have happened under one policy is not forgotten under another.
func TestPolicyChange(t *testing.T) {
	t.Parallel()
	policies := map[string]Policy{"ask": Ask, "ro": ReadOnly, "keyed": Keyed, "probe": Probe, "amo": AtMostOnce}
	afterwards := map[string]string{"ask": "doubt", "ro": "call", "keyed": "call", "probe": "probe", "amo": "unknown"}
	for was := range policies {
		for is, policy := range policies {
			for _, let := range []bool{false, true} { // whether the call was let go
				d := newSingle(t, effectBehavior("keyed"), nil)
				d.b.Effects["keyed"].Policy = policies[was]
				d.submit(new(Caller), keyed("ask", "k", "1"))
				want := afterwards[is]
				if let {
					d.settle()
					d.called(false)
				} else {
					d.work()
					d.commit()
					d.store.sync(len(d.store.log))
					if was != "ro" && was != "keyed" {
						want = "call"
					}
				}
				d.b.Effects["keyed"].Policy = policy
				d.crash()
				got := "nothing"
				for range 2 { // a second crash finds what the first did
					d.settle()
					c := d.submit(new(Caller), keyed("ask", "k", "1"))
					d.settle()
					switch o := d.answers[c].Outcome; {
					case len(d.calls) == 1 && d.calls[0].Probe:
						got = "probe"
					case len(d.calls) == 1:
						got = "call"
					case o != nil && o.Status == message.StatusUnknown:
						got = "unknown"
					case o != nil && o.Status == message.StatusInDoubt:
						got = "doubt"
					}
					if got != want || len(d.calls) > 1 {
						t.Errorf("asked under %s, let go %v, then %s: %s, want %s", was, let, is, got, want)
					}
					want = afterwards[is]
					d.crash()
				}
			}
		}
	}
}

// A call that no record counts may be probed under another policy.
func TestPolicyChangeFromKeyedToProbe(t *testing.T) {
	t.Parallel()
	d := newSingle(t, effectBehavior("keyed"), nil)
	id := d.asked()
	d.b.Effects["keyed"].Policy = Probe
	d.crash()
	d.settle()
	for range 2 { // the first looks too early
		d.called(true)
		d.done(id, true, message.StatusNotDone)
		d.advance(3 * time.Second)
	}
	d.called(false)
	d.done(id, false, message.StatusDone)
	if a := d.ask(keyed("ask", "k", "1")); a.Outcome == nil || a.Outcome.Status != message.StatusDone {
		t.Errorf("%+v", a)
	}
}

// A call that was begun under a policy that keeps records, and then repeated
// under one that does not, is not given up as certainly not done.
func TestPolicyChangeKeepsAMaybe(t *testing.T) {
	t.Parallel()
	for _, is := range []Policy{Keyed, ReadOnly} {
		for _, crashes := range []int{1, 2} {
			d := newSingle(t, effectBehavior("ask"), nil)
			id := d.asked()
			d.b.Effects["ask"].Policy = is
			for range crashes {
				d.crash()
				d.settle()
				d.called(false)
			}
			for range 3 { // as often as is allowed, and once more
				if e := d.m.effects[id]; e != nil && e.status == effectAsked && e.mem.running {
					d.done(id, false, message.StatusNotDone)
					d.advance(2 * time.Second)
					d.calls = nil
				}
			}
			if a := d.ask(keyed("ask", "k", "1")); a.Outcome == nil || a.Outcome.Status != message.StatusInDoubt {
				t.Errorf("policy %s, %d crashes: %+v", is, crashes, a)
			}
		}
	}
}
