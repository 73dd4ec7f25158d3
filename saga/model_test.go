package saga

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/semel-dev/semel"
)

// model drives the machine alone through random answers, and checks the rules of
// the record after each event.
type model struct {
	t       *testing.T
	seed    uint64
	rand    *rand.Rand
	r       *record
	p       *plan
	now     time.Time
	running map[about]bool // what was asked and not answered
	sent    map[string]int // how often a Do or Undo was asked for while it may have happened
	ended   int
	forgot  bool
}

func (m *model) machine() *machine {
	x := &machine{r: m.r, now: m.now, maxState: 1 << 20, keep: time.Hour, jitter: m.rand.Float64}
	if x.misfit = m.p.misfit(m.r, nil); x.misfit == nil {
		x.p = m.p
	}
	return x
}

func (m *model) fail(form string, args ...any) {
	b, _ := json.Marshal(m.r)
	m.t.Fatalf("seed %d: %s\n%s", m.seed, fmt.Sprintf(form, args...), b)
}

// carry carries out what the machine orders, and checks it.
func (m *model) carry(x *machine) {
	for _, o := range x.orders {
		s := &m.r.Steps[o.step]
		a := about{Step: s.Name, Undo: o.undo, Serial: s.sideOf(o.undo).Serial}
		switch o.kind {
		case orderAsk:
			m.asked(o, s)
			m.running[a] = true
			s.sideOf(o.undo).Key = fmt.Sprint(a)
		case orderWithdraw:
			if !m.running[a] {
				m.fail("%s was withdrawn, and not asked for", s.Name)
			}
		case orderEnd:
			m.ended++
		case orderForget:
			m.forgot = true
		}
	}
	switch r := m.r; {
	case m.ended > 1:
		m.fail("it ended twice")
	case r.Phase.Ended() != (m.ended == 1):
		m.fail("it is %s, and was told to have ended %d times", r.Phase, m.ended)
	case r.Phase == Completed && r.Failure != nil, (r.Phase == Compensated || r.Phase == Cancelled) && r.Failure == nil:
		m.fail("it is %s with failure %v", r.Phase, r.Failure)
	case r.Phase == Completed && len(m.running) > 0:
		m.fail("it is completed, and %v is under way", m.running)
	case !r.Phase.Ended() && r.Park == nil && len(m.running) == 0 && !m.waits():
		m.fail("it waits for nothing")
	}
}

// asked checks that the machine may ask for this.
func (m *model) asked(o order, s *stepRecord) {
	r := m.r
	if r.Park != nil && r.Park.At.Before(m.now) {
		m.fail("%s was asked for while it is parked", s.Name)
	}
	name := fmt.Sprintf("%s %t", s.Name, o.undo)
	if m.sent[name] > 0 {
		m.fail("%s was asked for, and may have happened before", name)
	}
	m.sent[name]++
	if !s.Registered {
		m.fail("%s was asked for, and not registered", s.Name)
	}
	if !o.undo && r.Failure != nil {
		m.fail("the action of %s was asked for, and the saga had failed", s.Name)
	}
	if !o.undo {
		return
	}
	if pivot := r.Pivot; pivot >= 0 && r.Steps[pivot].fact() != DidNotHappen {
		m.fail("%s is undone behind the pivot", s.Name)
	}
	if s.fact() == DidNotHappen {
		m.fail("%s is undone, and did not happen", s.Name)
	}
	for i := range r.Steps {
		later := &r.Steps[i]
		if later.Do.State == Asked {
			m.fail("%s is undone while the action of %s is under way", s.Name, later.Name)
		}
		if m.p.steps[i].stage > m.p.steps[o.step].stage && later.Registered && later.Undo.State != Done && later.Undo.State != Skipped {
			m.fail("%s is undone before %s", s.Name, later.Name)
		}
	}
}

func (m *model) waits() bool {
	for i := range m.r.Steps {
		if m.r.Steps[i].Do.State == Backoff || m.r.Steps[i].Undo.State == Backoff {
			return true
		}
	}
	return false
}

// answer answers something that is under way.
func (m *model) answer() {
	var a about
	n := m.rand.IntN(len(m.running))
	for i := range m.r.Steps { // in an order that the seed decides
		for _, undo := range []bool{false, true} {
			s := &m.r.Steps[i]
			c := about{Step: s.Name, Undo: undo, Serial: s.sideOf(undo).Serial}
			if m.running[c] {
				if n == 0 {
					a = c
				}
				n--
			}
		}
	}
	delete(m.running, a)
	x := m.machine()
	s := &m.r.Steps[m.r.step(a.Step)]
	side := s.sideOf(a.Undo)
	side.Settled = m.now
	side.State = []State{Done, Done, Done, Rejected, NotDone, Unknown}[m.rand.IntN(6)]
	if side.State == Done {
		side.Reply, side.Unkept = json.RawMessage(`"r"`), true
	}
	if side.State == NotDone || side.State == Rejected {
		m.sent[fmt.Sprintf("%s %t", a.Step, a.Undo)] = 0
	}
	x.advance()
	m.carry(x)
}

