package twopc

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/semel-dev/semel"
)

// The steps refer to each other by name: see semel's "References".
var (
	bell    = semel.RefTo[about, struct{}](Type, "bell")
	tick    = semel.RefTo[about, struct{}](Type, "tick")
	rung    = semel.ContinuationTo[about, struct{}]("rung")
	voted   = semel.ContinuationTo[about, json.RawMessage]("voted")
	ended   = semel.ContinuationTo[about, json.RawMessage]("ended")
	settled = semel.ContinuationTo[about, json.RawMessage]("settled")
	replied = semel.ContinuationTo[about, said]("replied")
	told    = semel.ContinuationTo[about, said]("told")
)

// about says which transaction of the agent a message is about, and which of its
// branches: an answer may be late, and the agent be at another one.
type about struct {
	Tx     string `json:"tx"`
	Branch int    `json:"branch,omitempty"` // its index
}

// request is the body of the action run.
type request struct {
	Branches  []branch `json:"branches"`
	TimeoutMS int64    `json:"timeout_ms,omitempty"`
}

func (c *Coordinator) registerAgent() {
	c.agents = semel.NewAgent[transaction](c.app, Type)
	semel.On(c.agents, "run", c.run)
	// These come from the agent itself, or may come twice.
	semel.On(c.agents, "bell", (*transaction).ring, semel.AtLeastOnce)
	semel.On(c.agents, "tick", c.tick, semel.AtLeastOnce)
	semel.On(c.agents, "inquire", c.inquire, semel.AtLeastOnce)
	semel.On(c.agents, "resolve", c.resolve, semel.AtLeastOnce)
	semel.Then(c.agents, "rung", func(t *transaction, s *semel.Step, a about, _ semel.Result[struct{}]) (Result, error) {
		return c.on(t, s, a, func() []order {
			return t.woken(&c.rules, s.Now())
		})
	})
	semel.Then(c.agents, "voted", func(t *transaction, s *semel.Step, a about, r semel.Result[json.RawMessage]) (Result, error) {
		return c.on(t, s, a, func() []order { return t.voted(a.Branch, heardAgent(r), s.Now()) })
	})
	semel.Then(c.agents, "replied", func(t *transaction, s *semel.Step, a about, r semel.Result[said]) (Result, error) {
		return c.on(t, s, a, func() []order { return t.voted(a.Branch, heardOutside(r), s.Now()) })
	})
	semel.Then(c.agents, "settled", func(t *transaction, s *semel.Step, a about, r semel.Result[json.RawMessage]) (Result, error) {
		return c.on(t, s, a, func() []order { return t.told(a.Branch, heardAck(r), &c.rules, s.Now()) })
	})
	semel.Then(c.agents, "told", func(t *transaction, s *semel.Step, a about, r semel.Result[said]) (Result, error) {
		return c.on(t, s, a, func() []order { return t.told(a.Branch, heardOutside(r), &c.rules, s.Now()) })
	})
	semel.Then(c.agents, "ended", func(t *transaction, s *semel.Step, a about, r semel.Result[json.RawMessage]) (Result, error) {
		return c.on(t, s, a, func() []order {
			t.ended(heardAgent(r), s.Now())
			return nil
		})
	})
}

// heardAgent reads an agent's vote, or its reply.
func heardAgent(r semel.Result[json.RawMessage]) heard {
	switch {
	case r.Done():
		return heard{verdict: wasDone, readOnly: r.Code == semel.ReadOnlyVote, reply: r.Value}
	case r.Rejected():
		return heard{verdict: wasNo, refusal: refusal{Code: r.Code, Detail: r.Detail, Data: r.Data}}
	}
	return heard{verdict: wasFailed, detail: cmpText(r.Detail, r.Code)}
}

// heardAck reads an agent's acknowledgement. A no is one of a commit: somebody
// has taken its promise away.
func heardAck(r semel.Result[json.RawMessage]) heard {
	switch {
	case r.Done():
		return heard{verdict: wasDone}
	case r.Rejected() && r.Code == semel.CodeNotPrepared:
		return heard{verdict: wasNo, refusal: refusal{Code: r.Code, Detail: r.Detail}}
	}
	// Also when the message was a dead letter that an operator discarded: the agent
	// keeps its promise, so it is told again.
	return heard{verdict: wasFailed, detail: cmpText(r.Detail, r.Code)}
}

