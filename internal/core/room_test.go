package core

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// sealAndCheck seals the open unit, and checks that it has no more than was
// counted before, and that this fits the store (invariant 9).
func sealAndCheck(m *Shard) (*message.Unit, error) {
	counted := m.open.bytes
	u := m.Seal()
	switch {
	case u == nil:
		return nil, nil
	case u.Bytes() > counted:
		return u, fmt.Errorf("a unit of %d bytes, of which %d were counted", u.Bytes(), counted)
	case counted > m.cfg.MaxUnitBytes:
		return u, fmt.Errorf("a unit of %d bytes, %d counted; at most %d are allowed", u.Bytes(), counted, m.cfg.MaxUnitBytes)
	}
	return u, nil
}

// drainUnits commits unit after unit, as a driver does, until nothing is left
// that needs no tick. It returns how many there were.
func (d *single) drainUnits() int {
	d.t.Helper()
	for n := range 10_000 {
		d.work()
		u, err := sealAndCheck(d.m)
		if err != nil {
			d.t.Fatal(err)
		}
		if u == nil {
			return n
		}
		if err := d.store.commit(copyUnit(0, u)); err != nil {
			d.t.Fatal(err)
		}
		for range d.m.TakeWakes() {
			d.m.Hint(0)
		}
		d.sync()
	}
	d.t.Fatal("there is no end of units")
	return 0
}

const smallUnit = 64 << 10

func smallUnits(c *Config) { c.MaxUnitBytes = smallUnit }

// The sizes are those of the encodings.
func TestSizes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	str := func() string { return strings.Repeat("x", pick(r, 0, 0, 1, 5, 127, 128, 300, 1<<14)) }
	num := func() uint64 { return r.Uint64() >> r.IntN(64) * uint64(r.IntN(2)) }
	agent := func() message.Agent { return message.Agent{Tenant: str(), Type: str(), ID: str()} }
	link := func() message.Link { return message.Link{Context: []byte(str()), Origin: []byte(str())} }
	for range 2000 {
		m := &message.Message{
			To: agent(), Action: str(), Principal: str(), Body: []byte(str()), Key: str(), Source: str(),
			Position: num(), Token: str(), Sent: message.Time(num() >> 1),
		}
		if r.IntN(2) == 0 {
			m.ReplyTo = &message.ReplyTo{Agent: agent(), Action: str(), Link: link()}
		}
		if r.IntN(2) == 0 {
			m.Answer = &message.Answer{Status: message.Status(r.IntN(7)), Code: str(), Detail: str(), Link: link()}
		}
		if got, want := sizeMessage(m), len(putMessage(nil, m)); got != want {
			t.Fatalf("a message of %d bytes is taken for %d", want, got)
		}
		timer := timerRow{due: message.Time(num() >> 1), msg: m}
		if got, want := sizeTimer(timer), len(appendTimer(nil, nil, timer)); got != want {
			t.Fatalf("a timer of %d bytes is taken for %d", want, got)
		}
		e := &effectRecord{name: str(), agent: agent(), principal: str(), body: []byte(str()), then: str(), link: link(),
			status: effectDoubt, attempts: r.Int(), asked: message.Time(num()), started: message.Time(num()), timeout: time.Duration(r.Int64()), epoch: message.Epoch(num()),
			reason: truncate(str()), resolved: true}
		if got, want := sizeEffect(e), len(appendEffect(nil, nil, e)); got < want || got > want+effectGrows {
			t.Fatalf("an effect of %d bytes is taken for %d", want, got)
		}
		c := &controlRow{token: str(), until: message.Time(num()), head: num(), tail: num()}
		for range r.IntN(3) {
			c.retries = append(c.retries, &retry{msg: m, attempts: r.Int(), until: message.Time(num()), reason: str()})
		}
		if got, want := controlBytes+len(c.token)+sizeRetries(c.retries), len(appendControl(nil, nil, c)); got < want || got > want+200 {
			t.Fatalf("a control row of %d bytes is taken for %d", want, got)
		}
		o := &message.Outcome{Status: 7, Action: str(), Fingerprint: message.Fingerprint{1}, Body: []byte(str()), Code: str(), Detail: str(),
			FirstSeen: message.Time(num()), Settled: message.Time(num()), Attempts: r.Int(), Doubt: message.ID{1}, ReplyTo: m.ReplyTo}
		got := outcomeBytes + len(o.Action) + len(o.Body) + len(o.Code) + len(o.Detail)
		if o.ReplyTo != nil {
			got += sizeReplyTo(o.ReplyTo)
		}
		if want := len(appendOutcome(nil, nil, o)); got < want {
			t.Fatalf("an outcome of %d bytes is taken for %d", want, got)
		}
		data := []byte(str())
		if want := len(appendState(nil, nil, stateRow{version: num(), schema: uint32(num()), data: data})); stateBytes+len(data) < want {
			t.Fatalf("a state of %d bytes is taken for %d", want, stateBytes+len(data))
		}
	}
	k := message.RowKey{Key: []byte("k")}
	if n := len(seal(putUint(begin(nil), 1, 1<<63), 0, k.Key)); n > numberBytes {
		t.Errorf("a number of %d bytes is taken for %d", n, numberBytes)
	}
}

