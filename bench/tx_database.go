package bench

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// txDatabase is the PostgreSQL that managers keep their transactions in. A nil
// one is none.
type txDatabase struct {
	ctx        context.Context
	dsn        string
	postmaster int // the process whose children serve the connections, if the server is on this machine
}

// url is its DSN; empty of none.
func (d *txDatabase) url() string {
	if d == nil {
		return ""
	}
	return d.dsn
}

// used is what the server has used, and done, so far. Its counters are as old as
// a second, which is little beside a round.
func (d *txDatabase) used() (u usage) {
	if d == nil {
		return u
	}
	u.database = familyTime(d.postmaster)
	// What cannot be counted is shown as nothing: it is no reason to fail.
	_ = d.ask(`SELECT (SELECT sum(xact_commit)::bigint FROM pg_stat_database), (SELECT wal_sync FROM pg_stat_wal)`, &u.commits, &u.syncs)
	return u
}

// find finds the server's process.
func (d *txDatabase) find() error {
	var backend int
	if err := d.ask("SELECT pg_backend_pid()", &backend); err != nil {
		return err
	}
	_, d.postmaster = processTime(backend)
	return nil
}

func (d *txDatabase) ask(sql string, into ...any) (err error) {
	c, err := pgx.Connect(d.ctx, d.dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(d.ctx))) }()
	return c.QueryRow(d.ctx, sql).Scan(into...)
}
