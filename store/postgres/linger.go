package postgres

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errNoCancel is what a cancel request hears, see connectOnce.
var errNoCancel = errors.New("a statement is never cancelled")

// linger is how long a connection that the driver gave up waits for the server to
// end it. The driver would wait 15 s, which is what a server takes to hear of a
// cancel request that this package does not send: while a statement waits for a
// lock, nobody listens. For as long the connection has its place in the pool, and
// closing the pool waits for it. What was sent goes on in the server either way.
const linger = time.Second

// connectOnce refuses a connection to dial once it is established. What it
// would dial for is to ask the server to cancel a statement, which the driver
// does when it gives the connection up because a context ended; see the package
// documentation for why it must not.
func connectOnce(_ context.Context, cfg *pgx.ConnConfig) error {
	var last atomic.Pointer[lingering] // of several hosts, and with TLS and without, the one that is used
	var established atomic.Bool
	dial := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if established.Load() {
			last.Load().givenUp.Store(true)
			return nil, errNoCancel
		}
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		l := &lingering{Conn: c}
		last.Store(l)
		return l, nil
	}
	after := cfg.Config.AfterConnect
	cfg.Config.AfterConnect = func(ctx context.Context, c *pgconn.PgConn) error {
		established.Store(true)
		if after != nil {
			return after(ctx, c)
		}
		return nil
	}
	return nil
}

// lingering is a connection that has no deadline later than linger once it is
// given up. The driver sets its own after it asked to cancel.
type lingering struct {
	net.Conn
	givenUp atomic.Bool
}

func (c *lingering) SetDeadline(t time.Time) error {
	if longest := time.Now().Add(linger); c.givenUp.Load() && (t.IsZero() || t.After(longest)) {
		t = longest
	}
	return c.Conn.SetDeadline(t)
}