// wide is a flat state of the largest size.
type wide struct{ n int }

func (*wide) Mark()                               {}
func (*wide) Undo() error                         { return nil }
func (w *wide) Append(dst []byte) ([]byte, error) { return append(dst, make([]byte, w.n)...), nil }
func (*wide) Flat() bool                          { return true }

// wideBehavior has agents with wide states, and one that sends to many of them.
func wideBehavior(size int) Behavior {
	b := testBehavior(map[string]func(*Step, *numbers) Result{
		"spray": func(s *Step, n *numbers) Result {
			for i := range 60 {
				s.Send(Outgoing{To: message.Agent{Type: "wide", ID: fmt.Sprint(i)}, Action: "touch"})
			}
			return replied(body{})
		},
	})
	b.Types["wide"] = &Type{
		Load: func(_ uint32, data []byte) (State, error) { return &wide{len(data)}, nil },
		Actions: map[string]*Action{"touch": {Guarantee: message.AtLeastOnce, Run: func(s *Step, st State) Result {
			st.(*wide).n = size
			return Result{Verdict: Replied}
		}}},
	}
	return b
}

// The states that Seal writes count before it, though a step of a flat agent
// without key writes nothing else: by pulls, which go on until the unit is
// full, as by calls that come in one batch.
func TestFlatStatesCount(t *testing.T) {
	t.Parallel()
	d := newSingle(t, wideBehavior(4000), smallUnits)
	d.submit(new(Caller), keyed("spray", "s", "1"))
	if n := d.drainUnits(); n < 5 || d.rows(message.TableState) != 61 {
		t.Errorf("%d units, %d states", n, d.rows(message.TableState))
	}
	d = newSingle(t, wideBehavior(4000), smallUnits)
	for round := range 2 { // new agents, and then such that are known
		for i := range 60 {
			m := message.Message{ID: message.ID{byte(round), byte(i)}, To: simAgent("wide", fmt.Sprint(i)), Action: "touch"}
			d.submit(new(Caller), m)
		}
		if n := d.drainUnits(); n < 5 || d.rows(message.TableState) != 60 {
			t.Errorf("round %d: %d units, %d states", round, n, d.rows(message.TableState))
		}
	}
}

