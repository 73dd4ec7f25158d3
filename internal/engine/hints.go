package engine

import (
	"context"
	"encoding/json"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Shards pull from each other's outboxes. Where the source is on another node,
// that node says when there is something; since a hint may be lost, each shard
// looks by itself now and then.

// pullEvery is how often a shard looks into the outboxes of other nodes' shards
// without a hint.
const pullEvery = message.Time(1e9)

// pullOthers looks into them. It runs on the loop.
func (sh *shard) pullOthers(m *core.Shard, now message.Time) {
	if sh.engine.tenancy == nil || now-sh.pulled < pullEvery || sh.stopping {
		return
	}
	sh.pulled = now
	for _, src := range sh.engine.shards {
		if !src.mine() {
			m.Hint(src.id)
		}
	}
}

// hintsWaiting bounds the hints to other nodes that wait; more are dropped.
const hintsWaiting = 1024

// remoteHint is on its way to another node.
type remoteHint struct {
	from message.Shard
	to   []message.Shard
}

// hint tells other nodes.
func (t *tenancy) hint(from message.Shard, to []message.Shard) {
	if t.engine.cfg.Peers == nil {
		return
	}
	var away []message.Shard
	for _, dst := range to {
		if !t.engine.shards[dst].mine() {
			away = append(away, dst)
		}
	}
	if len(away) == 0 {
		return
	}
	select {
	case t.hints <- remoteHint{from, away}:
	default:
	}
}

// sendHints brings hints to their nodes, each node's that have gathered at once.
func (t *tenancy) sendHints() {
	defer t.engine.running.Done()
	for {
		var h remoteHint
		select {
		case h = <-t.hints:
		case <-t.engine.ctx.Done():
			return
		}
		nodes := make(map[string]store.Node)
		to := make(map[string]map[message.Shard][]message.Shard)
		for more := true; more; {
			for _, dst := range h.to {
				if n, ok := t.holder(dst); ok {
					nodes[n.ID] = n
					if to[n.ID] == nil {
						to[n.ID] = make(map[message.Shard][]message.Shard)
					}
					to[n.ID][h.from] = append(to[n.ID][h.from], dst)
				}
			}
			select {
			case h = <-t.hints:
			default:
				more = false
			}
		}
		for id, n := range nodes {
			t.sendHint(n, to[id])
		}
	}
}

func (t *tenancy) sendHint(n store.Node, to map[message.Shard][]message.Shard) {
	ctx, cancel := context.WithTimeout(t.engine.ctx, t.lease/keepTurns)
	defer cancel()
	b, err := json.Marshal(&question{Op: opHint, Hints: to})
	if err == nil {
		_, err = t.engine.cfg.Peers.Ask(ctx, n, b)
	}
	if err != nil { // the shards there look by themselves
		t.engine.cfg.Logger.Debug("a hint was lost", "node", n.Name, "error", err)
	}
}
