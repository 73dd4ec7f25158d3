package engine

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// call is a request that waits for its answer. It is answered once: by the
// machine, or by whoever gives up for it.
type call struct {
	caller  core.Caller
	answer  core.Answer
	state   atomic.Int32 // waiting, answered or givenUp
	counted bool         // it counts against the work in flight
	group   *callGroup   // whom to tell

	prev, next *call // among the calls that a loop's machine has
	listed     bool
}

// The states of a call. One that is given up has its answer, and still takes
// its room among the work in flight until the loop is done with it.
const (
	waiting = iota
	answered
	givenUp
)

// callGroup is one or more calls that are waited for together.
type callGroup struct {
	engine  *Engine
	waiting atomic.Int64
	done    chan struct{}
}

// single is a call with its group, reused when its answer came the normal way:
// then nothing else refers to it any more.
type single struct {
	call  call
	group callGroup
}

// newSingle is what Engine.singles makes. Singles and batches belong to an
// engine: a channel of one must not come to another, which may live in another
// bubble of testing/synctest.
func newSingle() any {
	s := &single{group: callGroup{done: make(chan struct{}, 1)}}
	s.call.group = &s.group
	return s
}

// batch is the calls of one SubmitAll, reused as a single is: only if all of
// its answers came the normal way.
type batch struct {
	group  callGroup
	calls  []call
	events [][]event // by shard
}

func newBatch() any { return &batch{group: callGroup{done: make(chan struct{}, 1)}} }

// batchKept bounds the calls of a batch that is kept for reuse.
const batchKept = 4096

func (e *Engine) newBatch(n int) *batch {
	b := e.batches.Get().(*batch)
	b.group.engine = e
	b.group.waiting.Store(int64(n))
	b.calls = slices.Grow(b.calls, n)[:n]
	b.events = slices.Grow(b.events, len(e.shards))[:len(e.shards)]
	return b
}

func (b *batch) giveBack() {
	if len(b.calls) > batchKept {
		return
	}
	clear(b.calls)
	b.calls = b.calls[:0]
	for i := range b.events {
		clear(b.events[i])
		b.events[i] = b.events[i][:0]
	}
	b.events = b.events[:0] // and the room of each stays behind it
	e := b.group.engine
	b.group.engine = nil
	e.batches.Put(b)
}

// finish answers the call, unless it was answered before, and gives up its room.
func (c *call) finish(a core.Answer) {
	switch {
	case c.state.CompareAndSwap(waiting, answered):
		c.leave()
		c.tell(a)
	case c.state.CompareAndSwap(givenUp, answered):
		c.leave()
	}
}

// giveUp answers the call in the loop's stead.
func (c *call) giveUp(a core.Answer) {
	if c.state.CompareAndSwap(waiting, givenUp) {
		c.tell(a)
	}
}

func (c *call) leave() {
	if c.counted {
		c.group.engine.leave(1)
	}
}

func (c *call) tell(a core.Answer) {
	c.answer = a
	if g := c.group; g.waiting.Add(-1) == 0 {
		g.done <- struct{}{}
	}
}

// await waits for the group's calls, whose callers do not want to wait any
// longer. The loops are asked what is known; but a loop may be blocked by its
// store, and once the engine has stopped nobody is left to answer. Then the
// callers are told that nobody knows.
func (g *callGroup) await(giveUp func(core.Answer)) {
	e := g.engine
	timer := time.NewTimer(e.cfg.GiveUpGrace)
	defer timer.Stop()
	detail := "the engine stopped while the call was under way; ask again with the same key"
	select {
	case <-g.done:
		return
	case <-timer.C:
		detail = "the caller gave up, and its shard is too busy, or waits too long for its store, to say what comes of the call; ask again with the same key"
	case <-e.ctx.Done():
	}
	giveUp(core.Answer{Fault: &message.Fault{Code: message.CodeCommitUnknown, Detail: detail}})
	<-g.done
}

func callOf(c *core.Caller) *call { return c.Data.(*call) }

