package outbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// DDL is all statements that make the tables, for whoever applies them by a tool
// of his own, with semicolons at the ends of lines. They may be repeated.
func (o *Outbox) DDL() string {
	return tables(o.dialect, o.prefix) + "\n-- The beginning of what is remembered.\n" +
		"INSERT INTO " + o.prefix + "once_horizon (one, at) SELECT 1, 0 FROM (SELECT 1 AS here) AS fresh" +
		" WHERE NOT EXISTS (SELECT 1 FROM " + o.prefix + "once_horizon);\n" +
		"\n-- The partitions; their number is fixed from now on.\n" + o.partitions()
}

// partitions is the statement that divides the ordering keys, unless they are
// divided already: a second division beside the first would let two relays
// deliver one key.
func (o *Outbox) partitions() string {
	var rows []string
	for i := range o.parts {
		lo := binary.BigEndian.AppendUint16(nil, uint16(i*65536/o.parts)) //nolint:gosec // below 65,536
		hi := bytes.Repeat([]byte{0xff}, 17)                              // behind every key, which has 16 bytes
		if i+1 < o.parts {
			hi = binary.BigEndian.AppendUint16(nil, uint16((i+1)*65536/o.parts)) //nolint:gosec // below 65,536
		}
		row := "SELECT %d AS part, %s AS lo, %s AS hi"
		if o.dialect == PostgreSQL {
			row = "SELECT %d AS part, %s::bytea AS lo, %s::bytea AS hi"
		}
		rows = append(rows, fmt.Sprintf(row, i, o.dialect.hex(lo), o.dialect.hex(hi)))
	}
	return fmt.Sprintf("INSERT INTO %[1]soutbox_leases (part, lo, hi, owner, token, turns, lasts, expires_at)\n"+
		"SELECT part, lo, hi, '', 0, 0, 0, 0 FROM (\n\t%[2]s\n) AS fresh WHERE NOT EXISTS (SELECT 1 FROM %[1]soutbox_leases);\n",
		o.prefix, strings.Join(rows, "\n\tUNION ALL "))
}

// Migrate makes the tables that are not there yet. Several programs may do it at
// the same time, and at every start.
func (o *Outbox) Migrate(ctx context.Context, db DB) error {
	var err error
	for range 5 { // CREATE TABLE IF NOT EXISTS of two sessions at once may fail for one of them
		if err = o.migrate(ctx, db); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return &Error{Op: "migrate", Err: err}
	}
	return nil
}

func (o *Outbox) migrate(ctx context.Context, db DB) (err error) {
	tx, err := db.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Rollback(context.WithoutCancel(ctx))) }()
	for _, statement := range statements(o.DDL()) {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%w\n%s", err, statement)
		}
	}
	return tx.Commit(ctx)
}

// statements splits what DDL returns: not every driver takes several at once.
func statements(ddl string) []string {
	var all []string
	for s := range strings.SplitSeq(ddl, ";\n") {
		var lines []string
		for line := range strings.Lines(s) {
			if code, _, _ := strings.Cut(line, "--"); strings.TrimSpace(code) != "" {
				lines = append(lines, strings.TrimRight(code, " \n"))
			}
		}
		if len(lines) > 0 {
			all = append(all, strings.Join(lines, "\n"))
		}
	}
	return all
}
