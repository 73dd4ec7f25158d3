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

// pullOthers looks into them, and into those that could not be reached. It runs on
// the loop.
func (sh *shard) pullOthers(m *core.Shard, now message.Time) {
	if sh.tenancy == nil && len(sh.missed) == 0 || now-sh.pulled < pullEvery || sh.stopping {
		return
	}
	sh.pulled = now
	for _, src := range sh.engine.shards {
		if !src.mine() || sh.missed[src.id] {
			m.Hint(src.id)
		}
	}
	clear(sh.missed)
}

// hintsWaiting bounds the hints to other nodes that wait; more are dropped.
const hintsWaiting = 1024

// remoteHint is on its way to another node.
type remoteHint struct {
	from message.Shard
	to   []message.Shard
}

// hint tells other nodes.
func (c *cluster) hint(from message.Shard, to []message.Shard) {
	if c.engine.cfg.Peers == nil {
		return
	}
	var away []message.Shard
	for _, dst := range to {
		if !c.engine.shards[dst].mine() {
			away = append(away, dst)
		}
	}
	if len(away) == 0 {
		return
	}
	select {
	case c.hints <- remoteHint{from, away}:
	default:
	}
}

// sendHints brings hints to their nodes, each node's that have gathered at once.
func (c *cluster) sendHints() {
	defer c.engine.running.Done()
	for {
		var h remoteHint
		select {
		case h = <-c.hints:
		case <-c.engine.ctx.Done():
			return
		}
		nodes := make(map[string]store.Node)
		to := make(map[string]map[message.Shard][]message.Shard)
		for more := true; more; {
			for _, dst := range h.to {
				if n, ok := c.engine.shards[dst].tenancy.holder(dst); ok {
					nodes[n.ID] = n
					if to[n.ID] == nil {
						to[n.ID] = make(map[message.Shard][]message.Shard)
					}
					to[n.ID][h.from] = append(to[n.ID][h.from], dst)
				}
			}
			select {
			case h = <-c.hints:
			default:
				more = false
			}
		}
		for id, n := range nodes {
			c.sendHint(n, to[id])
		}
	}
}

func (c *cluster) sendHint(n store.Node, to map[message.Shard][]message.Shard) {
	ctx, cancel := context.WithTimeout(c.engine.ctx, c.engine.profile.Lease/keepTurns)
	defer cancel()
	b, err := json.Marshal(&question{Op: opHint, Hints: to})
	if err == nil {
		_, err = c.engine.cfg.Peers.Ask(ctx, n, b)
	}
	if err != nil { // the shards there look by themselves
		c.engine.cfg.Logger.Debug("a hint was lost", "node", n.Name, "error", err)
	}
}
