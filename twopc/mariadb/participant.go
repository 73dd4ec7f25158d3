package mariadb

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/semel-dev/semel/twopc"
)

// Tx is the transaction as Work sees it: a connection within XA START and XA END.
// Rows must be closed before Work returns. Statements that commit by themselves, as DDL does, fail.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Work is the user's part of a branch. It may run more than once, and of all runs at
// most one takes effect. A [*semel.Rejection] votes no; after any other error it is
// run again.
//
// A reply is for a branch that only reads. One that writes has none: if the answer
// of Prepare is lost, what was prepared is found again, and what Work had to say is
// not. Such a branch votes no, with the code "reply_of_a_write".
//
// Promise only what was written: after a crash of the server a prepared branch has
// the locks of the rows that it changed, and not those of rows that it only read,
// FOR UPDATE or not.
type Work func(ctx context.Context, tx Tx, b twopc.Branch) (json.RawMessage, error)

// Options of a participant. The zero value is good.
type Options struct {
	// Table is the name of the table, in the database of the connections. The
	// default is "semel_branches".
	Table string
	// Isolation of the work. The default is the server's.
	Isolation sql.IsolationLevel
	// Timeout of a call, if its context does not end before. The default is 30 s.
	// It is the server's too, for each statement, lock and pause in a transaction: a
	// caller that does not come back holds nothing for longer.
	Timeout time.Duration
}

// Participant is a database. It is safe for concurrent use.
type Participant struct {
	db   *sql.DB
	work Work
	o    Options
}

var _ twopc.Participant = (*Participant)(nil)

// New makes a participant of a database. db stays the caller's to close; its
// connections must be of github.com/go-sql-driver/mysql, and have a database.
func New(db *sql.DB, work Work, o *Options) (*Participant, error) {
	p := &Participant{db: db, work: work}
	if o != nil {
		p.o = *o
	}
	p.o.Timeout, p.o.Table = cmp.Or(p.o.Timeout, 30*time.Second), cmp.Or(p.o.Table, "semel_branches")
	if strings.ContainsAny(p.o.Table, "`.") {
		return nil, fmt.Errorf("mariadb: the table's name %q has a dot or a backquote", p.o.Table)
	}
	if _, known := isolations[p.o.Isolation]; !known {
		return nil, fmt.Errorf("mariadb: there is no isolation %v", p.o.Isolation)
	}
	return p, nil
}

var isolations = map[sql.IsolationLevel]string{
	sql.LevelDefault: "", sql.LevelReadCommitted: "READ COMMITTED", sql.LevelRepeatableRead: "REPEATABLE READ", sql.LevelSerializable: "SERIALIZABLE",
}

// DDL is the statement by which Migrate makes the table.
func (p *Participant) DDL() string {
	return "CREATE TABLE IF NOT EXISTS `" + p.o.Table + "` (" + `
	tx VARBINARY(48) NOT NULL,
	branch VARBINARY(8) NOT NULL,
	handle VARBINARY(64) NOT NULL, -- of the branch that was committed; '' is a tombstone
	at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
	PRIMARY KEY (tx, branch),
	KEY (at)
) ENGINE=InnoDB`
}

// Migrate makes the table, if it is not there.
func (p *Participant) Migrate(ctx context.Context) error {
	_, err := p.db.ExecContext(ctx, p.DDL())
	return err
}

// Clean removes the rows of what was resolved that long ago. It must be longer than
// any coordinator may be away: of a branch without its row, a Commit that is asked
// again says that it was rolled back. A month is good.
func (p *Participant) Clean(ctx context.Context, age time.Duration) error {
	_, err := p.db.ExecContext(ctx, "DELETE FROM `"+p.o.Table+"` WHERE at < CURRENT_TIMESTAMP(6) - INTERVAL ? MICROSECOND", age.Microseconds())
	return err
}

// Check says why the database cannot take part: it is of no use to start with one.
func (p *Participant) Check(ctx context.Context) error {
	ctx, cancel, _ := p.within(ctx)
	defer cancel()
	var version, database string
	var flush int
	err := p.db.QueryRowContext(ctx, "SELECT VERSION(), COALESCE(DATABASE(), ''), @@innodb_flush_log_at_trx_commit").Scan(&version, &database, &flush)
	switch {
	case err != nil:
		return fmt.Errorf("ask the database whether it can take part in transactions: %w", err)
	case !strings.Contains(version, "MariaDB"):
		return fmt.Errorf("MariaDB is needed, and the server is %s: in MySQL the rules of XA are other ones", version)
	case database == "":
		return errors.New("the connections have no database; name one in the DSN")
	case flush == 0 || flush == 2:
		return fmt.Errorf("innodb_flush_log_at_trx_commit is %d: a crash would lose what was promised; set it to 1", flush)
	}
	if _, err = p.db.ExecContext(ctx, "SELECT 1 FROM `"+p.o.Table+"` LIMIT 1"); err != nil {
		return fmt.Errorf("the table %s cannot be read; make it by Migrate: %w", p.o.Table, err)
	}
	return nil
}

// within is the context of a call, which has a deadline, and what is left until it.
func (p *Participant) within(ctx context.Context) (context.Context, context.CancelFunc, time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	end, _ := ctx.Deadline()
	return ctx, cancel, max(time.Until(end), time.Millisecond)
}

// seconds are whole ones, rounded up, because 0 means something else.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// Numbers of errors.
const (
	duplicate    = 1062
	lockTimeout  = 1205
	deadlock     = 1213
	noSuch       = 1397 // XAER_NOTA
	badState     = 1399 // XAER_RMFAIL: not in this state of the transaction
	rolledBack   = 1402 // XA_RBROLLBACK: rolled back
	timedOut     = 1613 // XA_RBTIMEOUT: rolled back
	deadlocked   = 1614 // XA_RBDEADLOCK: rolled back
	readOnlyMode = 1290 // --read-only
)

// number is the server's number of an error; 0 if it is not the server's.
func number(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}
