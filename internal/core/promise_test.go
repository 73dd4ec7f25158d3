package core

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// FAULTS 17: the refusal of another payload says nothing of what was replied.
func TestConflictSaysNothing(t *testing.T) {
	t.Parallel()
	const secret = `"4711-secret"`
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"tell":   func(*Step, *numbers) Result { return Result{Verdict: Replied, Body: []byte(secret)} },
		"refuse": func(*Step, *numbers) Result { return Result{Verdict: Refused, Code: "4711-secret", Detail: secret} },
	}), nil)
	for _, action := range []string{"tell", "refuse"} {
		if a := d.ask(keyed(action, action, "1")); a.Outcome == nil {
			t.Fatalf("%+v", a)
		}
		a := d.ask(keyed(action, action, "22"))
		if a.Fault == nil || a.Fault.Code != message.CodeConflict || a.Outcome != nil || a.Value != nil {
			t.Fatalf("%s, and another payload: %+v", action, a)
		}
		if strings.Contains(fmt.Sprintf("%+v", *a.Fault), "4711") {
			t.Errorf("%s: the refusal reveals the outcome: %+v", action, a.Fault)
		}
	}
}

// FAULTS 8, 35: whenever in a generation an outcome was settled, it is replayed
// for the whole of the retention, also from a store that was opened again.
func TestEveryOutcomeIsKeptForTheRetention(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), func(c *Config) { c.WindowKeys = 1 })
	key := func(minute int) message.Message { return keyed("count", fmt.Sprint("k", minute), "1") }
	const kept = 59 // of the 60 minutes
	for minute := range 3 * kept {
		d.now += message.Time(time.Minute)
		d.settle()
		if minute%20 == 19 {
			d.open(false)
		}
		if a := d.ask(key(minute)); a.Outcome == nil || a.Replayed {
			t.Fatalf("minute %d, a new key: %+v", minute, a)
		}
		if minute < kept {
			continue
		}
		if a := d.ask(key(minute - kept)); a.Outcome == nil || !a.Replayed {
			t.Fatalf("minute %d: the outcome of minute %d is forgotten: %+v", minute, minute-kept, a)
		}
	}
	if len(d.retired) < 10 {
		t.Errorf("only %d generations were dropped", len(d.retired))
	}
}

// FAULTS 54: a suspect runs when it is durable that it was begun, not when a
// unit before that is. Else a message that kills would leave no trace of it.
func TestTrialWaitsForItsRecord(t *testing.T) {
	t.Parallel()
	ran := false
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"send": func(s *Step, _ *numbers) Result {
			s.Send(Outgoing{To: bob, Action: "suspect"})
			return replied(body{})
		},
		"suspect": func(*Step, *numbers) Result { ran = true; return replied(body{}) },
	}), nil)
	m := keyed("send", "s", "1")
	m.To = simAgent("t", "alice")
	d.submit(new(Caller), m)
	d.commit()
	d.store.sync(len(d.store.log)) // sent, and not taken
	d.open(true)
	// A unit is on its way when the suspect's turn comes.
	d.submit(new(Caller), keyed("count", "k", "1"))
	d.work()
	if !d.m.OnTrial() {
		t.Fatal("no suspect")
	}
	for d.commit() && !ran {
		sealed := d.m.Sealed()
		for seq := d.m.Durable() + 1; seq <= sealed; seq++ {
			begun := d.m.trial.begun
			d.m.Committed(seq - 1) // what was before it
			d.work()
			if ran && seq <= begun {
				t.Fatalf("the suspect ran when unit %d was durable, and its record is in unit %d", seq-1, begun)
			}
		}
		d.sync()
	}
	if !ran {
		t.Error("the suspect did not run")
	}
}

// FAULTS 4: what a rejected step sends, asks for and plans is discarded, and
// the outcome alone is recorded.
func TestRejectedStepLeavesNothing(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"refuse": func(s *Step, n *numbers) Result {
			s.Send(Outgoing{To: bob, Action: "count"})
			s.SetTimer("later", time.Millisecond, "count", nil)
			s.Ask(Call{Effect: "ask", Then: "count"})
			s.Hold("token", time.Hour)
			return Result{Verdict: Refused, Code: "no"}
		},
	}), nil)
	a := d.ask(keyed("refuse", "r", "1"))
	if a.Outcome == nil || a.Outcome.Status != message.StatusRejected {
		t.Fatalf("%+v", a)
	}
	d.now += message.Time(time.Second)
	d.settle()
	for _, table := range []message.Table{message.TableOutbox, message.TableTimer, message.TableDue, message.TableEffect, message.TableControl} {
		if n := d.rows(table); n != 0 {
			t.Errorf("a rejected step leaves %d rows in table %d", n, table)
		}
	}
	if n := count(t, d); n != 0 || len(d.calls) != 0 {
		t.Errorf("what a rejected step asked for happened: %d steps, %d calls", n, len(d.calls))
	}
}

