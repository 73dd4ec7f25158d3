package bench

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"

	"github.com/semel-dev/semel/server"
)

// txHTTP is Semel behind its server on a loopback address.
type txHTTP struct {
	*txSemel
	server *httpBench
}

func (s *txSemel) serve() (*txHTTP, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &txHTTP{txSemel: s, server: serveOn(listener, &Bench{App: s.app}, server.Options{Sagas: s.sagas, Transactions: s.coordinator})}, nil
}

// saga is the one that is in process, of callers who come over HTTP as DTM's do,
// with a kept connection each.
func (h *txHTTP) saga() way {
	return h.way("Semel, saga, over HTTP", []string{takeOut, takeIn}, "/v1/sagas/"+transfer, branchBody)
}

// agents is the two-phase commit that is in process, of callers over HTTP.
func (h *txHTTP) agents() way {
	return h.way("Semel, 2PC of two agents, over HTTP, until decided", nil, "/v1/transactions", func(string) string { return transferBody() })
}

// transferBody is a randomTransfer as the API takes it.
func transferBody() string {
	from := rand.IntN(txAgents)
	to := (from + 1 + rand.IntN(txAgents-1)) % txAgents
	move := func(agent, cents int) map[string]any {
		return map[string]any{"agent": "account/" + accountID(agent), "action": "credit", "body": Credit{Cents: int64(cents), Memo: memo}}
	}
	b, err := json.Marshal(map[string]any{"participants": []any{move(from, -30), move(to, 30)}})
	if err != nil {
		panic(fmt.Sprintf("bench: a body of our own: %v", err))
	}
	return string(b)
}

func (h *txHTTP) way(name string, calls []string, path string, body func(tx string) string) way {
	return way{
		name: name, calls: calls, used: h.used,
		dial: func() (caller, error) {
			c, err := connect(h.server.address)
			if err != nil {
				return caller{}, err
			}
			return caller{
				transact: func(tx string) error { return c.post(path, tx, body(tx)) },
				close:    func() { _ = c.conn.Close() }, // there is nothing under way
			}, nil
		},
	}
}
