package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ServerError says that a server cannot be trusted with the store, or is not
// the one to ask, and what to do about it.
type ServerError struct {
	Reason string
}

func (e *ServerError) Error() string { return e.Reason }

// settings on which an acknowledged commit depends (FAULTS 39).
var settings = [...]string{"fsync", "full_page_writes", "synchronous_commit"}

// checkServer looks at the server behind a new connection: after a failover it
// may be another one. A server that does not know a setting, as databases that
// speak PostgreSQL's protocol may not, has nothing to turn off.
func checkServer(ctx context.Context, c *pgx.Conn, opt Options) error {
	var standby bool
	values := make([]*string, len(settings))
	// The simple protocol: one round trip, and nothing prepared that lasts.
	err := c.QueryRow(ctx, `SELECT pg_is_in_recovery(), current_setting('fsync', true),
		current_setting('full_page_writes', true), current_setting('synchronous_commit', true)`,
		pgx.QueryExecModeSimpleProtocol).Scan(&standby, &values[0], &values[1], &values[2])
	var said *pgconn.PgError
	if errors.As(err, &said) && said.Code == "42883" { // there is no such function
		return nil
	}
	if err != nil {
		return err
	}
	if standby {
		return &ServerError{"the server is a standby: name the primary in the DSN, or all servers, with target_session_attrs=read-write"}
	}
	if opt.UnsafeServer {
		return nil
	}
	for i, v := range values {
		if v != nil && *v == "off" {
			return &ServerError{fmt.Sprintf("the server runs with %s = off, so that it may lose what it acknowledged: "+
				"turn it on (ALTER SYSTEM SET %s = on, or for the role or the database where it is set there), or allow an unsafe server", settings[i], settings[i])}
		}
	}
	return nil
}
