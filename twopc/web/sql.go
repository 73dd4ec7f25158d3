package web

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Dialect is a database's SQL.
type Dialect int

// The dialects. In SQLite, a transaction must begin as a writer
// (_txlock=immediate), or two of them fail where one could wait.
const (
	PostgreSQL Dialect = iota + 1
	MariaDB
	SQLite
)

// SQLLedger is a [Ledger] in a table of the user's own database.
type SQLLedger struct {
	db      *sql.DB
	dialect Dialect
	table   string
}

var _ Ledger[*sql.Tx] = (*SQLLedger)(nil)

// SQL makes a ledger of a table, "semel_ledger" if its name is empty. db stays the
// caller's to close.
func SQL(db *sql.DB, d Dialect, table string) (*SQLLedger, error) {
	if table == "" {
		table = "semel_ledger"
	}
	if d < PostgreSQL || d > SQLite {
		return nil, fmt.Errorf("web: there is no dialect %d", d)
	}
	if strings.Trim(table, "abcdefghijklmnopqrstuvwxyz0123456789_.") != "" {
		return nil, fmt.Errorf("web: the table's name %q has other characters than a-z, 0-9, _ and the dot after a schema", table)
	}
	return &SQLLedger{db, d, table}, nil
}

// DDL is the statement by which Migrate makes the table.
func (l *SQLLedger) DDL() string {
	name, text := "varchar(48)", "text"
	if l.dialect == MariaDB {
		name, text = "varbinary(48)", "longtext" // a text ends after 64 KiB
	}
	return fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	tx %s NOT NULL,
	branch %[2]s NOT NULL,
	state varchar(16) NOT NULL,
	body %[3]s NOT NULL,
	reply %[3]s NOT NULL,
	since_us bigint NOT NULL,
	PRIMARY KEY (tx, branch)
)`, l.table, name, text)
}

// Migrate makes the table, if it is not there.
func (l *SQLLedger) Migrate(ctx context.Context) error {
	_, err := l.db.ExecContext(ctx, l.DDL())
	return err
}

// Clean removes the entries of what was resolved that long ago. It must be longer
// than any coordinator may be away, and any request on its way: a branch without its
// entry can be prepared again, and a Commit of it that is asked again says that it
// was not committed. A month is good.
func (l *SQLLedger) Clean(ctx context.Context, age time.Duration) error {
	_, err := l.db.ExecContext(ctx, l.sql("DELETE FROM %s WHERE state <> 'prepared' AND since_us < ?"), time.Now().Add(-age).UnixMicro())
	return err
}

// Within implements [Ledger]. The transaction is read committed, but in SQLite.
func (l *SQLLedger) Within(ctx context.Context, tx, branch string, f func(context.Context, *sql.Tx, Entry) (Entry, error)) error {
	var o *sql.TxOptions
	if l.dialect != SQLite {
		o = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	t, err := l.db.BeginTx(ctx, o)
	if err != nil {
		return failure{err}
	}
	defer func() { _ = t.Rollback() }() // after a commit it does nothing
	e, err := l.claim(ctx, t, tx, branch)
	if err != nil {
		return failure{err}
	}
	before := e.State
	if e, err = f(ctx, t, e); err != nil {
		return err
	}
	switch {
	case e.State == before && before != None:
	case e.State == None:
		_, err = t.ExecContext(ctx, l.sql("DELETE FROM %s WHERE tx = ? AND branch = ?"), tx, branch)
	default:
		_, err = t.ExecContext(ctx, l.sql("UPDATE %s SET state = ?, body = ?, reply = ?, since_us = ? WHERE tx = ? AND branch = ?"),
			string(e.State), string(e.Body), string(e.Reply), e.Since.UnixMicro(), tx, branch)
	}
	if err != nil {
		return failure{err}
	}
	return t.Commit()
}

// claim makes the branch's row, or waits until it is free: from then on there is no other
// transaction of the branch.
func (l *SQLLedger) claim(ctx context.Context, t *sql.Tx, tx, branch string) (Entry, error) {
	insert, lock := "INSERT INTO %s (tx, branch, state, body, reply, since_us) VALUES (?, ?, '', '', '', 0) ON CONFLICT DO NOTHING", " FOR UPDATE"
	switch l.dialect {
	case MariaDB:
		insert = "INSERT INTO %s (tx, branch, state, body, reply, since_us) VALUES (?, ?, '', '', '', 0) ON DUPLICATE KEY UPDATE tx = VALUES(tx)"
	case SQLite:
		lock = "" // there is one writer
	}
	if _, err := t.ExecContext(ctx, l.sql(insert), tx, branch); err != nil {
		return Entry{}, err
	}
	return scan(t.QueryRowContext(ctx, l.sql("SELECT "+columns+" FROM %s WHERE tx = ? AND branch = ?"+lock), tx, branch))
}

const columns = "tx, branch, state, body, reply, since_us"

func scan(row interface{ Scan(...any) error }) (e Entry, err error) {
	var body, reply []byte
	var since int64
	err = row.Scan(&e.Tx, &e.Branch, &e.State, &body, &reply, &since)
	if len(body) > 0 {
		e.Body = json.RawMessage(body)
	}
	if len(reply) > 0 {
		e.Reply = json.RawMessage(reply)
	}
	e.Since = time.UnixMicro(since)
	return e, err
}

// Prepared implements [Ledger].
func (l *SQLLedger) Prepared(ctx context.Context) (all []Entry, err error) {
	rows, err := l.db.QueryContext(ctx, l.sql("SELECT "+columns+" FROM %s WHERE state = 'prepared' ORDER BY since_us"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		e, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, rows.Err()
}

// sql is a statement about the table, with the dialect's placeholders.
func (l *SQLLedger) sql(form string) string {
	s := fmt.Sprintf(form, l.table)
	if l.dialect != PostgreSQL {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range s {
		if r == '?' {
			n++
			fmt.Fprintf(&b, "$%d", n)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
