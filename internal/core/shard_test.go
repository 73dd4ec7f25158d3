package core

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

var bob = simAgent("t", "bob")

func keyed(action, key string, body string) message.Message {
	return message.Message{To: bob, Action: action, Key: key, Body: []byte(body), Fingerprint: message.Fingerprint{1, byte(len(body))}}
}

// testBehavior has one type of agent that counts, with extra actions.
func testBehavior(extra map[string]func(*Step, *numbers) Result) Behavior {
	typ := &Type{Load: loadNumbers, Actions: map[string]*Action{}}
	add := func(name string, g message.Guarantee, f func(*Step, *numbers) Result) {
		typ.Actions[name] = &Action{Guarantee: g, Run: func(s *Step, st State) Result { return f(s, st.(*numbers)) }}
	}
	count := func(s *Step, n *numbers) Result {
		n.add("n", 1)
		return replied(body{N: int(n.get("n"))})
	}
	add("count", message.ExactlyOnce, count)
	add("quick", message.AtMostOnce, count)
	add("again", message.AtLeastOnce, count)
	add("refuse", message.ExactlyOnce, func(*Step, *numbers) Result { return refused("no", false) })
	add("fail", message.ExactlyOnce, func(*Step, *numbers) Result { return failed(errors.New("broken")) })
	add("hold", message.ExactlyOnce, func(s *Step, n *numbers) Result { s.Hold("token", time.Minute); return replied(body{}) })
	add("release", message.ExactlyOnce, func(s *Step, n *numbers) Result { s.Release(); return replied(body{}) })
	for name, f := range extra {
		add(name, message.ExactlyOnce, f)
	}
	eff := func(p Policy) *Effect { return &Effect{Policy: p, Timeout: time.Second, MaxAttempts: 2} }
	return Behavior{Types: map[string]*Type{"t": typ}, Effects: map[string]*Effect{
		"ask": eff(Ask), "ro": eff(ReadOnly), "keyed": eff(Keyed), "probe": eff(Probe), "amo": eff(AtMostOnce),
	}}
}

func count(t *testing.T, d *single) int {
	t.Helper()
	v := d.store.visible[0].get(message.RowKey{Table: message.TableState, Key: bob.AppendKey(nil)})
	if v == nil {
		return 0
	}
	row, err := readState(message.RowKey{Table: message.TableState, Key: bob.AppendKey(nil)}, v)
	if err != nil {
		t.Fatal(err)
	}
	st, _ := loadNumbers(0, row.data)
	return int(st.(*numbers).get("n"))
}

// FAULTS 16: many calls with one key are one execution and as many answers.
func TestOneKeyManyCallers(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	var callers []*Caller
	for range 100 {
		callers = append(callers, d.submit(new(Caller), keyed("count", "k", "1")))
	}
	d.settle()
	callers = append(callers, d.submit(new(Caller), keyed("count", "k", "1")))
	d.settle()
	for i, c := range callers {
		a, ok := d.answers[c]
		if !ok || a.Outcome == nil || string(a.Outcome.Body) != `{"n":1}` || a.Replayed != (i > 0) {
			t.Fatalf("caller %d: %+v", i, a)
		}
	}
	if n := count(t, d); n != 1 {
		t.Fatalf("executed %d times", n)
	}
}

// FAULTS 17: nothing of a reply leaks to another payload under its key.
func TestConflict(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	c := d.submit(new(Caller), keyed("count", "k", "1"))
	other := d.submit(new(Caller), keyed("count", "k", "22"))
	d.settle()
	if d.answers[c].Outcome == nil || d.answers[other].Fault == nil || d.answers[other].Fault.Code != message.CodeConflict {
		t.Fatalf("%+v, %+v", d.answers[c], d.answers[other])
	}
}

// An answer leaves when its unit is durable, and an at-most-once one before.
func TestAnswerWaitsForDurability(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	d.settle()
	c := d.submit(new(Caller), keyed("count", "k", "1"))
	q := d.submit(new(Caller), keyed("quick", "q", "1"))
	d.commit()
	d.work()
	if _, early := d.answers[c]; early {
		t.Error("answered before it is durable")
	}
	if _, early := d.answers[q]; !early {
		t.Error("an at-most-once answer waits for durability")
	}
	dup := d.submit(new(Caller), keyed("quick", "q", "1"))
	d.work()
	if _, early := d.answers[dup]; early {
		t.Error("a replay left before it is durable")
	}
	d.crash()
	d.settle()
	if n := count(t, d); n != 0 {
		t.Errorf("%d steps survived a crash that nothing was synced before", n)
	}
}