// FAULTS 3: two effects of one step have two keys, or the outside world would
// take the second for a repetition of the first.
func TestEffectsOfOneStepHaveKeysOfTheirOwn(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"two": func(s *Step, _ *numbers) Result {
			s.Ask(Call{Effect: "ask", Body: []byte("1")})
			s.Send(Outgoing{To: bob, Action: "count"})
			s.Ask(Call{Effect: "ask", Body: []byte("2")})
			return replied(body{})
		},
	}), nil)
	if a := d.ask(keyed("two", "k", "1")); a.Outcome == nil {
		t.Fatalf("%+v", a)
	}
	d.settle()
	if len(d.calls) != 2 || d.calls[0].ID == d.calls[1].ID || string(d.calls[0].Body) == string(d.calls[1].Body) {
		t.Errorf("the calls are %+v", d.calls)
	}
}

// FAULTS 8, 34: a generation is given up when the horizon that covers it is
// durable, and not before: a crash in between would find its keys not expired,
// and their outcomes gone.
func TestDropWaitsForTheHorizon(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	d.ask(keyed("count", "k", "1"))
	dropped := func() (below message.Generation) {
		for _, r := range d.retired {
			below = max(below, r.Below)
		}
		return below
	}
	turns := 0
	for turns < 5 {
		before, first := dropped(), d.m.retention.generations[0].number
		d.now += message.Time(4 * time.Minute)
		d.m.Tick(d.now)
		d.commit()
		if d.m.retention.generations[0].number == first {
			d.settle()
			continue
		}
		turns++
		if got := dropped(); got != before {
			t.Fatalf("generations below %d are given up, and the horizon is not durable", got)
		}
		d.settle()
		if got, want := dropped(), d.m.retention.generations[0].number; got != want {
			t.Errorf("with the horizon durable, generations below %d are given up, not below %d", got, want)
		}
	}
}

// FAULTS 8, 32: no key is refused as expired before the horizon that forgot it
// is durable. An owner that was fenced would refuse keys that the new one
// keeps, and after a crash a key that was refused would not be expired.
func TestExpiryWaitsForTheHorizon(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	timed := keyed("count", timedKey(d.now), "1")
	d.ask(keyed("count", "plain", "1"))
	for d.m.retention.generations[0].number == 1 {
		d.settle()
		d.now += message.Time(4 * time.Minute)
		d.m.Tick(d.now)
	}
	clear(d.answers)
	called, looked, plain := new(Caller), new(Caller), new(Caller)
	d.submit(called, timed)
	d.m.Lookup(d.now, looked, timed.To, timed.Principal, timed.Key)
	d.m.Lookup(d.now, plain, timed.To, timed.Principal, "plain")
	d.work()
	if len(d.answers) > 0 {
		t.Fatalf("answered, and the horizon is not durable: %+v", d.answers)
	}
	d.settle()
	for c, want := range map[*Caller]message.Code{called: message.CodeKeyExpired, looked: message.CodeKeyExpired, plain: message.CodeUnknownKey} {
		if f := d.answers[c].Fault; f == nil || f.Code != want {
			t.Errorf("answered %+v, want %s", d.answers[c], want)
		}
	}
}

// FAULTS 30: after a leap of the clock across a restart nothing is forgotten,
// however long the session goes on, until a person says that the clock is right.
func TestNothingIsForgottenWhilePaused(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), func(c *Config) { c.WindowKeys = 1 })
	d.ask(keyed("count", "old", "1"))
	d.now += message.Time(48 * time.Hour)
	d.open(false)
	if !d.m.RetentionPaused() {
		t.Fatal("retention goes on after a leap")
	}
	old := d.m.retention.generations[0].number
	for range 3 * 12 {
		d.now += message.Time(5 * time.Minute)
		d.settle()
	}
	if a := d.ask(keyed("count", "old", "1")); a.Outcome == nil || !a.Replayed {
		t.Errorf("three hours after the leap: %+v", a)
	}
	if d.m.retention.generations[0].number != old || len(d.retired) != 0 {
		t.Errorf("generations were given up after a leap: %+v", d.retired)
	}
	d.m.ResumeRetention(d.now)
	d.settle()
	for range 3 {
		d.now += message.Time(10 * time.Minute)
		d.settle()
	}
	if a := d.ask(keyed("count", "old", "1")); a.Outcome == nil || a.Replayed || len(d.retired) == 0 {
		t.Errorf("retention does not go on when it is resumed: %+v, %+v", a, d.retired)
	}
}

