package engine

import (
	"context"

	"github.com/semel-dev/semel/message"
)

// ShardStatus is how a shard is doing, as its node sees it.
type ShardStatus struct {
	Version message.Version // of its last unit that is durable
	Queue   int             // events that wait for its loop
	Effects int             // that are not settled
	Sent    uint64          // messages to agents, ever
	Taken   uint64          // ... and from agents: over all shards, the difference is under way
	Paused  bool            // it forgets nothing until retention is resumed
	Down    string          // why it is opened again; "" while it runs
}

// status waits for nothing.
func (sh *shard) status() *ShardStatus {
	st := &ShardStatus{Version: message.Version{Seq: message.Seq(sh.durable.Load())}}
	if s := sh.session(); s != nil {
		st.Version.Epoch = s.Version().Epoch
	}
	sh.queue.mu.Lock()
	st.Queue = len(sh.queue.events)
	sh.queue.mu.Unlock()
	sh.stats.mu.Lock()
	g := sh.stats.gauges
	st.Effects, st.Sent, st.Taken, st.Paused = g.Effects, g.Sent, g.Taken, g.Paused
	sh.stats.mu.Unlock()
	if err := sh.down(); err != nil {
		st.Down = err.Error()
	}
	return st
}

// ShardStatus asks a shard's node how it is doing. The fault says that there is
// none, or that it does not answer.
func (e *Engine) ShardStatus(ctx context.Context, shard int) (ShardStatus, *message.Fault) {
	if f := e.notRunning(); f != nil {
		return ShardStatus{}, f
	}
	r, err := e.once(ctx, e.shards[shard], &question{Op: opStatus, Shard: message.Shard(shard)})
	switch {
	case err != nil:
		return ShardStatus{}, &message.Fault{Code: message.CodeStoreUnavailable, Detail: err.Error()}
	case r.Fault != nil:
		return ShardStatus{}, r.Fault
	}
	return *r.Status, nil
}
