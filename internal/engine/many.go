package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// The calls of a batch that are about shards of other nodes go there many in one
// question. What is not decided by that, because a shard moved meanwhile or an
// answer was lost, goes on as a call by itself.

const (
	// manyCalls and manyBytes bound a question, and with that its answer, which
	// may be of as many bodies as large as they may be.
	manyCalls = 128
	manyBytes = 16 << 20
	// manyAtOnce and singlesAtOnce bound what a batch asks other nodes at once. Of
	// single calls most wait, each for a shard without a node: were they taken in
	// turns, the last would wait for all the others too.
	manyAtOnce    = 64
	singlesAtOnce = 1024
)

// many is calls of a batch for one node.
type many struct {
	node    store.Node
	tenancy *tenancy // by which it was found
	calls   []int    // their places in the batch
	bytes   int
}

// submitAway brings the messages of a batch to the nodes that have their shards,
// after this one's answers.
func (e *Engine) submitAway(ctx context.Context, ms []*message.Message, accept bool, b *batch) {
	atOnce(e.parcel(ms, b), manyAtOnce, func(p *many) { e.askMany(ctx, p, ms, accept, b) })
	var open []int
	for i, m := range ms {
		if e.goesOn(m, accept, b.calls[i].answer) {
			open = append(open, i)
		}
	}
	atOnce(open, singlesAtOnce, func(i int) {
		b.calls[i].answer = e.submitElsewhere(ctx, e.shardOf(ms[i].To), ms[i], accept, b.calls[i].answer)
	})
}

// atOnce does some of a list at once, and returns when all is done.
func atOnce[T any](list []T, some int, do func(T)) {
	var running sync.WaitGroup
	room := make(chan struct{}, some)
	for _, x := range list {
		room <- struct{}{}
		running.Go(func() {
			do(x)
			<-room
		})
	}
	running.Wait()
}

// parcel puts together the calls that are elsewhere and whose node is known.
func (e *Engine) parcel(ms []*message.Message, b *batch) (all []*many) {
	last := make(map[string]*many) // by node, what has room
	for i, m := range ms {
		if !isElsewhere(b.calls[i].answer.Fault) || e.cfg.Peers == nil {
			continue
		}
		sh := e.shardOf(m.To)
		node, ok := sh.tenancy.holder(sh.id)
		if !ok {
			continue
		}
		p := last[node.ID]
		if p == nil || len(p.calls) == manyCalls || p.bytes+len(m.Body) > manyBytes {
			p = &many{node: node, tenancy: sh.tenancy}
			last[node.ID] = p
			all = append(all, p)
		}
		p.calls, p.bytes = append(p.calls, i), p.bytes+len(m.Body)
	}
	return all
}

// askMany asks one node, once, and notes what it answered.
func (e *Engine) askMany(ctx context.Context, p *many, ms []*message.Message, accept bool, b *batch) {
	if ctx.Err() != nil {
		return
	}
	q := &question{Op: opMany, Accept: accept}
	for _, i := range p.calls {
		copied := *ms[i]
		copied.Value = nil // of this process alone
		q.Messages = append(q.Messages, &copied)
	}
	r, err := e.carry(ctx, p.tenancy, p.node, q)
	switch {
	case errors.Is(err, ErrNotAsked) || err == nil && r.Fault != nil:
		return // nothing of it was looked at
	case err == nil && len(r.Many) != len(p.calls):
		err = fmt.Errorf("%d answers to %d calls", len(r.Many), len(p.calls))
	}
	for k, i := range p.calls {
		if err != nil { // each may have been executed
			b.calls[i].answer = commitUnknown
			continue
		}
		b.calls[i].answer = r.Many[k].answer()
	}
}

// manyHere answers a question of many calls, by this node's shards alone.
func (e *Engine) manyHere(ctx context.Context, q *question) *reply {
	for _, m := range q.Messages {
		if m == nil {
			return &reply{Fault: &message.Fault{Code: message.CodeInvalidRequest, Detail: "a question of another node is without a message"}}
		}
	}
	r := &reply{Many: make([]reply, len(q.Messages))}
	e.submitAll(ctx, q.Messages, q.Accept, false, func(i int, a core.Answer) { r.Many[i] = *replyOf(a) })
	return r
}