// What flat states may need, but hardly will, does not cut units short.
func TestFlatStatesShareUnits(t *testing.T) {
	t.Parallel()
	d := newSingle(t, wideBehavior(20), func(c *Config) { c.MaxUnitBytes = 32 << 20 })
	for round := range 2 {
		for i := range 2000 {
			m := message.Message{ID: message.ID{byte(round), byte(i), byte(i >> 8)}, To: simAgent("wide", fmt.Sprint(i)), Action: "touch"}
			d.submit(new(Caller), m)
		}
		if n := d.drainUnits(); n > 2 {
			t.Errorf("round %d: %d units for 2000 small states", round, n)
		}
	}
}

// A flat state is bounded by MaxState like any other.
func TestFlatStateKeepsToMaxState(t *testing.T) {
	t.Parallel()
	d := newSingle(t, wideBehavior(4000), func(c *Config) { c.MaxState = 1000 })
	if a := d.ask(message.Message{ID: message.ID{1}, To: simAgent("wide", "w"), Action: "touch"}); a.Fault == nil || a.Fault.Code != message.CodeHandlerFailed {
		t.Errorf("a state of 4000 bytes where 1000 are allowed: %+v", a)
	}
}

// The messages that wait to be tried again are written at Seal, and count when
// they fail. Nor do those that one agent keeps grow without end: here they
// pass its hold, one after the other.
func TestRetriesCount(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), smallUnits)
	for i := range 20 {
		m := keyed("fail", fmt.Sprint(i), "1")
		m.Body = make([]byte, 6<<10)
		m.To = simAgent("t", fmt.Sprint(i))
		d.submit(&Caller{Accept: true}, m)
	}
	d.drainUnits()
	if n := d.rows(message.TableControl); n != 20 {
		t.Errorf("%d of 20 agents wait", n)
	}
	d = newSingle(t, testBehavior(nil), smallUnits)
	d.submit(new(Caller), keyed("hold", "h", "1"))
	d.drainUnits()
	for i := range 40 {
		m := keyed("fail", fmt.Sprint(i), "1")
		m.Body, m.Token = make([]byte, 3<<10), "token"
		d.submit(&Caller{Accept: true}, m)
		d.drainUnits()
	}
	c := d.m.cells[string(bob.AppendKey(nil))].control
	if n := len(c.retries); n < 2 || n+d.rows(message.TableDead) != 40 {
		t.Errorf("%d wait, %d are dead", n, d.rows(message.TableDead))
	}
	d.crash()
	d.m.Tick(d.now)
	d.drainUnits()
}

// A step whose consequences no unit holds fails as a step, whatever they are:
// its message dies, and the shard goes on.
func TestOversizedStepsFail(t *testing.T) {
	t.Parallel()
	big := make([]byte, 20<<10)
	other := simAgent("t", "other")
	for name, f := range map[string]func(*Step, *numbers) Result{
		"reply":  func(*Step, *numbers) Result { return Result{Verdict: Replied, Body: big} },
		"detail": func(*Step, *numbers) Result { return Result{Verdict: Refused, Code: "no", Detail: string(big)} },
		"code":   func(*Step, *numbers) Result { return Result{Verdict: Refused, Code: string(big)} },
		"message": func(s *Step, _ *numbers) Result {
			s.Send(Outgoing{To: other, Action: "count", Body: big})
			return replied(body{})
		},
		"delayed": func(s *Step, _ *numbers) Result {
			s.Send(Outgoing{To: other, Action: "count", Body: big, Delay: time.Hour})
			return replied(body{})
		},
		"context": func(s *Step, _ *numbers) Result {
			s.Send(Outgoing{To: other, Action: "count", Then: "x", Context: big})
			return Result{Verdict: Deferred}
		},
		"effect context": func(s *Step, _ *numbers) Result {
			s.Ask(Call{Effect: "ask", Then: "x", Context: big})
			return Result{Verdict: Deferred}
		},
		"timer": func(s *Step, _ *numbers) Result { s.SetTimer("x", time.Hour, "count", big); return replied(body{}) },
		"token": func(s *Step, _ *numbers) Result { s.Hold(string(big), time.Hour); return replied(body{}) },
		"many": func(s *Step, _ *numbers) Result {
			for range 4000 {
				s.Send(Outgoing{To: other, Action: "x", Body: []byte("1")})
			}
			return replied(body{})
		},
		"timers": func(s *Step, _ *numbers) Result {
			for i := range 2000 {
				s.CancelTimer(fmt.Sprint("a timer that may be there ", i))
			}
			return replied(body{})
		},
	} {
		d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{"work": f}), smallUnits)
		if a := d.ask(keyed("work", "k", "1")); a.Fault == nil || a.Fault.Code != message.CodeHandlerFailed {
			t.Errorf("%s: a call: %+v", name, a)
		}
		c := d.submit(&Caller{Accept: true}, keyed("work", "accepted", "1"))
		for range 100 {
			d.m.Tick(d.now)
			d.drainUnits()
			d.now += message.Time(time.Second)
		}
		if d.answers[c].Outcome == nil || d.rows(message.TableDead) != 1 {
			t.Errorf("%s: accepted: %+v, %d dead", name, d.answers[c], d.rows(message.TableDead))
		}
		if a := d.ask(keyed("count", "after", "1")); a.Outcome == nil {
			t.Errorf("%s: then: %+v", name, a)
		}
	}
}

