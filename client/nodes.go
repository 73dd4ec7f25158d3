package client

import "context"

// Node is one process of a cluster.
type Node struct {
	ID      string `json:"id"` // of this run of the process
	Name    string `json:"name"`
	Address string `json:"address,omitempty"` // where the other nodes reach it
	Leaving bool   `json:"leaving,omitempty"` // it gives its shards away
	Self    bool   `json:"self,omitempty"`    // it is the server that was asked
	Shards  []int  `json:"shards"`
}

// Nodes lists the servers that share the store, as the one that is asked heard
// last. A server with a directory of its own is alone.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	doc, err := get[struct{ Nodes []Node }](ctx, c, reading("/v1/nodes", "list nodes"))
	return doc.Nodes, err
}

// Shard is a part of the agents, which one node runs.
type Shard struct {
	Number  int    `json:"shard"`
	Node    string `json:"node,omitempty"` // Node.ID of its holder; "" for nobody
	Epoch   uint64 `json:"epoch"`          // how often it was opened
	Unit    uint64 `json:"unit"`           // the last that is durable
	Waiting int    `json:"waiting"`        // calls and other events that wait for it
	Effects int    `json:"effects"`        // that are not settled
	Sent    uint64 `json:"sent"`           // messages that its agents sent, ever
	Taken   uint64 `json:"taken"`          // messages that they took: over all shards, the difference is under way
	Paused  bool   `json:"paused,omitempty"`
	Problem string `json:"problem,omitempty"` // why it does not run, or why its node does not say
}

// Shards says how each shard is doing.
func (c *Client) Shards(ctx context.Context) ([]Shard, error) {
	doc, err := get[struct{ Shards []Shard }](ctx, c, reading("/v1/shards", "list shards"))
	return doc.Shards, err
}
