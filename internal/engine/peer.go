package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Any node may be asked for any agent: what is about a shard of another node is
// asked there. A question names its shard, or one message for each, and whoever does
// not hold it says so, before anything of it is accepted. So a question may be asked again, here
// or there, until a node says that it has the shard; only what may have been
// executed by a node that never answered is not asked again, unless its key
// makes that safe.

// Peers carries questions to other nodes and brings their answers.
type Peers interface {
	// Ask returns an error that wraps ErrNotAsked if the node certainly did not
	// get the question; any other leaves open whether it did.
	Ask(ctx context.Context, to store.Node, question []byte) (answer []byte, err error)
}

// ErrNotAsked: the other node did not get the question.
var ErrNotAsked = errors.New("the node was not reached")

// question is what one node asks another. JSON leaves nodes of neighbouring
// versions room to understand each other.
type question struct {
	Op        string // one of ops
	Shard     message.Shard
	Principal string                            `json:",omitempty"`
	Key       string                            `json:",omitempty"`
	Agent     message.Agent                     `json:",omitzero"`
	Message   *message.Message                  `json:",omitempty"`
	Messages  []*message.Message                `json:",omitempty"` // of opMany
	Accept    bool                              `json:",omitempty"` // ... of which it is to be told when they are accepted
	ID        message.ID                        `json:",omitzero"`
	Resolve   *core.Resolution                  `json:",omitempty"`
	Range     *store.Range                      `json:",omitempty"`
	Limit     int                               `json:",omitempty"`
	Hints     map[message.Shard][]message.Shard `json:",omitempty"` // whose outboxes grew, and for whom
}

// reply is what comes back.
type reply struct {
	Outcome     *message.Outcome     `json:",omitempty"`
	Replayed    bool                 `json:",omitempty"`
	again       bool                 // it was asked before, and perhaps done: Replayed may be of that
	Version     uint64               `json:",omitempty"`
	Fault       *message.Fault       `json:",omitempty"`
	Failure     string               `json:",omitempty"` // what the handler returned, as text
	By          string               `json:",omitempty"` // who made a resolution
	State       []byte               `json:",omitempty"`
	Schema      uint32               `json:",omitempty"` // of State
	Exists      bool                 `json:",omitempty"`
	Rows        []message.Row        `json:",omitempty"`
	More        bool                 `json:",omitempty"` // behind Rows there may be others
	Seen        core.Look            `json:",omitzero"`
	Generations []message.Generation `json:",omitempty"`
	Status      *ShardStatus         `json:",omitempty"`
	Many        []reply              `json:",omitempty"` // to each of the question's Messages

	err error // what the Fault stands for, in this process
}

func replyOf(a core.Answer) *reply {
	r := &reply{Outcome: a.Outcome, Replayed: a.Replayed, Version: a.Version, Fault: a.Fault}
	if a.Err != nil {
		r.Failure = a.Err.Error()
	}
	r.By, _ = a.Value.(string)
	return r
}

func (r *reply) answer() core.Answer {
	a := core.Answer{Outcome: r.Outcome, Replayed: r.Replayed, Again: r.again, Version: r.Version, Fault: r.Fault}
	if r.Failure != "" {
		a.Err = errors.New(r.Failure)
	}
	if r.By != "" {
		a.Value = r.By
	}
	return a
}

func (r *reply) elsewhere() bool { return r.Fault != nil && r.Fault.Code == message.CodeElsewhere }

// repeats says whether a question may be asked again although a node may have
// done what it asks for.
func (q *question) repeats() bool {
	switch q.Op {
	case opSubmit, opAccept:
		return q.Message.Key != "" || q.Message.Source != ""
	case opRemove, opRetryDead, opDiscardDead: // the second time they would be about something new, or nothing
		return false
	}
	return true // reads, and what says of itself that it was done before
}

// open says whether a reply leaves it open what becomes of a message, although
// its caller waits on: the shard moved, or its node lost it. With the same key
// the next node knows.
func (q *question) open(r *reply) bool {
	if r.Fault == nil || !q.repeats() {
		return false
	}
	switch r.Fault.Code {
	case message.CodeCommitUnknown:
		return true
	case message.CodeInFlight:
		return q.Op == opSubmit
	}
	return false
}

// decides says whether a reply settles a message that another node may have
// taken: a refusal of this one question does not.
func (q *question) decides(r *reply) bool {
	switch {
	case q.Op != opSubmit && q.Op != opAccept || r.Fault == nil:
		return true
	case r.Fault.Code == message.CodeConflict:
		return true
	}
	return r.Fault.Code.Kind() != message.NotDone
}