// A reply fits with what its asker wants to remember, or the step that replies
// fails.
func TestReplyWithLargeContext(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"ask": func(s *Step, n *numbers) Result {
			s.Send(Outgoing{To: simAgent("t", "other"), Action: "reply", Then: "told", Context: make([]byte, 7<<10)})
			return Result{Verdict: Deferred}
		},
		"reply": func(*Step, *numbers) Result { return Result{Verdict: Replied, Body: make([]byte, 7<<10)} },
		"told":  func(*Step, *numbers) Result { return replied(body{}) },
	}), smallUnits)
	d.submit(new(Caller), keyed("ask", "k", "1"))
	for range 100 {
		d.m.Tick(d.now)
		d.drainUnits()
		d.now += message.Time(time.Second)
	}
	if d.rows(message.TableDead) != 1 {
		t.Errorf("%d dead letters", d.rows(message.TableDead))
	}
}

// What is too large to be accepted, or to be settled, is refused at once.
func TestOversizedRequestsAreRefused(t *testing.T) {
	t.Parallel()
	d := newSingle(t, effectBehavior("ask"), smallUnits)
	m := keyed("count", "k", "1")
	m.Body = make([]byte, smallUnit/8)
	if a := d.ask(m); a.Fault == nil || a.Fault.Code != message.CodeTooLarge {
		t.Errorf("a message: %+v", a)
	}
	d.submit(new(Caller), keyed("ask", "k", "1"))
	d.settle()
	id := d.calls[0].ID
	d.m.EffectDone(d.now, EffectResult{ID: id, Attempt: 1, Status: message.StatusDone, Body: make([]byte, smallUnit)})
	d.settle()
	e := d.m.effects[id]
	if e == nil || e.status != effectDoubt || !strings.Contains(e.reason, "it is done") {
		t.Fatalf("an effect's answer that is too large to keep: %+v", e)
	}
	c := new(Caller)
	d.m.Resolve(d.now, c, id, Resolution{Status: message.StatusDone, Body: m.Body})
	d.settle()
	if f := d.answers[c].Fault; f == nil || f.Code != message.CodeTooLarge {
		t.Errorf("a resolution: %+v", d.answers[c])
	}
	c = new(Caller)
	d.m.Resolve(d.now, c, id, Resolution{Status: message.StatusDone, Body: []byte(`1`)})
	d.settle()
	if a := d.ask(keyed("ask", "k", "1")); a.Outcome == nil || a.Outcome.Status != message.StatusDone {
		t.Errorf("%+v", a)
	}
}

