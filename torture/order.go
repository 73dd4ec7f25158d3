package torture

import (
	"context"
	"net"
	"sync"
)

// order numbers connections as they come. With it a question about what was done
// can wait until every request that was sent before has been read and entered,
// also one whose sender was killed a moment ago and that is still in a buffer:
// the promise that a probe must be able to rely on, and a person too.
type order struct {
	mu      sync.Mutex
	changed *sync.Cond
	last    uint64
	open    map[uint64]bool // connections whose request may still have to be entered
}

type orderKey struct{}

func newOrder() *order {
	o := &order{open: make(map[uint64]bool)}
	o.changed = sync.NewCond(&o.mu)
	return o
}

func (o *order) listen(l net.Listener) net.Listener { return &orderedListener{l, o} }

// context is http.Server.ConnContext.
func (o *order) context(ctx context.Context, c net.Conn) context.Context {
	if oc, ok := c.(*orderedConn); ok {
		return context.WithValue(ctx, orderKey{}, oc.number)
	}
	return ctx
}

// done says that the request of this connection was entered.
func (o *order) done(ctx context.Context) {
	if n, ok := ctx.Value(orderKey{}).(uint64); ok {
		o.release(n)
	}
}

func (o *order) release(n uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.open, n)
	o.changed.Broadcast()
}

// await returns when no request of an earlier connection is on its way.
func (o *order) await(ctx context.Context) {
	n, ok := ctx.Value(orderKey{}).(uint64)
	if !ok {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.earlier(n) {
		o.changed.Wait()
	}
}

func (o *order) earlier(n uint64) bool {
	for k := range o.open {
		if k < n {
			return true
		}
	}
	return false
}

type orderedListener struct {
	net.Listener
	order *order
}

func (l *orderedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	o := l.order
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last++
	o.open[o.last] = true
	return &orderedConn{c, o, o.last}, nil
}

type orderedConn struct {
	net.Conn
	order  *order
	number uint64
}

func (c *orderedConn) Close() error {
	defer c.order.release(c.number)
	return c.Conn.Close()
}
