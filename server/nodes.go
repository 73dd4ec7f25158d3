package server

import (
	"context"
	"net/http"
)

// nodeDoc is one process of a cluster.
type nodeDoc struct {
	ID      string `json:"id" doc:"of this run of the process"`
	Name    string `json:"name"`
	Address string `json:"address,omitempty" doc:"where the other nodes reach it"`
	Leaving bool   `json:"leaving,omitempty" doc:"it gives its shards away"`
	Self    bool   `json:"self,omitempty" doc:"it answered this"`
	Shards  []int  `json:"shards" nullable:"false"`
}

type nodesDoc struct {
	Nodes []nodeDoc `json:"nodes" nullable:"false"`
}

// nodes is GET /v1/nodes.
func (s *api) nodes(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	nodes, err := s.app.Nodes(ctx)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	doc := nodesDoc{Nodes: make([]nodeDoc, len(nodes))}
	for i, n := range nodes {
		doc.Nodes[i] = nodeDoc(n)
		if n.Shards == nil {
			doc.Nodes[i].Shards = []int{}
		}
	}
	writeStatus(w, http.StatusOK, doc)
}

// shardDoc is a part of the agents, which one node runs.
type shardDoc struct {
	Number  int    `json:"shard"`
	Node    string `json:"node,omitempty" doc:"id of the node that holds it; none if nobody does"`
	Epoch   uint64 `json:"epoch" doc:"how often it was opened"`
	Unit    uint64 `json:"unit" doc:"the last that is durable"`
	Waiting int    `json:"waiting" doc:"calls and other events that wait for it"`
	Effects int    `json:"effects" doc:"that are not settled"`
	Sent    uint64 `json:"sent" doc:"messages that its agents sent, ever"`
	Taken   uint64 `json:"taken" doc:"messages that its agents took, ever: over all shards, the difference to sent is under way"`
	Paused  bool   `json:"paused,omitempty" doc:"it forgets nothing until retention is resumed"`
	Problem string `json:"problem,omitempty" doc:"why it does not run, or why its node does not say"`
}

type shardsDoc struct {
	Shards []shardDoc `json:"shards" nullable:"false"`
}

// shards is GET /v1/shards.
func (s *api) shards(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	shards, err := s.app.Shards(ctx)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	doc := shardsDoc{Shards: make([]shardDoc, len(shards))}
	for i, sh := range shards {
		doc.Shards[i] = shardDoc(sh)
	}
	writeStatus(w, http.StatusOK, doc)
}
