package outbox_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/semel-dev/semel/internal/pgtest"
)

// cutter stands before a server and loses one COMMIT, or the answer to it.
type cutter struct {
	dsn    string
	armed  atomic.Bool
	reach  atomic.Bool // the server gets the COMMIT, and its answer is lost
	server string
}

// newCutter listens before the server of a database, on a socket of its own.
func newCutter(t *testing.T, kind, dsn string, socket string) *cutter {
	t.Helper()
	dir, err := os.MkdirTemp("", "cut-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &cutter{server: socket}
	at := filepath.Join(dir, ".s.PGSQL.5432")
	if kind == "mariadb" {
		cfg, err := mysql.ParseDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		c.server, cfg.Addr = cfg.Addr, at
		c.dsn = cfg.FormatDSN()
	} else {
		c.dsn = pgtest.With(dsn, "host", dir)
	}
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
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

func (c *cutter) serve(client net.Conn) {
	server, err := net.Dial("unix", c.server)
	if err != nil {
		_ = client.Close()
		return
	}
	var cut atomic.Bool
	go func() {
		defer func() { _ = client.Close() }()
		b := make([]byte, 64<<10)
		for {
			n, err := server.Read(b)
			if cut.Load() || err != nil {
				return // the answer to the COMMIT goes with it
			}
			if _, err := client.Write(b[:n]); err != nil {
				return
			}
		}
	}()
	defer func() { _ = server.Close() }()
	b := make([]byte, 64<<10)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		if strings.Contains(string(bytes.ToLower(b[:n])), "commit") && c.armed.CompareAndSwap(true, false) {
			cut.Store(true)
			if c.reach.Load() {
				_, _ = server.Write(b[:n])
				_, _ = io.Copy(io.Discard, client) // the other half closes it after the server's answer
			}
			_ = client.Close()
			return
		}
		if _, err := server.Write(b[:n]); err != nil {
			return
		}
	}
}
