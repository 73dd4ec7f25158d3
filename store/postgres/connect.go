package postgres

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// connect makes the pool of connections for units and reads. None is made yet.
func connect(dsn string, opt Options) (*pgxpool.Pool, error) {
	cfg, err := configure(dsn, opt)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(dsn, "pool_max_conns") {
		cfg.MaxConns = maxConns
	}
	return pgxpool.NewWithConfig(context.Background(), cfg)
}

// connectLeases makes the pool of connections for leases. They have their own,
// because a load that keeps all others busy for a lease would else end it.
func connectLeases(dsn string, opt Options) (*pgxpool.Pool, error) {
	cfg, err := configure(dsn, opt)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = leaseConns, 0, 0
	return pgxpool.NewWithConfig(context.Background(), cfg)
}

func configure(dsn string, opt Options) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, badDSN(err)
	}
	if strings.Contains(cfg.ConnConfig.Database, "@") { // the rest of a password, most likely
		return nil, errors.New("the DSN has a database with an @ in its name; in a password of a URL write %2F for /, %3F for ?, %23 for # and %40 for @")
	}
	if _, ok := cfg.ConnConfig.RuntimeParams["application_name"]; !ok {
		cfg.ConnConfig.RuntimeParams["application_name"] = "semel"
	}
	if opt.dial != nil {
		cfg.ConnConfig.DialFunc = opt.dial
	} else {
		// A host that went away silently is noticed within the patience.
		d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3}}
		cfg.ConnConfig.DialFunc = d.DialContext
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	cfg.ConnConfig.OnNotice = noteReplication
	cfg.BeforeConnect = connectOnce
	cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error { return checkServer(ctx, c, opt) }
	return cfg, nil
}

// unreplicated marks a connection on which a commit's wait for a synchronous
// standby was given up.
const unreplicated = "semel: unreplicated"

// noteReplication hears the server's notices. A commit whose wait for a
// synchronous standby is cancelled is answered as a success, with a warning.
func noteReplication(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.Routine == "SyncRepWaitForLSN" || strings.HasSuffix(n.File, "syncrep.c") {
		c.CustomData()[unreplicated] = true
	}
}

// takeUnreplicated says whether the connection was marked, and clears the mark.
func takeUnreplicated(c *pgx.Conn) bool {
	data := c.PgConn().CustomData()
	_, marked := data[unreplicated]
	delete(data, unreplicated)
	return marked
}