// Effects write their rows again when they are called, and when a restart
// finds them called: however many there are, a unit has room for them.
func TestManyLargeEffects(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"ask": func(s *Step, n *numbers) Result {
			s.Ask(Call{Effect: "ask", Body: make([]byte, 6<<10), Then: "told", Context: []byte("c")})
			return Result{Verdict: Deferred}
		},
	}), func(c *Config) { c.MaxUnitBytes, c.Running = smallUnit, 1 })
	for i := range 40 {
		m := keyed("ask", fmt.Sprint(i), "1")
		m.To = simAgent("t", fmt.Sprint(i))
		d.submit(new(Caller), m)
		d.drainUnits()
	}
	if len(d.calls) != 1 {
		t.Fatalf("%d are called", len(d.calls))
	}
	d.cfg.Running = 100
	d.crash() // now the others may be called at once
	for d.drainUnits() > 0 {
	}
	if len(d.calls) != 39 {
		t.Fatalf("%d of 39 are called", len(d.calls))
	}
	for _, c := range d.calls { // and come back at once
		d.m.EffectDone(d.now, EffectResult{ID: c.ID, Attempt: 1, Status: message.StatusNotDone})
	}
	d.calls = nil
	for d.drainUnits() > 0 {
	}
	for range 100 {
		d.now += message.Time(time.Millisecond)
		d.m.Tick(d.now)
		d.drainUnits()
	}
	if len(d.calls) != 39 {
		t.Fatalf("%d of 39 are called again", len(d.calls))
	}
	d.crash()
	for d.drainUnits() > 0 {
	}
	for _, e := range d.m.effects {
		if e.status != effectDoubt {
			t.Errorf("effect %s is not in doubt", e.id)
		}
	}
	if len(d.m.effects) != 40 || len(d.m.postponed) != 0 {
		t.Errorf("%d effects, %d postponed", len(d.m.effects), len(d.m.postponed))
	}
}

// What the end of many holds writes at one moment is bounded.
func TestManyHoldsEnd(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("t", message.MaxNameBytes)
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"hold": func(s *Step, n *numbers) Result { s.Hold(token, time.Minute); return replied(body{}) },
	}), smallUnits)
	for i := range 20 {
		hold, fail := keyed("hold", fmt.Sprint("h", i), "1"), keyed("fail", fmt.Sprint("f", i), "1")
		hold.To = simAgent("t", fmt.Sprint(i))
		fail.To, fail.Token, fail.Body = hold.To, token, make([]byte, 6<<10)
		d.submit(new(Caller), hold)
		d.drainUnits()
		d.submit(&Caller{Accept: true}, fail)
		d.drainUnits()
	}
	d.now += message.Time(time.Hour)
	for range 200 {
		d.m.Tick(d.now)
		d.drainUnits()
		d.now += message.Time(time.Second)
	}
	if n := d.rows(message.TableDead); n != 20 || d.rows(message.TableControl) != 0 {
		t.Errorf("%d of 20 died; %d agents wait", n, d.rows(message.TableControl))
	}
}

// Timers that were cancelled leave rows behind, which a page of due ones drops
// as far as the unit has room.
func TestManyCancelledTimers(t *testing.T) {
	t.Parallel()
	name := func(m *message.Message) string { return strings.Repeat("n", 500) + m.Key[1:] }
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"set": func(s *Step, n *numbers) Result {
			s.SetTimer(name(s.Message()), time.Minute, "count", nil)
			return replied(body{})
		},
		"cancel": func(s *Step, n *numbers) Result { s.CancelTimer(name(s.Message())); return replied(body{}) },
	}), smallUnits)
	for i := range 200 {
		d.submit(new(Caller), keyed("set", fmt.Sprint("s", i), "1"))
		d.submit(new(Caller), keyed("cancel", fmt.Sprint("c", i), "1"))
		d.drainUnits()
	}
	d.now += message.Time(time.Hour)
	for range 20 {
		d.m.Tick(d.now)
		d.drainUnits()
	}
	if n := d.rows(message.TableDue); n != 0 {
		t.Errorf("%d due rows are left", n)
	}
}

