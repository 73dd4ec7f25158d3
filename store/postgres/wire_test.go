package postgres

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

var errCut = errors.New("the network was cut")

// loss is what the network does to the next message that is sent.
type loss int

const (
	none         loss = iota
	loseMessage       // the server does not get it
	loseAnswer        // the server gets it and answers, and the answer is lost
	delayMessage      // the server gets it when deliver is called
)

// wire is a network that loses things when it is told to.
type wire struct {
	next      atomic.Int64         // the loss of the next message
	conflicts atomic.Int64         // answers that said 40001
	hold      atomic.Pointer[hold] // what is to be held up next

	mu      sync.Mutex
	delayed func(testing.TB)
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &wireConn{Conn: c, wire: w}, nil
}

// lose arms the wire. The statement must be prepared on the connection: else
// the message that is lost is the one that prepares it.
func (w *wire) lose(l loss) { w.next.Store(int64(l)) }

// hold is an answer that the network holds up: of the next statement with a text.
type hold struct {
	text     string
	answered chan struct{} // closed when the server has answered
	release  chan struct{} // to be closed when the answer may go on
}

func (w *wire) holdAnswer(text string) *hold {
	h := &hold{text: text, answered: make(chan struct{}), release: make(chan struct{})}
	w.hold.Store(h)
	return h
}

// deliver gives the server the message that was delayed, and returns when it
// has answered.
func (w *wire) deliver(t testing.TB) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delayed(t)
}

type wireConn struct {
	net.Conn
	wire *wire
	cut  atomic.Bool
	late bool // the server's side stays open
	held atomic.Pointer[hold]
}

func (c *wireConn) Write(b []byte) (int, error) {
	if c.cut.Load() {
		return 0, errCut
	}
	if h := c.wire.hold.Load(); h != nil && bytes.Contains(b, []byte(h.text)) && c.wire.hold.CompareAndSwap(h, nil) {
		c.held.Store(h)
	}
	switch loss(c.wire.next.Swap(int64(none))) {
	case loseMessage:
		c.cut.Store(true)
		return len(b), nil
	case loseAnswer:
		n, err := c.Conn.Write(b)
		if err == nil {
			err = c.swallow()
		}
		c.cut.Store(true)
		return n, err
	case delayMessage:
		c.cut.Store(true)
		c.late = true
		message := bytes.Clone(b)
		c.wire.mu.Lock()
		c.wire.delayed = func(t testing.TB) {
			if _, err := c.Conn.Write(message); err != nil {
				t.Error(err)
			}
			if err := c.swallow(); err != nil {
				t.Error(err)
			}
			_ = c.Conn.Close()
		}
		c.wire.mu.Unlock()
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// swallow reads up to the server's ReadyForQuery, outside of a transaction.
func (c *wireConn) swallow() error {
	ready := []byte{'Z', 0, 0, 0, 5, 'I'}
	var got []byte
	buf := make([]byte, 4096)
	for !bytes.HasSuffix(got, ready) {
		n, err := c.Conn.Read(buf)
		if err != nil {
			return err
		}
		got = append(got, buf[:n]...)
	}
	return nil
}

func (c *wireConn) Read(b []byte) (int, error) {
	if c.cut.Load() {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(b)
	if h := c.held.Swap(nil); h != nil {
		close(h.answered)
		<-h.release
	}
	if bytes.Contains(b[:n], []byte("C40001\x00")) {
		c.wire.conflicts.Add(1)
	}
	if c.cut.Load() {
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *wireConn) Close() error {
	if c.cut.Load() && c.late {
		return nil
	}
	return c.Conn.Close()
}
