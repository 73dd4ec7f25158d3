package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/torture/check"
)

// settling is how long the nodes may take until each of them has shards.
const settling = time.Minute

// round is what befalls a cluster once: a node is killed, right after an answer or
// at a random moment; one is stopped for longer than its lease; and all are
// restarted in order, one after the other.
func (s *stage) round(ctx context.Context, rng *rand.Rand, i int) error {
	if err := s.settled(ctx); err != nil {
		return err
	}
	if i%randomKills != 0 {
		if err := s.aim(ctx); err != nil {
			return err
		}
	}
	if err := s.killNode(ctx, rng); err != nil {
		return err
	}
	if err := s.settled(ctx); err != nil {
		return err
	}
	if canPause {
		if err := s.pauseNode(ctx, rng); err != nil {
			return err
		}
	}
	for _, n := range rng.Perm(len(s.nodes)) {
		if err := s.settled(ctx); err != nil {
			return err
		}
		if err := s.restartNode(ctx, s.nodes[n]); err != nil {
			return err
		}
	}
	return nil
}

// killNode kills a node and starts it again, at once or when the others have taken
// its shards.
func (s *stage) killNode(ctx context.Context, rng *rand.Rand) error {
	k, witness := s.pick(rng)
	had, err := s.has(ctx, k)
	if err != nil {
		return err
	}
	r := check.Record{Type: check.Fault, Fault: check.FaultKill, At: s.rec.now()}
	if err := k.kill(ctx); err != nil {
		return fmt.Errorf("%w; see %s", err, s.log.Name())
	}
	if rng.IntN(2) == 0 {
		if r.Moved, err = s.taken(ctx, had, witness); err != nil {
			return err
		}
		return s.restarted(ctx, k, r)
	}
	taken := make(chan error, 1)
	go func() { // the new process and the others race for the shards
		var err error
		r.Moved, err = s.taken(ctx, had, witness)
		taken <- err
	}()
	err = k.start(ctx)
	return errors.Join(<-taken, s.noteStart(ctx, k, r, err))
}

// pauseNode stops a node for longer than its lease, and lets it go on when the
// others have its shards: it believes that it has them still.
func (s *stage) pauseNode(ctx context.Context, rng *rand.Rand) error {
	k, witness := s.pick(rng)
	had, err := s.has(ctx, k)
	if err != nil {
		return err
	}
	r := check.Record{Type: check.Fault, Fault: check.FaultPause, Node: k.number, At: s.rec.now()}
	pid := k.process.Cmd.Process.Pid
	if err := pauseGroup(pid); err != nil {
		return err
	}
	r.Moved, err = s.taken(ctx, had, witness)
	// Longer than that, a call of an effect that was on its way is nobody's promise.
	sleep(ctx, time.Duration(rng.Int64N(int64(min(s.opt.Lease/2, time.Second)))))
	if err := errors.Join(err, resumeGroup(pid)); err != nil {
		return err
	}
	r.Until = s.rec.now()
	s.rec.write(r)
	return nil
}

// restartNode stops a node in order and starts it again.
func (s *stage) restartNode(ctx context.Context, k *keeper) error {
	r := check.Record{Type: check.Fault, Fault: check.FaultRestart, At: s.rec.now()}
	if err := k.stop(); err != nil {
		return err
	}
	if state := k.process.Cmd.ProcessState; !state.Success() {
		return fmt.Errorf("node %d was stopped in order, and ended with %v; see %s", k.number, state, s.log.Name())
	}
	return s.restarted(ctx, k, r)
}

// pick chooses a node, and another one that is asked about it.
func (s *stage) pick(rng *rand.Rand) (k, witness *keeper) {
	n := rng.IntN(len(s.nodes))
	other := (n + 1 + rng.IntN(len(s.nodes)-1)) % len(s.nodes)
	return s.nodes[n], s.nodes[other]
}

// member is a node as it tells of itself and the others.
type member struct {
	Self   bool
	Shards []message.Shard
}

func (k *keeper) members(ctx context.Context) (all []member) {
	var doc struct{ Nodes []member }
	if status, body := k.ask(ctx, "/v1/nodes"); status == http.StatusOK && json.Unmarshal(body, &doc) == nil {
		return doc.Nodes
	}
	return nil
}

// has is what shards a node has, as it knows.
func (s *stage) has(ctx context.Context, k *keeper) ([]message.Shard, error) {
	members := k.members(ctx)
	i := slices.IndexFunc(members, func(m member) bool { return m.Self })
	if i < 0 {
		return nil, fmt.Errorf("node %d does not say which shards it has", k.number)
	}
	return members[i].Shards, nil
}

// settled returns when every node knows all the others, and each has shards.
func (s *stage) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settling, fmt.Errorf("the nodes do not come to share the shards within %v; see %s", settling, s.log.Name()))
	defer cancel()
	even := func(k *keeper) bool {
		members := k.members(ctx)
		return len(members) == len(s.nodes) && !slices.ContainsFunc(members, func(m member) bool { return len(m.Shards) == 0 })
	}
	for {
		if err := s.ended(); err != nil {
			return fmt.Errorf("%w; see %s", err, s.log.Name())
		}
		if !slices.ContainsFunc(s.nodes, func(k *keeper) bool { return !even(k) }) {
			return nil
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

// taken returns when a witness has an answer from each of the shards, by a read of
// an agent there, and when that was.
func (s *stage) taken(ctx context.Context, shards []message.Shard, witness *keeper) (at int64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, settling, fmt.Errorf("the shards of a node were not taken by others within %v; see %s", settling, s.log.Name()))
	defer cancel()
	for _, sh := range shards {
		path := "/v1/agents/" + s.probe(sh)
		for {
			if status, _ := witness.ask(ctx, path); status == http.StatusOK || status == http.StatusNotFound {
				break
			}
			if !sleep(ctx, 5*time.Millisecond) {
				return 0, context.Cause(ctx)
			}
		}
	}
	return s.rec.now(), nil
}

// probe names an account of a shard that nobody uses.
func (s *stage) probe(sh message.Shard) string {
	for n := 0; ; n++ {
		a := message.Agent{Tenant: "default", Type: "account", ID: fmt.Sprintf("%s-probe-%d", s.run, n)}
		if message.ShardOf(a, shardsEach*s.opt.Nodes) == sh {
			return accountType + a.ID
		}
	}
}