// An answer must not wait for a unit that never comes.
func TestAnswersOnAnIdleShard(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	d.settle()
	a := d.ask(message.Message{ID: message.ID{1}, To: bob, Action: "refuse"})
	if a.Outcome == nil || a.Outcome.Status != message.StatusRejected {
		t.Errorf("%+v", a)
	}
	for i, ask := range []func(*Caller){
		func(c *Caller) { d.m.Resolve(d.now, c, message.ID{9}, Resolution{Status: message.StatusDone}) },
		func(c *Caller) { d.m.RetryDead(d.now, c, message.ID{9}) },
		func(c *Caller) { d.m.DiscardDead(d.now, c, message.ID{9}) },
		func(c *Caller) { d.m.Remove(d.now, c, bob) },
		func(c *Caller) {
			d.m.Query(d.now, c, bob, func(State, uint64, bool) Answer { return Answer{Outcome: &message.Outcome{}} })
		},
	} {
		c := new(Caller)
		ask(c)
		d.settle()
		if _, ok := d.answers[c]; !ok {
			t.Errorf("request %d is never answered", i)
		}
	}
}

// At least once: no key, no record; a duplicate runs again.
func TestAtLeastOnce(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	for i := range 2 {
		if a := d.ask(message.Message{ID: message.ID{byte(i + 1)}, To: bob, Action: "again"}); a.Outcome == nil {
			t.Fatalf("%+v", a)
		}
	}
	if n := count(t, d); n != 2 || d.rows(message.TableDedup) != 0 {
		t.Errorf("%d executions, %d dedup rows", n, d.rows(message.TableDedup))
	}
}

// Who cancels among others may not conclude that it was not done.
func TestCancel(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	d.keep = true
	a := d.submit(new(Caller), keyed("count", "k", "1"))
	b := d.submit(new(Caller), keyed("count", "k", "1"))
	d.m.Cancel(d.now, a)
	d.keep = false
	d.work()
	for _, l := range d.loads {
		d.load(l)
	}
	d.settle()
	if f := d.answers[a].Fault; f == nil || f.Code.Kind() != message.Unknown {
		t.Errorf("cancelled among others: %v", f)
	}
	if d.answers[b].Outcome == nil {
		t.Errorf("the other: %+v", d.answers[b])
	}
	d.ask(keyed("hold", "h", "1"))
	alone := d.submit(new(Caller), keyed("count", "k2", "1"))
	d.settle()
	d.m.Cancel(d.now, alone)
	d.m.Cancel(d.now, alone) // answered: nothing happens
	d.settle()
	if f := d.answers[alone].Fault; f == nil || f.Code != message.CodeCanceled {
		t.Errorf("cancelled alone: %v", f)
	}
	m := keyed("release", "r", "1")
	m.Token = "token"
	d.ask(m)
	if n := count(t, d); n != 1 || len(d.m.active) != 0 {
		t.Errorf("%d executions, %d active", n, len(d.m.active))
	}
}

// Who wants no more than acceptance has it at once, though others with the
// same key wait for an agent that is held.
func TestAcceptJoinsAWaitingCall(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	d.ask(keyed("hold", "h", "1"))
	c := d.submit(new(Caller), keyed("count", "k", "1"))
	d.settle()
	accept := d.submit(&Caller{Accept: true}, keyed("count", "k", "1"))
	d.settle()
	if o := d.answers[accept].Outcome; o == nil || o.Status != message.StatusInFlight {
		t.Errorf("%+v", d.answers[accept])
	}
	d.now += message.Time(2 * time.Minute)
	d.settle()
	if o := d.answers[c].Outcome; o == nil || o.Status != message.StatusDone || count(t, d) != 1 {
		t.Errorf("%+v", d.answers[c])
	}
}