// do runs one request on a shard's loop and waits for its answer. enqueue
// makes the event for it.
func (e *Engine) do(ctx context.Context, sh *shard, accept bool, enqueue func(c *call) event) core.Answer {
	taken, fresh, fault := e.admit(1)
	if taken == 0 {
		return core.Answer{Fault: fault}
	}
	s := e.singles.Get().(*single)
	c := &s.call
	c.caller = core.Caller{Data: c, Accept: accept, Refuse: e.refusal(0, fresh)}
	c.counted = true
	c.state.Store(waiting)
	s.group.engine = e
	s.group.waiting.Store(1)
	sh.queue.push(enqueue(c))
	select {
	case <-s.group.done:
		a := c.answer
		c.answer = core.Answer{}
		e.singles.Put(s)
		return a
	case <-ctx.Done():
		sh.queue.push(event{call: c})
		s.group.await(c.giveUp)
		return c.answer
	case <-e.ctx.Done():
		s.group.await(c.giveUp)
		return c.answer
	}
}

// admit counts calls in: the first of them, as many as it takes. Of those, the
// first fresh ones may be new work; the others are only answered if they were
// executed before, which takes no room. The fault says why the rest is refused
// before anything of it is accepted.
func (e *Engine) admit(n int) (taken, fresh int, fault *message.Fault) {
	limit := int64(e.cfg.MaxInFlight)
	before := e.inFlight.Add(int64(n)) - int64(n)
	switch {
	case e.failed.Load():
		fault = &message.Fault{Code: message.CodeStoreUnavailable, Detail: "the storage device failed; the process is about to end"}
	case e.state.Load() != stateStarted:
		fault = e.notRunning()
	default:
		taken = int(min(int64(n), max(2*limit-before, 0)))
		fresh = int(min(int64(n), max(limit-before, 0)))
		fault = overloaded
	}
	if taken < n {
		e.leave(n - taken)
		if fault == overloaded {
			e.countOverloaded(n - taken)
		}
	}
	return taken, fresh, fault
}

// refusal is why the i-th of the calls that were admitted may not be new work,
// if it may not.
func (e *Engine) refusal(i, fresh int) message.Code {
	switch {
	case e.full.Load():
		return message.CodeStorageFull
	case i >= fresh:
		return message.CodeOverloaded
	}
	return ""
}

var overloaded = &message.Fault{Code: message.CodeOverloaded, Detail: "too many calls are in flight; nothing of this one was accepted, try again later"}

// Submit brings a message and waits for its outcome, or, with accept, until it
// is durably accepted. When ctx ends first, the fault says what is known:
// canceled means that it was not and will not be executed.
func (e *Engine) Submit(ctx context.Context, m *message.Message, accept bool) core.Answer {
	if f := e.notRunning(); f != nil {
		return core.Answer{Fault: f}
	}
	sh := e.shardOf(m.To)
	a := e.do(ctx, sh, accept, func(c *call) event { return event{call: c, msg: m} })
	if sh.tenancy != nil && e.goesOn(m, accept, a) {
		a = e.submitElsewhere(ctx, sh, m, accept, a)
	}
	return a
}

// goesOn says whether an answer of this node's is not the last word.
func (e *Engine) goesOn(m *message.Message, accept bool, a core.Answer) bool {
	return isElsewhere(a.Fault) || submission(m, accept).open(&reply{Fault: a.Fault})
}

// submitElsewhere brings a message to the node that has its shard, after this
// one's answer.
func (e *Engine) submitElsewhere(ctx context.Context, sh *shard, m *message.Message, accept bool, here core.Answer) core.Answer {
	switch {
	case ctx.Err() == nil:
	case isElsewhere(here.Fault):
		return gaveUp
	default:
		return here
	}
	copied := *m
	copied.Value = nil // of this process alone
	q := submission(&copied, accept)
	q.Shard = sh.id
	var open *reply
	if !isElsewhere(here.Fault) {
		open = replyOf(here)
	}
	return e.askOn(ctx, q, open).answer()
}

