package outbox

import (
	"context"
	"fmt"
)

// trust refuses a database that may lose what it has committed (FAULTS 39). It is
// asked again as long as the relay runs: settings change, and servers do.
//
// Senders may be less careful than the relay. PostgreSQL's and InnoDB's logs, and
// SQLite's, are made durable in their order, so the relay's own commit makes
// durable all that it has seen, whatever synchronous_commit a sender has.
func (r *Relay) trust(ctx context.Context) error {
	if r.cfg.UnsafeServer {
		return nil
	}
	var setting string
	query := map[Dialect]string{
		PostgreSQL: `SELECT COALESCE(string_agg(name, ', '), '') FROM (VALUES ('fsync', current_setting('fsync', true)),
			('full_page_writes', current_setting('full_page_writes', true)),
			('synchronous_commit', current_setting('synchronous_commit', true))) AS s (name, value) WHERE value = 'off'`,
		// A binary log is the judge of what was prepared when the server crashed.
		MariaDB: `SELECT CONCAT_WS(', ', IF(@@GLOBAL.innodb_flush_log_at_trx_commit IN (1, 3), NULL, 'innodb_flush_log_at_trx_commit'),
			IF(@@GLOBAL.log_bin AND @@GLOBAL.sync_binlog <> 1, 'sync_binlog', NULL))`,
	}[r.o.dialect]
	if r.o.dialect == SQLite {
		var level int64 // of this connection, which is like the pool's others
		if _, err := one(ctx, r.db, "PRAGMA synchronous", nil, &level); err != nil {
			return err
		}
		if level < 2 {
			setting = "synchronous"
		}
	} else if _, err := one(ctx, r.db, query, nil, &setting); err != nil {
		return err
	}
	if setting != "" {
		return &Error{Op: "relay", What: "of this " + r.o.dialect.String(), Kind: ErrUnsafeServer,
			Err: fmt.Errorf("mend %s, or allow RelayConfig.UnsafeServer", setting)}
	}
	return nil
}