// A mailbox that outgrows memory is drained in order and completely.
func TestMailboxOverflow(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{false, true} {
		last := 0
		d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
			"next": func(s *Step, n *numbers) Result {
				if got := bodyOf(s.Message().Body).N; got != int(n.get("n")) {
					t.Errorf("message %d after %d", got, n.get("n"))
				}
				n.add("n", 1)
				last++
				return replied(body{})
			},
		}), nil)
		d.ask(keyed("hold", "h", "1"))
		var callers []*Caller
		for i := range 300 {
			m := keyed("next", fmt.Sprintf("k%d", i), "")
			m.Body = body{N: i}.bytes()
			callers = append(callers, d.submit(&Caller{Accept: true}, m))
		}
		d.settle()
		for _, c := range callers {
			if o := d.answers[c].Outcome; o == nil || o.Status != message.StatusInFlight {
				t.Fatalf("%+v", d.answers[c])
			}
		}
		if crash {
			d.crash()
			d.settle()
		}
		d.now += message.Time(2 * time.Minute)
		d.settle()
		if n := count(t, d); n != 300 || d.rows(message.TableMailbox) != 0 || d.rows(message.TableControl) != 0 || d.rows(message.TableOpen) != 0 {
			t.Errorf("%d of 300 consumed; %d parked, %d controls, %d open rows", n, d.rows(message.TableMailbox), d.rows(message.TableControl), d.rows(message.TableOpen))
		}
	}
}

// FAULTS 53: an accepted message that fails is tried again and dies; a retry
// or a discard by an operator brings it to an end, and leaves no row.
func TestRetriesAndDeadLetters(t *testing.T) {
	t.Parallel()
	for _, discard := range []bool{false, true} {
		broken := true
		d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
			"work": func(s *Step, n *numbers) Result {
				n.add("n", 1)
				if broken {
					panic("broken")
				}
				return replied(body{})
			},
			"send": func(s *Step, n *numbers) Result {
				s.Send(Outgoing{To: simAgent("t", "carol"), Action: "work", Then: "sent"})
				return Result{Verdict: Deferred}
			},
			"sent": func(s *Step, n *numbers) Result {
				if s.Message().Answer.Status == message.StatusDone {
					return replied(body{})
				}
				return refused(s.Message().Answer.Code, true)
			},
		}), nil)
		c := d.submit(new(Caller), keyed("send", "s", "1"))
		for range 20 {
			d.settle()
			d.now += message.Time(time.Second)
		}
		if d.rows(message.TableDead) != 1 {
			t.Fatalf("%d dead letters", d.rows(message.TableDead))
		}
		var id message.ID
		for k := range d.store.visible[0].tables[message.TableDead] {
			id = message.ID([]byte(k))
		}
		op := new(Caller)
		if discard {
			d.m.DiscardDead(d.now, op, id)
		} else {
			d.m.RetryDead(d.now, op, id)
			d.settle() // fails once more, and waits
			broken = false
		}
		for range 20 {
			d.settle()
			d.now += message.Time(time.Second)
		}
		o := d.answers[c].Outcome
		if o == nil || discard != (o.Code == "discarded") {
			t.Errorf("discard %v: %+v", discard, d.answers[c])
		}
		for _, table := range []message.Table{message.TableDead, message.TableOpen, message.TableControl, message.TableMailbox} {
			if d.rows(table) != 0 {
				t.Errorf("discard %v: %d rows left in table %d", discard, d.rows(table), table)
			}
		}
	}
}

// FAULTS 34, 35: a generation goes a window after it ended; what its keys' own
// time places before is refused, and keys without time run again.
func TestGenerations(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), func(c *Config) { c.WindowKeys = 1 })
	v7 := func(at message.Time) string {
		ms := uint64(at) / 1e6
		return fmt.Sprintf("%08x-%04x-7000-8000-000000000001", ms>>16, ms&0xffff)
	}
	timed, plain := keyed("count", v7(d.now), "1"), keyed("count", "plain", "1")
	d.ask(timed)
	d.ask(plain)
	start := d.now
	for d.now < start+message.Time(59*time.Minute) {
		d.now += message.Time(3 * time.Minute)
		d.settle()
		if a := d.ask(timed); a.Outcome == nil || !a.Replayed {
			t.Fatalf("after %d s: %+v", int64(d.now-start)/1e9, a)
		}
	}
	for d.now < start+message.Time(80*time.Minute) {
		d.now += message.Time(3 * time.Minute)
		d.settle()
	}
	if a := d.ask(timed); a.Fault == nil || a.Fault.Code != message.CodeKeyExpired {
		t.Errorf("expired: %+v", a)
	}
	if a := d.ask(plain); a.Outcome == nil || a.Replayed {
		t.Errorf("a key without time, past its window: %+v", a)
	}
	if a := d.ask(keyed("count", v7(d.now+message.Time(2*time.Minute)), "1")); a.Fault == nil || a.Fault.Code != message.CodeKeyInFuture {
		t.Errorf("in the future: %+v", a)
	}
	if len(d.retired) == 0 || len(d.m.retention.generations) > generationsPerWindow+2 {
		t.Errorf("%d generations, retired %v", len(d.m.retention.generations), d.retired)
	}
}