func (m *model) event() {
	m.now = m.now.Add(time.Second)
	x := m.machine()
	switch n := m.rand.IntN(20); {
	case n < 12 && len(m.running) > 0:
		m.answer()
		return
	case n < 15: // timers
		m.now = m.now.Add(time.Hour)
		x.now = m.now
		for i := range m.r.Steps {
			for _, undo := range []bool{false, true} {
				s := &m.r.Steps[i]
				x.ticked(about{Step: s.Name, Undo: undo, Serial: s.sideOf(undo).Serial})
			}
		}
		x.ticked(about{Kind: tickForget})
		x.advance()
	case n == 15:
		x.ticked(about{Kind: tickLimit})
		x.advance()
	case n == 16:
		was := m.r.pastPivot()
		if no := x.cancel("ann", ""); no == nil && was && m.r.Failure == nil {
			m.fail("it was cancelled behind the pivot")
		}
	case n == 17:
		_ = x.resume()
	case n == 18 && m.r.Park != nil && m.r.Park.Step != "":
		f := []Fact{Happened, DidNotHappen}[m.rand.IntN(2)]
		name := fmt.Sprintf("%s %t", m.r.Park.Step, m.r.Phase == Compensating)
		if no := x.settle(settlement{Step: m.r.Park.Step, Fact: f, By: "ann"}); no == nil && f == DidNotHappen {
			m.sent[name] = 0 // it may be asked for again
		}
	default: // late and forged
		x.answered(about{Step: "a", Serial: 1, Instance: "other"}, semel.Result[json.RawMessage]{})
		x.ticked(about{Step: "a", Serial: 99})
		x.advance()
	}
	m.carry(x)
}

// Random answers, timers and orders, to random definitions: the rules hold.
func TestModel(t *testing.T) {
	t.Parallel()
	reached := make(map[Phase]int)
	for seed := range uint64(3000) {
		m := &model{t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), now: time.Unix(1e9, 0), running: make(map[about]bool), sent: make(map[string]int)}
		m.p = m.plan()
		m.r = &record{Shape: m.p.shape, Pivot: m.p.pivot, Phase: Running, Steps: make([]stepRecord, len(m.p.steps)), State: json.RawMessage("{}"), Deadline: m.now.Add(time.Duration(m.rand.IntN(100)) * time.Minute)}
		for i := range m.p.steps {
			m.r.Steps[i].Name = m.p.steps[i].name
		}
		x := m.machine()
		x.advance()
		m.carry(x)
		for range 60 {
			m.event()
		}
		reached[m.r.phase()]++
	}
	for _, p := range []Phase{Parked, Completed, Compensated, Cancelled} {
		if reached[p] < 100 {
			t.Errorf("only %d of the sagas came to be %s: %v", reached[p], p, reached)
		}
	}
}

func (m *model) plan() *plan {
	p := &plan{version: 0, pivot: -1}
	never := func(json.RawMessage, Fact) (asked, error) { return asked{}, nil }
	for stage := range 1 + m.rand.IntN(4) {
		n := 1 + m.rand.IntN(3)
		pivot := p.pivot < 0 && m.rand.IntN(4) == 0
		if pivot {
			n = 1
			p.pivot = len(p.steps)
		}
		var places []int
		for range n {
			s := planStep{name: string(rune('a' + len(p.steps))), stage: stage, retry: Retry{Attempts: 1 + m.rand.IntN(3), Base: time.Second, Max: time.Minute}, reundo: Retry{Attempts: 1 + m.rand.IntN(3), Base: time.Second, Max: time.Minute}}
			s.do = call{request: never, action: m.rand.IntN(3) == 0, typ: "x", target: "x"}
			if s.do.action {
				s.do.request = func(json.RawMessage, Fact) (asked, error) { return asked{id: "x"}, nil }
			}
			if p.pivot < 0 && m.rand.IntN(5) > 0 {
				s.undo = &call{request: never, target: "x"}
			}
			if m.rand.IntN(2) == 0 {
				s.timeout = time.Minute
			}
			places = append(places, len(p.steps))
			p.steps = append(p.steps, s)
		}
		p.stages = append(p.stages, places)
	}
	p.shape = shapeOf(p)
	return p
}