// The questions.
const (
	opSubmit      = "submit"
	opAccept      = "accept"
	opMany        = "many"
	opState       = "state"
	opRemove      = "remove"
	opLookup      = "lookup"
	opResolve     = "resolve"
	opRetryDead   = "retry_dead"
	opDiscardDead = "discard_dead"
	opScan        = "scan"
	opLook        = "look"
	opGenerations = "generations"
	opResume      = "resume_retention"
	opHint        = "hint"
	opStatus      = "status"
)

// Answer answers another node's question. It waits as the caller of the
// operation would.
func (e *Engine) Answer(ctx context.Context, b []byte) []byte {
	r := e.answerPeer(ctx, b)
	out, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("semel: a reply to another node: %v", err)) // of our own types
	}
	return out
}

func (e *Engine) answerPeer(ctx context.Context, b []byte) *reply {
	var q question
	err := json.Unmarshal(b, &q)
	switch f := e.notRunning(); {
	case f != nil && f.Code == message.CodeClosed:
		return replyOf(elsewhere) // it leaves, or has not come: another node has the shard soon
	case f != nil:
		return &reply{Fault: f}
	case err != nil:
		return &reply{Fault: &message.Fault{Code: message.CodeInvalidRequest, Detail: "a question of another node: " + err.Error()}}
	case int(q.Shard) >= len(e.shards):
		return &reply{Fault: &message.Fault{Code: message.CodeInvalidRequest, Detail: fmt.Sprintf("a question of another node is about shard %d of %d", q.Shard, len(e.shards))}}
	case q.Op == opHint:
		for from, to := range q.Hints {
			if int(from) < len(e.shards) {
				e.hintHere(from, to)
			}
		}
		return &reply{}
	case q.Op == opMany:
		return e.manyHere(ctx, &q)
	}
	return e.here(ctx, e.shards[q.Shard], &q)
}

// here answers a question by this node's shard.
func (e *Engine) here(ctx context.Context, sh *shard, q *question) *reply {
	r := &reply{}
	loop := func(run func(m *core.Shard, now message.Time, c *core.Caller)) *reply {
		return replyOf(e.onLoop(ctx, sh, run))
	}
	switch q.Op {
	case opSubmit, opAccept:
		return replyOf(e.do(ctx, sh, q.Op == opAccept, func(c *call) event { return event{call: c, msg: q.Message} }))
	case opState:
		a := e.onLoop(ctx, sh, func(m *core.Shard, now message.Time, c *core.Caller) {
			m.Query(now, c, q.Agent, func(s core.State, version uint64, exists bool) core.Answer {
				data, err := s.Append(nil)
				r.State, r.Schema, r.Exists = data, e.behavior.Types[q.Agent.Type].Schema, exists
				if err != nil {
					return core.Answer{Fault: &message.Fault{Code: message.CodeHandlerFailed, Detail: err.Error()}}
				}
				return core.Answer{Version: version}
			})
		})
		if a.Fault != nil { // the loop may still write to r
			return replyOf(a)
		}
		r.Version = a.Version
		return r
	case opRemove:
		return loop(func(m *core.Shard, now message.Time, c *core.Caller) { m.Remove(now, c, q.Agent) })
	case opLookup:
		return loop(func(m *core.Shard, now message.Time, c *core.Caller) { m.Lookup(now, c, q.Agent, q.Principal, q.Key) })
	case opResolve:
		return loop(func(m *core.Shard, now message.Time, c *core.Caller) { m.Resolve(now, c, q.ID, *q.Resolve) })
	case opRetryDead:
		return loop(func(m *core.Shard, now message.Time, c *core.Caller) { m.RetryDead(now, c, q.ID) })
	case opDiscardDead:
		return loop(func(m *core.Shard, now message.Time, c *core.Caller) { m.DiscardDead(now, c, q.ID) })
	case opScan:
		rows, err := e.page(ctx, sh, *q.Range, q.Limit)
		if err == nil {
			return pageOf(rows, len(rows) >= q.Limit)
		}
		var f *message.Fault
		if !errors.As(err, &f) {
			f = &message.Fault{Code: message.CodeStoreUnavailable, Detail: err.Error()}
		}
		return &reply{Fault: f, err: err}
	case opLook:
		return replyWith(r, loop(func(m *core.Shard, now message.Time, c *core.Caller) {
			r.Seen = m.Look(now)
			sh.answerAt(0, callOf(c), core.Answer{})
		}))
	case opGenerations:
		return replyWith(r, loop(func(m *core.Shard, _ message.Time, c *core.Caller) {
			r.Generations = m.Generations()
			sh.answerAt(0, callOf(c), core.Answer{})
		}))
	case opStatus:
		if !sh.mine() && !sh.isHeld() {
			return replyOf(elsewhere)
		}
		return &reply{Status: sh.status()}
	case opResume:
		return loop(func(m *core.Shard, now message.Time, c *core.Caller) {
			sh.answerAt(m.ResumeRetention(now), callOf(c), core.Answer{})
		})
	}
	return &reply{Fault: &message.Fault{Code: message.CodeInvalidRequest, Detail: fmt.Sprintf("another node asks for %q, which this version does not know", q.Op)}}
}

