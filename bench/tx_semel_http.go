package bench

import (
	"context"
	"encoding/json"
	"net"

	"github.com/semel-dev/semel"
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
	return &txHTTP{txSemel: s, server: serveOn(listener, &Bench{App: s.app}, server.Options{})}, nil
}

// saga is the one that is in process, of callers who come over HTTP as DTM's do,
// with a kept connection each.
func (h *txHTTP) saga() way {
	return h.way("Semel, saga, over HTTP", []string{takeOut, takeIn}, func(tx string) (semel.Request, error) {
		r, _, err := h.sagas.Request(transfer, tx, json.RawMessage(branchBody(tx)))
		return r, err
	})
}

// agents is the two-phase commit that is in process, of callers over HTTP.
func (h *txHTTP) agents() way {
	return h.way("Semel, 2PC of two agents, over HTTP, until decided", nil, func(tx string) (semel.Request, error) {
		return h.coordinator.Request(context.Background(), tx, randomTransfer())
	})
}

// way sends requests as they are, so that what makes them costs the callers what
// it costs those of the other ways.
func (h *txHTTP) way(name string, calls []string, request func(tx string) (semel.Request, error)) way {
	return way{
		name: name, calls: calls, used: h.used,
		dial: func() (caller, error) {
			c, err := connect(h.server.address)
			if err != nil {
				return caller{}, err
			}
			return caller{
				transact: func(tx string) error {
					r, err := request(tx)
					if err != nil {
						return err
					}
					return c.call(r.Type, r.ID, r.Action, r.Key, string(r.Body))
				},
				close: func() { _ = c.conn.Close() }, // there is nothing under way
			}, nil
		},
	}
}
