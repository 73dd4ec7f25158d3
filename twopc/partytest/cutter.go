package partytest

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Cutter stands before a server, and loses one request, or the answer to it.
type Cutter struct {
	network, server string
	mu              sync.Mutex
	word            []byte // nil: nothing is lost
	reach           bool
}

// Socket listens on a socket in a directory of its own, until the test ends.
func Socket(t testing.TB, file string) (l net.Listener, dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "cut-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if l, err = net.Listen("unix", filepath.Join(dir, file)); err != nil {
		t.Fatal(err)
	}
	return l, dir
}

// NewCutter stands before a server, until the test ends.
func NewCutter(t testing.TB, l net.Listener, network, server string) *Cutter {
	t.Cleanup(func() { _ = l.Close() })
	c := &Cutter{network: network, server: server}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(client)
		}
	}()
	return c
}

// Cut has the next request with the word in it lost, or, if it shall reach the
// server, its answer. Either way the client's connection ends then.
func (c *Cutter) Cut(word string, reach bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.word, c.reach = []byte(word), reach
}

// hit says whether this is the request.
func (c *Cutter) hit(b []byte) (hit, reach bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.word == nil || !bytes.Contains(b, c.word) {
		return false, false
	}
	c.word = nil
	return true, c.reach
}

func (c *Cutter) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial(c.network, c.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	back := make(chan struct{})
	cut := make(chan struct{})
	go func() {
		defer close(back)
		b := make([]byte, 64<<10)
		for {
			n, err := server.Read(b)
			select {
			case <-cut: // this is the answer, or the end
				_ = client.Close()
				return
			default:
			}
			if err == nil {
				_, err = client.Write(b[:n])
			}
			if err != nil {
				_ = client.Close()
				return
			}
		}
	}()
	b := make([]byte, 64<<10)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		hit, reach := c.hit(b[:n])
		if hit {
			close(cut)
		}
		if hit && !reach {
			return
		}
		if _, err := server.Write(b[:n]); err != nil {
			return
		}
		if hit {
			<-back // the server's answer came, and goes nowhere
			_, _ = io.Copy(io.Discard, client)
			return
		}
	}
}