// FAULTS 30: after a leap of the clock nothing is forgotten, and a clock that
// goes back makes nothing run twice, not even for a client whose clock leads.
func TestClockLeaps(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	d.ask(keyed("count", "plain", "1"))
	d.now += message.Time(48 * time.Hour)
	d.open(false)
	d.settle()
	if !d.m.RetentionPaused() {
		t.Error("retention goes on after a leap")
	}
	if a := d.ask(keyed("count", "plain", "1")); !a.Replayed {
		t.Error("a leap made it run twice")
	}
	ms := uint64(d.now+message.Time(30*time.Second)) / 1e6
	lead := keyed("count", fmt.Sprintf("%08x-%04x-7000-8000-000000000001", ms>>16, ms&0xffff), "1")
	d.ask(lead)
	for _, back := range []time.Duration{time.Millisecond, time.Second, 29 * time.Second, 48 * time.Hour} {
		d.now -= message.Time(back)
		d.open(false)
		if a := d.ask(lead); a.Outcome == nil || !a.Replayed {
			t.Errorf("back %v: %+v", back, a)
		}
	}
}

// A timer whose message waits for a read does not fire once it was replaced,
// and one that is due at once is found although no read can see its unit yet.
func TestTimers(t *testing.T) {
	t.Parallel()
	var fired []int
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"set": func(s *Step, n *numbers) Result {
			b := bodyOf(s.Message().Body)
			s.SetTimer("x", time.Duration(b.MS)*time.Millisecond, "fired", s.Message().Body)
			return replied(body{})
		},
		"fired": func(s *Step, n *numbers) Result {
			fired = append(fired, bodyOf(s.Message().Body).N)
			return replied(body{})
		},
	}), nil)
	set := func(ms, n int) {
		m := keyed("set", fmt.Sprint("k", n), "")
		m.Body = body{MS: ms, N: n}.bytes()
		d.submit(new(Caller), m)
	}
	set(0, 1)
	d.work()
	d.m.Tick(d.now) // before the unit is sealed
	d.settle()
	if len(fired) != 1 {
		t.Fatalf("fired %v", fired)
	}
	set(5, 2)
	d.settle()
	d.now += 5e6
	d.keep = true
	d.m.Tick(d.now)
	d.work()
	set(5, 3)
	d.work()
	d.keep = false
	for len(d.loads) > 0 { // the newest read first
		l := d.loads[len(d.loads)-1]
		d.loads = d.loads[:len(d.loads)-1]
		d.load(l)
	}
	d.settle()
	d.now += 5e6
	d.settle()
	if fmt.Sprint(fired) != "[1 2 3]" && fmt.Sprint(fired) != "[1 3]" {
		t.Errorf("fired %v", fired)
	}
	if d.rows(message.TableTimer)+d.rows(message.TableDue) != 0 {
		t.Errorf("%d timers, %d due rows left", d.rows(message.TableTimer), d.rows(message.TableDue))
	}
}

// effectBehavior asks one effect and defers.
func effectBehavior(name string) Behavior {
	return testBehavior(map[string]func(*Step, *numbers) Result{
		"ask": func(s *Step, n *numbers) Result {
			s.Ask(Call{Effect: name, Then: "told"})
			return Result{Verdict: Deferred}
		},
		"told": func(s *Step, n *numbers) Result {
			n.add("n", 1)
			switch a := s.Message().Answer; a.Status {
			case message.StatusDone:
				return Result{Verdict: Replied, Body: s.Message().Body}
			case message.StatusUnknown:
				return Result{Verdict: Lost, Code: a.Code}
			default:
				return refused(a.Code, true)
			}
		},
	})
}

