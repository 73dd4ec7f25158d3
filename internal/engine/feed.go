package engine

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/semel-dev/semel/message"
)

// Change is one event of the change feed.
type Change struct {
	Agent   message.Agent
	Version uint64
	State   []byte // encoded; it belongs to the receiver
	Deleted bool   // the agent is gone: no version, no state
	// Reset says that changes may have been missed: the agents must be listed
	// again. Nothing else but Position is set.
	Reset    bool
	Position Position
}

// Changes follows the agents of a tenant and type that change, from a position
// on, or from now, which is when it is called. It goes on until ctx ends, the
// engine closes, a read fails or the loop is left; an error is the last thing
// that it yields. An agent whose state cannot be decoded is such an error, with
// the agent and a position behind it.
//
// A change is an agent's newest durable state, read after the change that it
// tells of. Of each shard changes come in the order of its commits; of two that
// come for one agent, the later is never the older. Config.Feed must be set.
func (e *Engine) Changes(ctx context.Context, tenant, typ string, from Position) iter.Seq2[Change, error] {
	start, err := e.feedFrom(typ, from)
	return func(yield func(Change, error) bool) {
		if err != nil {
			yield(Change{}, err)
			return
		}
		newFollower(e, tenant, typ, start).run(ctx, yield)
	}
}

// FeedPosition is where the change feed is now: whoever goes on from there
// hears every change that is not durable yet.
func (e *Engine) FeedPosition() (Position, error) {
	if err := e.feedRuns(); err != nil {
		return "", err
	}
	p, _ := positionOf(e.store.Incarnation(), e.feedNow(), nil)
	return p, nil
}

func (e *Engine) feedRuns() error {
	if f := e.notRunning(); f != nil {
		return f
	}
	if e.cluster != nil {
		return &message.Fault{Code: message.CodeInvalidRequest, Detail: "no change feed is kept in a cluster"}
	}
	if !e.cfg.Feed {
		return &message.Fault{Code: message.CodeInvalidRequest, Detail: "no change feed is kept; the configuration must ask for it"}
	}
	return nil
}

// feedNow is the present place in every shard.
func (e *Engine) feedNow() []place {
	places := make([]place, len(e.shards))
	for i, sh := range e.shards {
		places[i].seq = message.Seq(sh.durable.Load())
	}
	return places
}

// feedStart is where a follower begins.
type feedStart struct {
	places []place // nil for what is remembered
	check  bool    // they are from outside: see whether all behind them is remembered
	reset  bool    // nothing behind them can be
}

func (e *Engine) feedFrom(typ string, from Position) (s feedStart, err error) {
	if err := e.feedRuns(); err != nil {
		return s, err
	}
	if e.behavior.Types[typ] == nil {
		return s, &message.Fault{Code: message.CodeUnknownAgentType, Detail: "there is no agent type " + typ}
	}
	switch from {
	case "":
		s.places = e.feedNow()
		return s, nil
	case FromStart:
		return s, nil
	}
	inc, places, err := from.parse()
	if err != nil {
		return s, &message.Fault{Code: message.CodeInvalidRequest, Detail: err.Error()}
	}
	s.places, s.check = places, true
	s.reset = inc != e.store.Incarnation() || len(places) != len(e.shards)
	return s, nil
}

// feed tells followers that a unit became durable, or that a shard or the
// engine began or ended something. While there are none it costs one load.
type feed struct {
	followers atomic.Int32
	mu        sync.Mutex
	wakes     map[chan struct{}]struct{}
}

// tell wakes every follower. A follower is registered before it looks, and
// what it looks at is stored before it is told: so it sees it or is woken.
func (f *feed) tell() {
	if f.followers.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for wake := range f.wakes {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

func (f *feed) join() (wake chan struct{}) {
	wake = make(chan struct{}, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wakes == nil {
		f.wakes = make(map[chan struct{}]struct{})
	}
	f.wakes[wake] = struct{}{}
	f.followers.Add(1)
	return wake
}

func (f *feed) leave(wake chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.wakes, wake)
	f.followers.Add(-1)
}