// pageBytes bounds the rows of a reply, of which the largest is far smaller: they
// become half as large again on their way.
const pageBytes = 16 << 20

func pageOf(rows []message.Row, more bool) *reply {
	size := 0
	for i, row := range rows {
		if size += len(row.Key) + len(row.Value); size > pageBytes && i > 0 {
			return &reply{Rows: rows[:i], More: true}
		}
	}
	return &reply{Rows: rows, More: more}
}

// replyWith is what a request on the loop said, with what it wrote down. The
// loop may still run it if its caller gave up: then there is a fault.
func replyWith(r, said *reply) *reply {
	if said.Fault != nil {
		return said
	}
	return r
}

// askFor asks about an agent.
func (e *Engine) askFor(ctx context.Context, a message.Agent, q *question) *reply {
	if f := e.notRunning(); f != nil {
		return &reply{Fault: f}
	}
	q.Agent, q.Shard = a, e.shardOf(a).id
	return e.ask(ctx, q)
}

// ask has a question answered by whoever holds its shard, here or elsewhere. It
// waits for a shard that is on its way from one node to another, but not for
// ever: the store may be down.
func (e *Engine) ask(ctx context.Context, q *question) *reply { return e.askOn(ctx, q, nil) }

// askOn is ask, after a node may have done what is asked for: that is what open
// says. From then on no node's *not done* speaks of more than the last question.
func (e *Engine) askOn(ctx context.Context, q *question, open *reply) *reply {
	sh := e.shards[q.Shard]
	t := sh.tenancy
	if t == nil {
		return e.here(ctx, sh, q)
	}
	until := time.Now().Add(shardPatience * t.lease)
	for {
		changed, asked := t.watch(), time.Now()
		r, err := e.once(ctx, sh, q)
		if time.Since(asked) > t.lease { // it was under way, and is to be looked for anew
			until = time.Now().Add(shardPatience * t.lease)
		}
		switch {
		case err == nil && q.open(r) && ctx.Err() == nil:
			open = r
		case err == nil && !r.elsewhere() && (open == nil || q.decides(r)):
			r.again = open != nil
			return r
		case err != nil && !errors.Is(err, ErrNotAsked):
			open = replyOf(commitUnknown)
			if !q.repeats() {
				return open
			}
		}
		t.hurry()
		select {
		case <-changed:
		case <-time.After(askAgain):
		case <-ctx.Done():
		case <-e.ctx.Done():
		}
		switch {
		case e.ctx.Err() == nil && ctx.Err() == nil && time.Now().Before(until):
			continue
		case open != nil:
			return open
		case e.ctx.Err() != nil:
			return replyOf(core.Answer{Fault: &message.Fault{Code: message.CodeClosed, Detail: "the engine is shutting down"}})
		case ctx.Err() != nil:
			return replyOf(gaveUp)
		}
		return replyOf(noNode)
	}
}

const (
	// shardPatience is how many leases a shard is waited for: when its node
	// dies it is free after one.
	shardPatience = 3
	askAgain      = 50 * time.Millisecond
)

var noNode = core.Answer{Fault: &message.Fault{
	Code: message.CodeStoreUnavailable, Detail: "no node has the agent's shard; nothing was accepted: see whether the store can be reached, and try again",
}}

var gaveUp = core.Answer{Fault: &message.Fault{Code: message.CodeCanceled, Detail: "the caller gave up before a node had the agent's shard"}}

// once asks here, and where the roster says that the shard is.
func (e *Engine) once(ctx context.Context, sh *shard, q *question) (*reply, error) {
	if (sh.mine() || sh.isHeld()) && !e.closing() {
		r := e.here(ctx, sh, q)
		if !r.elsewhere() && !(e.closing() && r.Fault != nil && r.Fault.Code == message.CodeClosed) {
			return r, nil
		}
	}
	node, ok := sh.tenancy.holder(sh.id)
	if !ok || e.cfg.Peers == nil {
		return replyOf(elsewhere), nil
	}
	return e.carry(ctx, sh.tenancy, node, q)
}

// carry asks another node, for as long as that one has a lease: one that stands
// still answers nobody, and keeps its connections.
func (e *Engine) carry(ctx context.Context, t *tenancy, node store.Node, q *question) (*reply, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer t.whenGone(node.ID, cancel)()
	b, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotAsked, err)
	}
	if b, err = e.cfg.Peers.Ask(ctx, node, b); err != nil {
		return nil, err
	}
	r := new(reply)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("the answer of node %s: %w", node.Name, err)
	}
	return r, nil
}
