package core

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/semel-dev/semel/message"
)

// body is what the simulated agents are told, and what they reply.
type body struct {
	Op     string `json:"op,omitempty"`
	Amt    int    `json:"amt,omitempty"`
	To     string `json:"to,omitempty"`
	Policy string `json:"policy,omitempty"`
	Name   string `json:"name,omitempty"`
	N      int    `json:"n,omitempty"`
	MS     int    `json:"ms,omitempty"`
	Fails  int    `json:"fails,omitempty"`
	Text   string `json:"text,omitempty"`
	Pad    int    `json:"pad,omitempty"` // bytes that the reply has more
}

func (b body) bytes() []byte {
	out, err := json.Marshal(b)
	if err != nil {
		panic(err)
	}
	return out
}

func bodyOf(b []byte) (out body) {
	if len(b) > 0 {
		if err := json.Unmarshal(b, &out); err != nil {
			panic(err)
		}
	}
	return out
}

// numbers is an agent state: named numbers, in the order of their first use.
type numbers struct {
	names []string
	at    map[string]int
	vals  []int64
	undo  []func()
}

func loadNumbers(_ uint32, data []byte) (State, error) {
	n := &numbers{at: make(map[string]int)}
	for len(data) > 0 {
		l, k := binary.Uvarint(data)
		name := string(data[k : k+int(l)])
		data = data[k+int(l):]
		v, k := binary.Varint(data)
		data = data[k:]
		n.set(name, v)
	}
	return n, nil
}

func (n *numbers) get(name string) int64 {
	if i, ok := n.at[name]; ok {
		return n.vals[i]
	}
	return 0
}

func (n *numbers) set(name string, v int64) {
	i, ok := n.at[name]
	if ok {
		was := n.vals[i]
		n.vals[i] = v
		n.undo = append(n.undo, func() { n.vals[i] = was })
		return
	}
	n.at[name] = len(n.vals)
	n.names, n.vals = append(n.names, name), append(n.vals, v)
	n.undo = append(n.undo, func() {
		last := len(n.vals) - 1
		delete(n.at, n.names[last])
		n.names, n.vals = n.names[:last], n.vals[:last]
	})
}

func (n *numbers) add(name string, v int64) { n.set(name, n.get(name)+v) }

func (n *numbers) Mark() { n.undo = n.undo[:0] }
func (n *numbers) Undo() error {
	for _, f := range slices.Backward(n.undo) {
		f()
	}
	n.undo = n.undo[:0]
	return nil
}
func (n *numbers) Append(dst []byte) ([]byte, error) {
	for i, name := range n.names {
		dst = binary.AppendUvarint(dst, uint64(len(name)))
		dst = append(dst, name...)
		dst = binary.AppendVarint(dst, n.vals[i])
	}
	return dst, nil
}
func (n *numbers) Flat() bool { return false }

// tally is a flat state, which grows and shrinks.
type tally struct{ n, was uint64 }

func loadTally(_ uint32, data []byte) (State, error) {
	t := new(tally)
	if len(data) >= 8 {
		t.n = binary.BigEndian.Uint64(data)
	}
	return t, nil
}
func (t *tally) Mark()       { t.was = t.n }
func (t *tally) Undo() error { t.n = t.was; return nil }
func (t *tally) Append(dst []byte) ([]byte, error) {
	return append(binary.BigEndian.AppendUint64(dst, t.n), make([]byte, 500*(t.n%8))...), nil
}
func (t *tally) Flat() bool { return true }

func simAgent(typ, id string) message.Agent {
	return message.Agent{Tenant: message.DefaultTenant, Type: typ, ID: id}
}

var (
	errFlaky  = errors.New("not this time")
	errPoison = errors.New("never")
)

func failed(err error) Result { return Result{Verdict: Failed, Err: err} }

func replied(b body) Result { return Result{Verdict: Replied, Body: b.bytes()} }

func refused(code string, keep bool) Result {
	return Result{Verdict: Refused, Code: code, Detail: "because", Keep: keep}
}