// run begins a transaction. Its outcome is the decision, which a continuation
// gives. (A repeated call does not come here, but finds the outcome recorded.)
func (c *Coordinator) run(t *transaction, s *semel.Step, in request) (Result, error) {
	self := s.Agent()
	if want := agentID(self.Tenant, s.Principal(), s.Key()); self.ID != want {
		return Result{}, semel.Reject(CodeInvalid, "a transaction is run by Coordinator.Run: what is asked for under this key belongs to %s/%s", Type, want)
	}
	hash := in.hash()
	tx := nameTx(c.incarnation, self.ID, s.Now())
	switch {
	case t.Tx != "" && t.State != presumed:
		return t.again(hash)
	case t.Tx == tx:
		return Result{}, fmt.Errorf("transaction %s was asked about in this very second; try again", tx)
	}
	if err := c.check(&in); err != nil {
		return Result{}, semel.Reject(CodeInvalid, "%v", err)
	}
	*t = transaction{Tx: tx, Principal: s.Principal(), Request: hash, Branches: in.Branches, Waiting: s.Waiting()}
	orders := t.begin(s.Now(), in.timeout(c.cfg.Timeout))
	c.carryOut(t, s, orders)
	return semel.Defer[Result]()
}

// again answers a key whose outcome is not recorded any more, while its
// transaction is still known.
func (t *transaction) again(hash string) (Result, error) {
	switch {
	case t.Request != hash:
		return Result{}, semel.Reject(CodeInvalid, "the key was used for another transaction, %s", t.Tx)
	case t.undecided():
		return Result{}, semel.Reject(CodeUndecided, "transaction %s is not decided", t.Tx)
	}
	return t.outcome()
}

// on lets one event come to the transaction that it is about.
func (c *Coordinator) on(t *transaction, s *semel.Step, a about, event func() []order) (Result, error) {
	if !t.is(a.Tx) || a.Branch >= len(t.Branches) {
		if t.Tx == "" {
			s.Forget() // or this step would be the beginning of a new agent
		}
		return semel.Defer[Result]()
	}
	was := t.State
	c.carryOut(t, s, event())
	if was == Undecided && t.State != Undecided {
		return t.outcome()
	}
	return semel.Defer[Result]()
}

// carryOut asks for what the machine ordered, and to be woken in time.
func (c *Coordinator) carryOut(t *transaction, s *semel.Step, orders []order) {
	for len(orders) > 0 {
		var more []order
		for _, o := range orders {
			more = append(more, c.carry(t, s, o)...)
		}
		orders = more
	}
	switch next := t.next(&c.rules); {
	case next.Equal(t.Tick) && (next.IsZero() || next.After(s.Now())): // else the timer's message was lost: it is set again
	case next.IsZero():
		s.CancelTimer(timer)
		t.Tick = next
	default:
		t.Tick = next
		tick.After(s, timer, max(next.Sub(s.Now()), 0), about{Tx: t.Tx})
	}
}

// timer is the name of the agent's only timer.
const timer = "tick"