// Reads that come back together, each of which makes the machine write, wait
// for room too: here those of the outcomes whose effects a restart puts in
// doubt, which hold what their askers want to remember.
func TestManyReadsThatWrite(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"ask": func(s *Step, n *numbers) Result {
			s.Send(Outgoing{To: simAgent("t", "to "+s.Message().Key), Action: "call", Then: "told", Context: make([]byte, 6<<10)})
			return Result{Verdict: Deferred}
		},
		"call": func(s *Step, n *numbers) Result {
			s.Ask(Call{Effect: "ask", Then: "called"})
			return Result{Verdict: Deferred}
		},
	}), func(c *Config) { c.MaxUnitBytes, c.Running = smallUnit, 100 })
	for i := range 20 {
		d.submit(new(Caller), keyed("ask", fmt.Sprint(i), "1"))
		d.drainUnits()
	}
	if len(d.calls) != 20 {
		t.Fatalf("%d of 20 are called", len(d.calls))
	}
	d.crash()
	d.drainUnits()
	inDoubt := 0
	for k, v := range d.store.visible[0].tables[message.TableOpen] {
		if o, err := ReadOutcome(message.RowKey{Table: message.TableOpen, Key: []byte(k)}, v); err != nil {
			t.Error(err)
		} else if o.Status == message.StatusInDoubt {
			inDoubt++
		}
	}
	if inDoubt != 20 || len(d.m.outstanding) != 0 {
		t.Errorf("%d of 20 outcomes are in doubt; %d reads are outstanding", inDoubt, len(d.m.outstanding))
	}
}

// States and bodies of about 1 MiB fit the usual unit of 32 MiB, in every way
// that a message can go.
func TestLargeBodiesWork(t *testing.T) {
	t.Parallel()
	large := make([]byte, 1<<20)
	b := wideBehavior(1 << 20)
	fails := 0
	b.Types["t"].Actions["work"] = &Action{Run: func(s *Step, st State) Result {
		if len(s.Message().Body) != len(large) {
			return failed(errors.New("another body"))
		}
		if fails++; fails%2 == 1 {
			return failed(errFlaky)
		}
		s.Send(Outgoing{To: simAgent("t", "other"), Action: "echo", Body: s.Message().Body, Then: "told"})
		s.SetTimer("x", time.Hour, "count", s.Message().Body)
		return Result{Verdict: Deferred}
	}}
	b.Types["t"].Actions["echo"] = &Action{Run: func(s *Step, st State) Result { return Result{Verdict: Replied, Body: s.Message().Body} }}
	b.Types["t"].Actions["told"] = b.Types["t"].Actions["echo"]
	d := newSingle(t, b, func(c *Config) { c.MaxUnitBytes, c.MaxState = 32<<20, 1<<20 })
	m := keyed("work", "k", "1")
	m.Body = large
	d.submit(&Caller{Accept: true}, m)
	for range 10 {
		d.m.Tick(d.now)
		d.drainUnits()
		d.now += message.Time(time.Second)
	}
	if a := d.ask(m); a.Outcome == nil || a.Outcome.Status != message.StatusDone || len(a.Outcome.Body) != len(large) {
		t.Errorf("%+v", a.Fault)
	}
}

// A configuration whose own states do not fit a unit is refused.
func TestImpossibleMaxState(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	cfg := d.cfg
	for cfg.MaxState = cfg.MaxUnitBytes; ; cfg.MaxState /= 2 {
		_, err := New(cfg, d.b, d.now, d.store.recovered(0))
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), "MaxState") {
			t.Fatal(err)
		}
	}
	if cfg.MaxState == cfg.MaxUnitBytes || cfg.MaxState < cfg.MaxUnitBytes/8 {
		t.Errorf("the largest state for units of %d bytes has %d", cfg.MaxUnitBytes, cfg.MaxState)
	}
}
