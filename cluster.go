package semel

import (
	"context"
	"errors"
	"slices"

	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/store"
)

// Cluster says how the nodes of a cluster reach each other: the processes that
// have the same store open, such as a PostgreSQL database. Each runs some of the
// shards, and any of them may be asked for any agent. An embedded store needs
// none.
type Cluster struct {
	// Address is where the other nodes reach this one, as Ask takes it.
	Address string
	// Ask carries a question to the node at an address, which gives it to its
	// App.AnswerNode, and brings the answer. If that node certainly did not get
	// the question, the error wraps ErrNodeNotAsked; every other error leaves it
	// open. Questions hold what callers sent, and whoever may ask may do
	// anything: carry them where nobody listens, to nodes that know each other.
	Ask func(ctx context.Context, address string, question []byte) (answer []byte, err error)
}

// ErrNodeNotAsked is what Cluster.Ask returns when the other node did not get
// the question.
var ErrNodeNotAsked = engine.ErrNotAsked

// peers makes an Ask the engine's.
type peers func(ctx context.Context, address string, question []byte) ([]byte, error)

func (ask peers) Ask(ctx context.Context, to store.Node, question []byte) ([]byte, error) {
	return ask(ctx, to.Address, question)
}

// AnswerNode answers what another node of the cluster asks by Cluster.Ask. It
// waits as long as what is asked for takes, at most until ctx ends.
func (app *App) AnswerNode(ctx context.Context, question []byte) []byte {
	return app.engine.Answer(ctx, question)
}

// Node is one process of a cluster.
type Node struct {
	ID      string // of this run of the process
	Name    string // Config.Owner
	Address string // Cluster.Address
	Leaving bool   // it gives its shards away
	Self    bool   // it is this one
	Shards  []int  // that it holds
}

// Nodes are the processes that live, as this one heard last. Of an embedded
// store there is one, which has every shard.
func (app *App) Nodes(ctx context.Context) ([]Node, error) {
	if err := app.use(ctx); err != nil {
		return nil, err
	}
	roster, self, err := app.engine.Roster()
	if err != nil {
		return nil, err
	}
	nodes := make([]Node, len(roster.Nodes))
	for i, n := range roster.Nodes {
		nodes[i] = Node{ID: n.ID, Name: n.Name, Address: n.Address, Leaving: n.Leaving, Self: n.ID == self}
		for shard, holder := range roster.Holders {
			if holder == n.ID {
				nodes[i].Shards = append(nodes[i].Shards, shard)
			}
		}
	}
	return slices.Clip(nodes), nil
}

// Shard is a part of the agents, which one node runs.
type Shard struct {
	Number  int
	Node    string // Node.ID of its holder; "" for nobody, or for a node whose lease is over
	Epoch   uint64 // how often it was opened
	Unit    uint64 // the last unit that is durable
	Waiting int    // calls and other events that wait for its loop
	Effects int    // that are not settled
	Sent    uint64 // messages that its agents sent, ever
	Taken   uint64 // ... and were sent: over all shards, the difference is under way
	Paused  bool   // it forgets nothing until App.ResumeRetention
	Problem string // why it does not run, or why its node does not say; "" if it runs
}

// Shards says how each shard is doing, as its node sees it. A node that does not
// answer is waited for no longer than ctx.
func (app *App) Shards(ctx context.Context) ([]Shard, error) {
	if err := app.use(ctx); err != nil {
		return nil, err
	}
	roster, _, err := app.engine.Roster()
	if err != nil {
		return nil, err
	}
	shards := make([]Shard, len(roster.Holders))
	for i, holder := range roster.Holders {
		sh := &shards[i]
		sh.Number = i
		if !slices.ContainsFunc(roster.Nodes, func(n store.Node) bool { return n.ID == holder }) {
			sh.Problem = "no node holds it"
			continue
		}
		sh.Node = holder
		st, fault := app.engine.ShardStatus(ctx, i)
		if fault != nil {
			sh.Problem = fault.Detail
			continue
		}
		sh.Epoch, sh.Unit = uint64(st.Version.Epoch), uint64(st.Version.Seq)
		sh.Waiting, sh.Effects, sh.Sent, sh.Taken = st.Queue, st.Effects, st.Sent, st.Taken
		sh.Paused, sh.Problem = st.Paused, st.Down
	}
	return shards, nil
}

func (c *Cluster) validate() error {
	switch {
	case c == nil:
		return nil
	case c.Address == "":
		return errors.New("semel: config: Cluster.Address is empty; it must be where the other nodes reach this one")
	case c.Ask == nil:
		return errors.New("semel: config: Cluster.Ask is nil; it must carry questions to other nodes")
	}
	return nil
}