// carry carries out one order. What cannot be asked has failed, and may cause others.
func (c *Coordinator) carry(t *transaction, s *semel.Step, o order) []order {
	b := &t.Branches[o.branch]
	if (o.kind == askOutside || o.kind == tellOutside) && c.participants[b.Participant] == nil {
		// This program is another one than that which began the transaction. A step
		// that asked for the effect would fail, and the transaction stand still.
		h := heard{verdict: wasFailed, detail: fmt.Sprintf("no participant %q is registered in this program", b.Participant)}
		if o.kind == askOutside {
			return t.voted(o.branch, h, s.Now())
		}
		return t.told(o.branch, h, &c.rules, s.Now())
	}
	if (o.kind == askOutside || o.kind == tellOutside && !o.commit) && !c.ours(t.Tx) {
		// It was begun before the store was restored from a backup. What was decided
		// after that backup nobody here knows, and an abort would be a guess.
		h := heard{verdict: wasFailed, detail: "it is of the store as it was before it was restored: see there what was decided, deal with the branch by hand, and resolve it"}
		if o.kind == askOutside {
			return t.voted(o.branch, h, s.Now())
		}
		return t.told(o.branch, h, &c.rules, s.Now())
	}
	a := about{Tx: t.Tx, Branch: o.branch}
	agent := semel.AgentName{Tenant: s.Agent().Tenant, Type: b.Type, ID: b.ID}
	effect := semel.EffectTo[ask, said](effectName(b.Participant))
	name := branchName(o.branch)
	switch o.kind {
	case askAgent:
		if body := b.Body; t.OnePhase {
			semel.RefTo[json.RawMessage, json.RawMessage](b.Type, b.Action).Ask(s, b.ID, body, ended.With(a))
		} else {
			semel.Prepare(s, t.Tx, agent, b.Action, body, voted.With(a))
		}
		b.Body = nil // nobody asks it twice
	case askOutside:
		left := max(t.Deadline.Sub(s.Now()).Milliseconds(), 1)
		t.begun(o.branch, effect.Ask(s, ask{Op: opPrepare, Tx: t.Tx, Name: name, Body: b.Body, WithinMS: left}, replied.With(a)))
	case tellAgent:
		semel.Decide(s, t.Tx, agent, o.commit, settled.With(a))
	case tellOutside:
		op := opAbort
		if o.commit {
			op = opCommit
		}
		t.begun(o.branch, effect.Ask(s, ask{Op: op, Tx: t.Tx, Name: name, Handle: o.handle}, told.With(a)))
	case withdraw:
		if o.key != "" {
			s.Withdraw(o.key)
		}
	case alarm:
		semel.EffectTo[Alarm, struct{}](alarmEffect).Run(s, Alarm{Kind: o.what, Tx: t.Tx, Branch: name, At: b.subject(), Detail: o.detail})
	}
	return nil
}

// ring answers, and it is the answer that wakes: it can settle the outcome of
// run, which a timer cannot.
func (t *transaction) ring(_ *semel.Step, in about) (struct{}, error) {
	if !t.is(in.Tx) {
		return struct{}{}, semel.Reject(CodeUnknown, "there is no such transaction")
	}
	return struct{}{}, nil
}

// tick does what is due. Before the decision it only asks for the bell.
func (c *Coordinator) tick(t *transaction, s *semel.Step, in about) (struct{}, error) {
	if t.Tx != in.Tx || t.Tx == "" {
		return struct{}{}, semel.Reject(CodeUnknown, "there is no such transaction")
	}
	t.Tick = time.Time{}
	if t.undecided() {
		bell.Ask(s, s.Agent().ID, in, rung.With(in).For(t.Waiting))
		return struct{}{}, nil
	}
	if t.forgotten(&c.rules, s.Now()) {
		s.Forget()
		return struct{}{}, nil
	}
	c.carryOut(t, s, t.woken(&c.rules, s.Now()))
	return struct{}{}, nil
}

// hash stands for what was asked for.
func (r *request) hash() string {
	b, err := json.Marshal(r)
	if err != nil {
		return "" // what was read from JSON can be written as JSON
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

func (r *request) timeout(or time.Duration) time.Duration {
	if r.TimeoutMS == 0 {
		return or
	}
	return time.Duration(r.TimeoutMS) * time.Millisecond
}

// check refuses what cannot be run.
func (c *Coordinator) check(r *request) error {
	if d := r.timeout(c.cfg.Timeout); d < minTimeout || d > maxTimeout {
		return fmt.Errorf("the timeout is %v; it must be between %v and %v", d, minTimeout, maxTimeout)
	}
	for i := range r.Branches {
		b := &r.Branches[i]
		if b.outside() && c.participants[b.Participant] == nil {
			return fmt.Errorf("no participant %q is registered", b.Participant)
		}
		if Reserved(b.Type) {
			return fmt.Errorf("%s cannot take part in a transaction: it is the coordinator's own", b.subject())
		}
		// A request says who takes part and what is asked, and nothing of what we remember.
		r.Branches[i] = branch{Type: b.Type, ID: b.ID, Action: b.Action, Participant: b.Participant, Body: b.Body}
	}
	return check(r.Branches)
}

// A transaction keeps others waiting, so it does not last.
const (
	minTimeout = 10 * time.Millisecond
	maxTimeout = 24 * time.Hour
)