// FAULTS 3: what a crash between a call and its record leads to, by policy.
func TestEffectCrashByPolicy(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"ask": "doubt", "ro": "call", "keyed": "call", "probe": "probe", "amo": "unknown"} {
		d := newSingle(t, effectBehavior(name), nil)
		d.submit(new(Caller), keyed("ask", "k", "1"))
		d.settle()
		if len(d.calls) != 1 || d.calls[0].Probe || d.calls[0].After > d.m.Durable() {
			t.Fatalf("%s: %+v", name, d.calls)
		}
		first := d.calls[0]
		d.crash()
		d.settle()
		got := "nothing"
		c := d.submit(new(Caller), keyed("ask", "k", "1"))
		d.settle()
		switch {
		case len(d.calls) == 1 && d.calls[0].Probe:
			got = "probe"
		case len(d.calls) == 1 && d.calls[0].ID == first.ID:
			got = "call"
		case d.answers[c].Outcome != nil && d.answers[c].Outcome.Status == message.StatusUnknown:
			got = "unknown"
		case d.answers[c].Outcome != nil && d.answers[c].Outcome.Status == message.StatusInDoubt:
			got = "doubt"
		}
		if got != want || len(d.calls) > 1 {
			t.Errorf("%s: %s, want %s (%+v)", name, got, want, d.calls)
		}
	}
}

// DESIGN 2, FAULTS 3a: "not done" counts when no former call can arrive.
func TestSettleTime(t *testing.T) {
	t.Parallel()
	for _, lease := range []time.Duration{0, time.Second} { // none, where a lock proves the former owner dead
		d := newSingle(t, effectBehavior("probe"), func(c *Config) { c.Lease = lease })
		d.submit(new(Caller), keyed("ask", "k", "1"))
		d.settle()
		d.now += message.Time(30 * time.Second) // the clock says nothing about a call let go just before
		d.crash()
		d.settle()
		probe := d.calls[0]
		d.calls = nil
		d.m.EffectDone(d.now, EffectResult{ID: probe.ID, Probe: true, Attempt: 1, Status: message.StatusNotDone})
		d.advance(10 * time.Millisecond) // a backoff
		if len(d.calls) != 0 && !d.calls[0].Probe {
			t.Errorf("lease %v: called again while the former call may be on its way: %+v", lease, d.calls)
		}
	}
}

// A person's word survives a crash: the first settlement wins.
func TestResolutionSurvivesCrash(t *testing.T) {
	t.Parallel()
	d := newSingle(t, effectBehavior("ask"), nil)
	d.submit(new(Caller), keyed("ask", "k", "1"))
	d.settle()
	id := d.calls[0].ID
	d.crash()
	d.settle()
	d.crash() // the agent is not in memory now
	d.keep = true
	c := new(Caller)
	d.m.Resolve(d.now, c, id, Resolution{Status: message.StatusDone, Body: []byte(`{"n":7}`)})
	d.commit()
	d.sync()
	if o := d.answers[c].Outcome; o == nil || o.Status != message.StatusDone {
		t.Fatalf("%+v", d.answers[c])
	}
	d.keep = false
	d.crash()
	c = new(Caller)
	d.m.Resolve(d.now, c, id, Resolution{Status: message.StatusRejected}) // the agent has not heard yet
	d.settle()
	if f := d.answers[c].Fault; f == nil || f.Code != message.CodeAlreadyResolved {
		t.Errorf("%+v", d.answers[c])
	}
	if a := d.ask(keyed("ask", "k", "1")); a.Outcome == nil || string(a.Outcome.Body) != `{"n":7}` {
		t.Errorf("%+v", a)
	}
	c = new(Caller)
	d.m.Resolve(d.now, c, id, Resolution{Status: message.StatusRejected})
	d.settle()
	if f := d.answers[c].Fault; f == nil || f.Code != message.CodeAlreadyResolved {
		t.Errorf("%+v", d.answers[c])
	}
}