func submission(m *message.Message, accept bool) *question {
	if accept {
		return &question{Op: opAccept, Message: m}
	}
	return &question{Op: opSubmit, Message: m}
}

// SubmitAll brings many messages at once, waits for all of their outcomes, and
// tells each, once, in the order of the messages and on the caller's goroutine.
// One wake-up serves them all. What is
// more than may be in flight is refused as overloaded, the last ones first.
func (e *Engine) SubmitAll(ctx context.Context, ms []*message.Message, accept bool, each func(i int, a core.Answer)) {
	e.submitAll(ctx, ms, accept, e.cluster != nil, each)
}

// submitAll is SubmitAll; anywhere says whether other nodes are asked.
func (e *Engine) submitAll(ctx context.Context, ms []*message.Message, accept, anywhere bool, each func(i int, a core.Answer)) {
	var taken, fresh int
	fault := e.notRunning()
	if fault == nil {
		taken, fresh, fault = e.admit(len(ms))
	}
	if taken > 0 {
		e.submitBatch(ctx, ms[:taken], fresh, accept, anywhere, each)
	}
	for i := taken; i < len(ms); i++ {
		each(i, core.Answer{Fault: fault})
	}
}

// submitBatch is submitAll of messages that were admitted.
func (e *Engine) submitBatch(ctx context.Context, ms []*message.Message, fresh int, accept, anywhere bool, each func(i int, a core.Answer)) {
	b := e.newBatch(len(ms))
	for i, m := range ms {
		c := &b.calls[i]
		c.group, c.counted = &b.group, true
		c.caller = core.Caller{Data: c, Accept: accept, Refuse: e.refusal(i, fresh)}
		sh := message.ShardOf(m.To, len(e.shards))
		b.events[sh] = append(b.events[sh], event{call: c, msg: m})
	}
	for i, events := range b.events {
		if len(events) > 0 {
			e.shards[i].queue.push(events...)
		}
	}
	giveUp := func(a core.Answer) {
		for i := range b.calls {
			b.calls[i].giveUp(a)
		}
	}
	reusable := false
	select {
	case <-b.group.done:
		reusable = true
	case <-ctx.Done():
		for i, m := range ms {
			e.shardOf(m.To).queue.push(event{call: &b.calls[i]})
		}
		b.group.await(giveUp)
	case <-e.ctx.Done():
		b.group.await(giveUp)
	}
	if anywhere {
		e.submitAway(ctx, ms, accept, b)
	}
	for i := range b.calls {
		each(i, b.calls[i].answer)
	}
	if reusable {
		b.giveBack()
	}
}

// Query reads an agent on its loop: fn sees the state, the agent's version and
// whether it exists, and must change nothing. The answer waits until what it
// saw is durable.
func (e *Engine) Query(ctx context.Context, a message.Agent, fn func(core.State, uint64, bool) core.Answer) core.Answer {
	sh := e.shardFor(a)
	ans := e.onLoop(ctx, sh, func(m *core.Shard, now message.Time, c *core.Caller) { m.Query(now, c, a, fn) })
	if !isElsewhere(ans.Fault) {
		return ans
	}
	r := e.ask(ctx, &question{Op: opState, Shard: sh.id, Agent: a})
	if r.Fault != nil {
		return r.answer()
	}
	state, err := e.behavior.Types[a.Type].Load(r.Schema, r.State)
	if err != nil {
		return core.Answer{Fault: &message.Fault{Code: message.CodeHandlerFailed, Detail: "the state as another node sent it: " + err.Error()}}
	}
	return fn(state, r.Version, r.Exists)
}

// Remove deletes an agent.
func (e *Engine) Remove(ctx context.Context, a message.Agent) core.Answer {
	return e.askFor(ctx, a, &question{Op: opRemove}).answer()
}

// Resolve settles a doubt by a person's word.
func (e *Engine) Resolve(ctx context.Context, id message.ID, r core.Resolution) core.Answer {
	return e.anyShard(ctx, message.CodeUnknownDoubt, question{Op: opResolve, ID: id, Resolve: &r})
}