// FAULTS 30: no session begins before a time that the one before it had seen,
// although the time is not written with every unit.
func TestTimeNeverGoesBack(t *testing.T) {
	t.Parallel()
	var seen []message.Time
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"see": func(s *Step, _ *numbers) Result { seen = append(seen, s.Now()); return replied(body{}) },
	}), nil)
	for i := range 200 {
		d.ask(keyed("see", fmt.Sprint(i), "1"))
		d.now += message.Time(i) * 1e6
		if i%10 != 9 {
			continue
		}
		forward := d.now
		d.now -= message.Time(time.Hour)
		d.open(i%20 == 19)
		d.ask(keyed("see", fmt.Sprint("back", i), "1"))
		d.now = forward
	}
	for i := 1; i < len(seen); i++ {
		if seen[i] < seen[i-1] {
			t.Fatalf("step %d of %d was %v before the one before it", i, len(seen), time.Duration(seen[i-1]-seen[i]))
		}
	}
}

// FAULTS 57: pauses between attempts are spread over the whole of a span that
// doubles up to its bound, so that what failed together does not come together
// again.
func TestBackoffHasFullJitter(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), func(c *Config) { c.BackoffBase, c.BackoffMax = 10*time.Millisecond, 100*time.Millisecond })
	for attempts, span := range map[int]time.Duration{
		0: 10 * time.Millisecond, 1: 10 * time.Millisecond, 2: 20 * time.Millisecond, 3: 40 * time.Millisecond,
		5: 100 * time.Millisecond, 1000: 100 * time.Millisecond,
	} {
		const messages = 4000
		var parts [8]int
		for i := range uint32(messages) {
			wait := d.m.backoff(message.ID{}.Child(i), attempts)
			if wait <= 0 || wait > span {
				t.Fatalf("attempt %d waits %v, of at most %v", attempts, wait, span)
			}
			parts[(int64(wait)-1)*int64(len(parts))/int64(span)]++
		}
		for i, n := range parts {
			if even := messages / len(parts); n < even*3/4 || n > even*5/4 {
				t.Errorf("attempt %d: part %d of the span has %d of %d pauses", attempts, i, n, messages)
			}
		}
	}
}

// FAULTS 3a: a person's first word about a doubt stands.
func TestFirstWordStands(t *testing.T) {
	t.Parallel()
	d := newSingle(t, effectBehavior("ask"), nil)
	d.submit(new(Caller), keyed("ask", "k", "1"))
	d.settle()
	id := d.calls[0].ID
	d.m.EffectDone(d.now, EffectResult{ID: id, Attempt: 1, Status: message.StatusUnknown})
	d.advance(3 * time.Second) // a former call cannot arrive any more
	d.calls = nil
	say := func(who string, r Resolution) Answer {
		c := new(Caller)
		r.By, r.Seen = who, d.m.Look(d.now)
		d.m.Resolve(d.now, c, id, r)
		d.settle()
		return d.answers[c]
	}
	if a := say("anna", Resolution{Status: message.StatusNotDone}); a.Outcome == nil || a.Replayed {
		t.Fatalf("the first word: %+v", a)
	}
	if a := say("ben", Resolution{Status: message.StatusDone, Body: []byte("1")}); a.Fault == nil || a.Fault.Code != message.CodeAlreadyResolved {
		t.Errorf("another word: %+v", a)
	}
	if a := say("ben", Resolution{Status: message.StatusNotDone}); a.Outcome == nil || !a.Replayed || a.Value != "anna" {
		t.Errorf("the same word again: %+v", a)
	}
	if len(d.calls) != 1 || d.calls[0].ID != id || d.calls[0].Attempt != 2 {
		t.Errorf("what was not done is not called again, once, under its key: %+v", d.calls)
	}
}