// A keyed call that was certainly not done says nothing about one before it.
func TestKeyedDoesNotGiveUpOnAMaybe(t *testing.T) {
	t.Parallel()
	d := newSingle(t, effectBehavior("keyed"), nil)
	d.submit(new(Caller), keyed("ask", "k", "1"))
	d.settle()
	id := d.calls[0].ID
	d.m.EffectDone(d.now, EffectResult{ID: id, Attempt: 1, Status: message.StatusUnknown})
	for range 5 {
		d.settle()
		d.now += message.Time(time.Second)
	}
	d.m.EffectDone(d.now, EffectResult{ID: id, Attempt: 2, Status: message.StatusNotDone})
	d.settle()
	if a := d.ask(keyed("ask", "k", "1")); a.Outcome == nil || a.Outcome.Status != message.StatusInDoubt {
		t.Errorf("%+v", a)
	}
}

// An agent that is forgotten while one of its messages waits for a read is not
// remembered by its old state.
func TestEvictionDoesNotReviveOldState(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), func(c *Config) { c.CacheBytes, c.WindowKeys = 1, 1 })
	d.ask(keyed("count", "a", "1"))
	d.ask(keyed("count", "b", "1"))
	d.keep = true
	waits := d.submit(new(Caller), keyed("count", "c", "1"))
	d.work()
	slow := d.loads
	d.loads, d.keep = nil, false
	m := keyed("count", "d", "1")
	m.To = simAgent("t", "other")
	d.submit(new(Caller), m)
	d.settle() // evicts bob
	d.ask(message.Message{ID: message.ID{5}, To: bob, Action: "again"})
	for _, l := range slow {
		d.load(l)
	}
	d.settle()
	if o := d.answers[waits].Outcome; o == nil || count(t, d) != 4 {
		t.Errorf("%d executions of 4 count; %+v", count(t, d), d.answers[waits])
	}
}

// A consumed outbox is given back for removal, durably consumed only.
func TestPurgeConsumed(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"burst": func(s *Step, n *numbers) Result {
			for range 1000 {
				s.Send(Outgoing{To: simAgent("t", "sink"), Action: "count"})
			}
			return replied(body{})
		},
	}), nil)
	for i := range 5 {
		d.ask(keyed("burst", fmt.Sprint(i), "1"))
	}
	if n := d.rows(message.TableOutbox); n > 5000-purgeEvery {
		t.Errorf("%d of 5000 messages are left in the outbox", n)
	}
}

// No unit exceeds what the store takes, whatever one event lets loose.
func TestUnitsFitTheStore(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"big": func(s *Step, n *numbers) Result {
			n.add("n", 1)
			return Result{Verdict: Replied, Body: make([]byte, 10<<10)}
		},
	}), func(c *Config) { c.MaxUnitBytes = limit })
	d.ask(keyed("hold", "h", "1"))
	for i := range 60 {
		d.submit(&Caller{Accept: i%2 == 0}, keyed("big", fmt.Sprint(i), "1"))
	}
	d.settle()
	d.now += message.Time(2 * time.Minute)
	d.m.Tick(d.now)
	for range 1000 {
		d.work()
		if u := d.m.Seal(); u == nil {
			break
		} else if u.Bytes() > limit {
			t.Fatalf("a unit of %d bytes", u.Bytes())
		} else if err := d.store.commit(copyUnit(0, u)); err != nil {
			t.Fatal(err)
		}
	}
	d.settle()
	if n := count(t, d); n != 60 {
		t.Errorf("%d of 60 ran", n)
	}
}

// A read that is answered late does not hide what was written meanwhile, even
// if that is durable by then (invariant 5).
func TestLateReadOfASettledKey(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	d.ask(keyed("hold", "h", "1"))
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
	d.now += message.Time(2 * time.Minute)
	d.settle()
	if n := count(t, d); n != 1 || d.rows(message.TableOpen) != 0 {
		t.Fatalf("%d executions, %d open rows", n, d.rows(message.TableOpen))
	}
	if err := d.m.Loaded(d.now, slow, values); err != nil {
		t.Fatal(err)
	}
	d.settle()
	if o := d.answers[dup].Outcome; o == nil || o.Status != message.StatusDone || count(t, d) != 1 {
		t.Errorf("%+v", d.answers[dup])
	}
}