// RetryDead takes a message back from the dead letters and tries it again.
func (e *Engine) RetryDead(ctx context.Context, id message.ID) core.Answer {
	return e.anyShard(ctx, message.CodeUnknownDead, question{Op: opRetryDead, ID: id})
}

// DiscardDead gives a dead letter up.
func (e *Engine) DiscardDead(ctx context.Context, id message.ID) core.Answer {
	return e.anyShard(ctx, message.CodeUnknownDead, question{Op: opDiscardDead, ID: id})
}

// ResumeRetention says that the clock is right after a leap. It tells every
// shard that it can.
func (e *Engine) ResumeRetention(ctx context.Context) error {
	if f := e.notRunning(); f != nil {
		return f
	}
	if e.cfg.Guest {
		return &message.Fault{Code: message.CodeInvalidRequest, Detail: "the clock that counts is that of the store's own program; tell that"}
	}
	told := 0
	var fault *message.Fault // one that leaves it open is worth more than one that does not
	for _, sh := range e.shards {
		a := e.ask(ctx, &question{Op: opResume, Shard: sh.id})
		switch {
		case a.Fault == nil:
			told++
		case fault == nil || fault.Code.Kind() == message.NotDone:
			fault = a.Fault
		}
	}
	switch {
	case fault == nil:
		return nil
	case told == 0:
		return fault
	}
	return &message.Fault{Code: message.CodeCommitUnknown, Detail: fmt.Sprintf(
		"retention was resumed in %d of %d shards; say it again for the others (%s: %s)", told, len(e.shards), fault.Code, fault.Detail)}
}

// shardFor is the shard that runs an agent, nil unless the engine runs.
func (e *Engine) shardFor(a message.Agent) *shard {
	if e.notRunning() != nil {
		return nil
	}
	return e.shardOf(a)
}

// onLoop runs a request on a shard's loop.
func (e *Engine) onLoop(ctx context.Context, sh *shard, run func(m *core.Shard, now message.Time, c *core.Caller)) core.Answer {
	if sh == nil {
		f := e.notRunning()
		if f == nil { // it was started just now
			f = notStarted
		}
		return core.Answer{Fault: f}
	}
	return e.do(ctx, sh, false, func(c *call) event {
		return event{call: c, run: func(m *core.Shard) { run(m, sh.now(), &c.caller) }}
	})
}

// anyShard asks one shard after the other, for what an identity alone does not
// say where it is. A shard that no node has now does not hide what another one
// knows.
func (e *Engine) anyShard(ctx context.Context, unknown message.Code, q question) (a core.Answer) {
	if f := e.notRunning(); f != nil {
		return core.Answer{Fault: f}
	}
	var away absent
	for _, sh := range e.shards {
		q.Shard = sh.id
		a = away.ask(e, ctx, sh, &q).answer()
		switch {
		case a.Fault != nil && a.Fault.Code == unknown:
		case a.Fault == nil || !away.is(ctx, a.Fault):
			return a
		}
	}
	if away.fault != nil {
		return core.Answer{Fault: away.fault}
	}
	return a
}

// absent is what is heard of shards that no node has, by who asks all of them.
type absent struct {
	fault *message.Fault // of the first of them
}

// is says whether a fault is that nobody has the shard, and notes it.
func (x *absent) is(ctx context.Context, f *message.Fault) bool {
	if ctx.Err() != nil || f.Code != message.CodeStoreUnavailable && (x.fault == nil || f.Code != message.CodeCanceled) {
		return false
	}
	if x.fault == nil {
		x.fault = f
	}
	return true
}

// ask asks a shard: patiently, until one was waited for in vain.
func (x *absent) ask(e *Engine, ctx context.Context, sh *shard, q *question) *reply {
	if x.fault != nil && sh.tenancy != nil && !sh.mine() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, sh.tenancy.lease/2)
		defer cancel()
	}
	return e.ask(ctx, q)
}
