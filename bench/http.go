package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/server"
)

// httpBench is a Bench behind a real server on a loopback address, and the
// clients that call it.
type httpBench struct {
	bench   *Bench
	server  *http.Server
	address string
	served  chan error
}

// serveHTTP serves a Bench, with the bounds that `semel serve` has.
func serveHTTP(b *Bench) (*httpBench, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return serveOn(listener, b, server.Options{}), nil
}

// serveOn serves on a listener, which is closed with it.
func serveOn(listener net.Listener, b *Bench, o server.Options) *httpBench {
	quiet := slog.New(slog.DiscardHandler)
	o.Logger = quiet
	h := &httpBench{
		bench: b,
		server: &http.Server{
			Handler:           server.Handler(b.App, o),
			ReadHeaderTimeout: 10 * time.Second,
			ReadTimeout:       30 * time.Second,
			WriteTimeout:      70 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    32 << 10,
			ErrorLog:          slog.NewLogLogger(quiet.Handler(), slog.LevelWarn),
		},
		address: listener.Addr().String(),
		served:  make(chan error, 1),
	}
	go func() { h.served <- h.server.Serve(listener) }()
	return h
}

// close stops the server. The Bench stays open.
func (h *httpBench) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := h.server.Shutdown(ctx)
	if e := <-h.served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// clients are connections that a load's callers use, one each.
type clients []*client

// dial opens a connection for each caller, so that no call waits for one.
func (h *httpBench) dial(l Load) (clients, error) {
	var all clients
	for range l.Callers {
		conn, err := net.Dial("tcp", h.address)
		if err != nil {
			all.close()
			return nil, fmt.Errorf("connection %d of %d: %w; fewer --callers, or a higher limit of open files (ulimit -n), may help", len(all)+1, l.Callers, err)
		}
		all = append(all, newClient(conn, h.address))
	}
	return all, nil
}

func (all clients) close() {
	for _, c := range all {
		_ = c.conn.Close() // there is nothing under way
	}
}

// run offers a load of one guarantee: single calls, each a request, or groups
// in one request.
func (h *httpBench) run(l Load, all clients, g message.Guarantee) (Result, error) {
	action := actionNames[g]
	bodies := make([]string, 100)
	for i := range bodies {
		bodies[i] = fmt.Sprintf(`{"cents":%d,"memo":%q}`, i+1, memo)
	}
	key := h.bench.keys(g)
	return run(l, func(caller, n int) error {
		c := all[caller]
		if l.Group == 1 {
			return c.call("account", "a"+strconv.Itoa(rand.IntN(l.Agents)), action, key(), bodies[n%100])
		}
		c.beginBatch()
		for i := range l.Group {
			c.addToBatch("account", "a"+strconv.Itoa(rand.IntN(l.Agents)), action, key(), bodies[(n+i)%100])
		}
		return c.callBatch(l.Group)
	})
}