// behavior is what the simulated agents do. Handlers are deterministic but for
// the failures that the simulation makes them have.
func (s *sim) behavior() Behavior {
	acct := func(g message.Guarantee, f func(*Step, *numbers, body) Result) *Action {
		return &Action{Guarantee: g, Run: func(st *Step, state State) Result {
			n, b := state.(*numbers), bodyOf(st.Message().Body)
			if p := st.Message().Principal; p != simPrincipal {
				s.fail("%s of %s runs for principal %q", st.Message().Action, st.Message().To, p)
			}
			if until := n.get("held"); until > int64(st.Now()) && !s.backwards && st.Message().Token != fmt.Sprint(n.get("token")) {
				s.fail("%s runs on %s, which is held", st.Message().Action, st.Message().To)
			}
			if c := s.shards[message.ShardOf(st.Message().To, len(s.shards))].m.cells[string(st.Message().To.AppendKey(nil))]; c != nil && c.taking != nil && c.control.until != 0 {
				s.stats.passed++
			}
			return f(st, n, b)
		}}
	}
	exactly := message.ExactlyOnce
	// flaky makes a handler fail as often as the message wants.
	flaky := func(st *Step, n *numbers, op string, fails int) *Result {
		if s.failures[op] < fails {
			s.failures[op]++
			n.add("dirt", 1) // must be undone
			st.Send(Outgoing{To: simAgent("acct", "a0"), Action: "poison", Body: body{Op: op}.bytes()})
			if s.failures[op]%2 == 0 {
				panic("flaky " + op)
			}
			r := failed(errFlaky)
			return &r
		}
		return nil
	}
	credit := func(st *Step, n *numbers, b body) Result {
		if r := flaky(st, n, b.Op, b.Fails); r != nil {
			return *r
		}
		if b.Amt < 0 {
			n.add("dirt", 1)
			return refused("negative", false)
		}
		n.add("seen:"+b.Op, 1)
		n.add("bal", int64(b.Amt))
		return replied(body{Op: b.Op, Amt: b.Amt, N: int(n.get("bal")), Text: strings.Repeat("r", b.Pad)})
	}
	settled := func(st *Step, n *numbers, b body) Result {
		a := st.Message().Answer
		switch a.Status {
		case message.StatusDone:
			return Result{Verdict: Replied, Body: st.Message().Body}
		case message.StatusUnknown:
			return Result{Verdict: Lost, Code: a.Code, Detail: a.Detail}
		}
		return refused(a.Code, true)
	}
	acctType := &Type{Load: loadNumbers, Schema: 1, Actions: map[string]*Action{
		"credit": acct(exactly, credit),
		"quick":  acct(message.AtMostOnce, credit),
		"again":  acct(message.AtLeastOnce, credit),
		"seq":    acct(exactly, credit),
		"debit": acct(exactly, func(st *Step, n *numbers, b body) Result {
			if n.get("bal") < int64(b.Amt) {
				return refused("insufficient", false)
			}
			n.add("seen:"+b.Op, 1)
			n.add("bal", -int64(b.Amt))
			return replied(body{Op: b.Op, Amt: -b.Amt})
		}),
		"transfer": acct(exactly, func(st *Step, n *numbers, b body) Result {
			if n.get("bal") < int64(b.Amt) {
				return refused("insufficient", false)
			}
			n.add("seen:"+b.Op, 1)
			n.add("bal", -int64(b.Amt))
			in := body{Op: b.Op + "/in", Amt: b.Amt, Fails: b.Fails}
			if b.N == 1 {
				in.Amt = -b.Amt // will be refused
			}
			st.Send(Outgoing{To: simAgent("acct", b.To), Action: "credit", Body: in.bytes(), Then: "transferred",
				Context: b.bytes(), Delay: time.Duration(b.MS) * time.Millisecond})
			return Result{Verdict: Deferred}
		}),
		"transferred": acct(exactly, func(st *Step, n *numbers, b body) Result {
			a := st.Message().Answer
			was := bodyOf(a.Link.Context)
			if r := flaky(st, n, was.Op+"/ans", was.Fails/2); r != nil {
				return *r
			}
			n.add("seen:"+was.Op+"/ans", 1)
			if a.Status != message.StatusDone {
				n.add("bal", int64(was.Amt))
				return refused(a.Code, true)
			}
			return replied(body{Op: was.Op, Amt: -was.Amt, To: was.To})
		}),
		"poison": acct(exactly, func(st *Step, n *numbers, b body) Result {
			n.add("dirt", 1)
			return failed(errPoison)
		}),
		"invalid": acct(exactly, func(st *Step, n *numbers, b body) Result {
			return Result{Verdict: Failed, Invalid: true, Err: errPoison}
		}),
		"kill": acct(exactly, func(st *Step, n *numbers, b body) Result {
			s.killed = true
			return replied(b)
		}),
		// spawn sends a note, or something worse, to another agent.
		"spawn": acct(exactly, func(st *Step, n *numbers, b body) Result {
			n.add("seen:"+b.Op, 1)
			for range max(b.N, 1) {
				n.add("out:"+b.To, 1)
				note := body{Op: b.Op, Name: st.Message().To.ID, N: int(n.get("out:" + b.To))}
				st.Send(Outgoing{To: simAgent("acct", b.To), Action: "note", Body: note.bytes()})
			}
			if b.Name != "" {
				st.Send(Outgoing{To: simAgent("acct", b.To), Action: b.Name, Body: body{Op: b.Op + "/x", Fails: b.Fails}.bytes(),
					Delay: time.Duration(b.MS) * time.Millisecond})
			}
			return replied(body{Op: b.Op})
		}),
		"note": acct(exactly, func(st *Step, n *numbers, b body) Result {
			key := "in:" + b.Name
			if got := n.get(key) + 1; got != int64(b.N) && !s.overtaken[st.Message().To.ID] {
				s.fail("note %d of %s reached %s after note %d", b.N, b.Name, st.Message().To, got-1)
			}
			n.set(key, int64(b.N))
			n.add("notes", 1)
			return replied(body{})
		}),
		"hold": acct(exactly, func(st *Step, n *numbers, b body) Result {
			n.add("seen:"+b.Op, 1)
			d := time.Duration(b.MS) * time.Millisecond
			n.set("held", int64(st.Now())+int64(d))
			n.set("token", int64(b.N))
			st.Hold(fmt.Sprint(b.N), d)
			return replied(body{Op: b.Op})
		}),
		"release": acct(exactly, func(st *Step, n *numbers, b body) Result {
			n.add("seen:"+b.Op, 1)
			if st.Message().Token == fmt.Sprint(n.get("token")) {
				n.set("held", 0)
				st.Release()
			}
			return replied(body{Op: b.Op})
		}),
		"effect": acct(exactly, func(st *Step, n *numbers, b body) Result {
			n.add("seen:"+b.Op, 1)
			if b.Fails < 0 {
				return failed(errPoison)
			}
			if b.N == 1 { // nobody waits
				s.world.asked(st.Ask(Call{Effect: b.Policy, Body: b.bytes()}), b)
				return replied(body{Op: b.Op})
			}
			s.world.asked(st.Ask(Call{Effect: b.Policy, Body: b.bytes(), Then: "effected", Context: b.bytes()}), b)
			return Result{Verdict: Deferred}
		}),
		"effected": acct(exactly, func(st *Step, n *numbers, b body) Result {
			was := bodyOf(st.Message().Answer.Link.Context)
			if r := flaky(st, n, was.Op+"/eff", was.Fails); r != nil {
				return *r
			}
			n.add("eff:"+was.Op, 1)
			s.world.heard(st.Message())
			return settled(st, n, b)
		}),
		// ask has another agent do something whose outcome is deferred there.
		"ask": acct(exactly, func(st *Step, n *numbers, b body) Result {
			n.add("seen:"+b.Op, 1)
			in := b
			in.Op += "/in"
			st.Send(Outgoing{To: simAgent("acct", b.To), Action: b.Name, Body: in.bytes(), Then: "asked", Context: b.bytes()})
			return Result{Verdict: Deferred}
		}),
		"asked": acct(exactly, func(st *Step, n *numbers, b body) Result {
			n.add("ans:"+bodyOf(st.Message().Answer.Link.Context).Op, 1)
			return settled(st, n, b)
		}),
	}}
	clock := func(f func(*Step, *numbers, body) Result) *Action {
		return &Action{Run: func(st *Step, state State) Result { return f(st, state.(*numbers), bodyOf(st.Message().Body)) }}
	}
	clockType := &Type{Load: loadNumbers, Schema: 3, Actions: map[string]*Action{
		"set": clock(func(st *Step, n *numbers, b body) Result {
			if n.get("life") == 0 {
				n.set("life", int64(b.N))
			}
			n.set("want:"+b.Name, int64(b.N))
			n.set("due:"+b.Name, int64(st.Now())+int64(b.MS)*1e6)
			b.Amt = int(n.get("life"))
			st.SetTimer(b.Name, time.Duration(b.MS)*time.Millisecond, "fired", b.bytes())
			return replied(body{Op: b.Op})
		}),
		"cancel": clock(func(st *Step, n *numbers, b body) Result {
			n.set("want:"+b.Name, 0)
			st.CancelTimer(b.Name)
			return replied(body{Op: b.Op})
		}),
		"fired": clock(func(st *Step, n *numbers, b body) Result {
			died := s.overtaken[st.Message().To.ID] // a dead letter fires when an operator says so
			if n.get("life") != int64(b.Amt) && !died {
				s.fail("timer %q of %s, set before the agent was removed, fired", b.Name, st.Message().To)
			}
			if n.get("want:"+b.Name) != int64(b.N) && !died {
				s.fail("timer %q of %s fired as set by %d, but it was replaced or cancelled (%d)", b.Name, st.Message().To, b.N, n.get("want:"+b.Name))
			}
			if int64(st.Now()) < n.get("due:"+b.Name) && !s.backwards {
				s.fail("timer %q of %s fired early", b.Name, st.Message().To)
			}
			if n.get("want:"+b.Name) == int64(b.N) {
				n.set("want:"+b.Name, 0)
			}
			n.add("fired", 1)
			return replied(body{})
		}),
	}}
	tallyType := &Type{Load: loadTally, Actions: map[string]*Action{
		"again": {Guarantee: message.AtLeastOnce, Run: func(st *Step, state State) Result {
			state.(*tally).n++
			return replied(body{})
		}},
		"count": {Run: func(st *Step, state State) Result {
			t := state.(*tally)
			t.n++
			if bodyOf(st.Message().Body).Fails != 0 {
				return refused("no", false)
			}
			return replied(body{N: int(t.n)})
		}},
	}}
	b := Behavior{Types: map[string]*Type{"acct": acctType, "clock": clockType, "tally": tallyType}, Effects: map[string]*Effect{
		"ask":    {Policy: Ask, Timeout: callTimeout, MaxAttempts: 3},
		"ro":     {Policy: ReadOnly, Timeout: callTimeout, MaxAttempts: 3},
		"keyed":  {Policy: Keyed, Timeout: callTimeout, MaxAttempts: 3},
		"probe":  {Policy: Probe, Timeout: callTimeout, MaxAttempts: 3},
		"closes": {Policy: Probe, Timeout: callTimeout, MaxAttempts: 3, ProbeCloses: true},
		"amo":    {Policy: AtMostOnce, Timeout: callTimeout, MaxAttempts: 3},
	}}
	return b
}

var simPolicies = []string{"ask", "ro", "keyed", "probe", "closes", "amo"}

const (
	callTimeout  = 200 * time.Millisecond
	simPrincipal = "tester"
)

func isTimer(name string) bool { return strings.HasPrefix(name, "want:") }
