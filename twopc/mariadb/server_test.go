package mariadb_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/internal/mariadbtest"
	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/twopc/mariadb"
	"github.com/semel-dev/semel/twopc/partytest"
)

// FAULTS 44: a server is killed after the promise, and after the commit.
func TestServer(t *testing.T) {
	t.Parallel()
	s := mariadbtest.Start(t)
	db := connect(t, s.Database(t))
	p := open(t, db, add, nil)
	if err := p.Check(t.Context()); err != nil {
		t.Error(err)
	}
	b := partytest.Branch(t, partytest.Ask{Write: 7})
	mine := partytest.Yes(t, p, b)
	exec(t, db, "CREATE TABLE r (n int PRIMARY KEY)")
	exec(t, db, "INSERT INTO r VALUES (1), (2)")
	locks := partytest.Yes(t, open(t, db, func(ctx context.Context, tx mariadb.Tx, _ twopc.Branch) (json.RawMessage, error) {
		_, err := tx.ExecContext(ctx, "UPDATE r SET n = 3 WHERE n = 1")
		_, locked := tx.ExecContext(ctx, "SELECT * FROM r WHERE n = 2 FOR UPDATE")
		return nil, errors.Join(err, locked)
	}, nil), partytest.Branch(t, partytest.Ask{}))
	free := func(n int) bool {
		_, err := db.ExecContext(t.Context(), fmt.Sprintf("SELECT * FROM r WHERE n = %d FOR UPDATE NOWAIT", n))
		return err == nil
	}
	if free(1) || free(2) {
		t.Error("a prepared branch does not hold its rows")
	}
	s.Kill(t)
	if err := p.Commit(t.Context(), mine); err == nil || semel.KindOf(err) == semel.KindRejected {
		t.Errorf("without a server a commit says %v", err)
	}
	s.Restart(t)
	var list []twopc.Prepared
	if err := partytest.Until(t, func(ctx context.Context) (err error) {
		list, err = p.Recover(ctx)
		return err
	}); err != nil || len(list) != 2 {
		t.Fatalf("listed is %+v, %v", list, err)
	}
	if list := partytest.Mine(t, p, b.Tx); len(list) != 1 || list[0].Handle != mine.Handle || list[0].Since.IsZero() {
		t.Fatalf("listed is %+v", list)
	}
	// As package mariadb says: of the locks, those of what was written are left.
	if free(1) || !free(2) {
		t.Errorf("after a crash the row that was written is free: %v, the one that was read: %v", free(1), free(2))
	}
	if err := p.Abort(t.Context(), locks); err != nil {
		t.Error(err)
	}
	if again := partytest.Yes(t, p, b); again != mine {
		t.Errorf("prepared again it is %+v", again)
	}
	for range 2 {
		if err := partytest.Until(t, func(ctx context.Context) error { return p.Commit(ctx, mine) }); err != nil {
			t.Error(err)
		}
		s.Kill(t)
		s.Restart(t)
	}
	if err := db.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
	if got := sum(t, db); got != 7 {
		t.Errorf("the sum is %d", got)
	}
	odd(t, db, p)
	exec(t, db, "SET GLOBAL innodb_flush_log_at_trx_commit = 2")
	if err := p.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "set it to 1") {
		t.Errorf("of a server that does not sync the check says %v", err)
	}
}

// xid is a prepared branch's.
func xid(b twopc.Prepared) string {
	return fmt.Sprintf("'semel:%s','%s:%s',%d", b.Tx, b.Name, b.Handle, mariadb.FormatID)
}

// A branch that its connection still holds is unknown to all others, as the server
// says it. That is neither committed nor rolled back.
func TestHeld(t *testing.T) {
	t.Parallel()
	db := connect(t, mariadbtest.Shared(t).Database(t))
	p := open(t, db, add, nil)
	// The handle of this database, of a branch that is gone.
	old := partytest.Yes(t, p, partytest.Branch(t, partytest.Ask{Write: 1}))
	if err := p.Abort(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"commit", "abort"} {
		b := partytest.Branch(t, partytest.Ask{})
		mine := twopc.Prepared{Tx: b.Tx, Name: b.Name, Handle: old.Handle}
		holder, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{
			"XA START " + xid(mine), "INSERT INTO n VALUES (7)",
			fmt.Sprintf("INSERT INTO semel_branches (tx, branch, handle) VALUES ('%s', '%s', '%s')", b.Tx, b.Name, mine.Handle),
			"XA END " + xid(mine), "XA PREPARE " + xid(mine),
		} {
			if _, err := holder.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		call := map[string]func(context.Context, twopc.Prepared) error{"commit": p.Commit, "abort": p.Abort}[verb]
		soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		// A slow server may not even say so much in that time: then it is unknown.
		if err := call(soon, mine); err == nil || semel.KindOf(err) == semel.KindRejected {
			t.Errorf("%s: while it is held it says %v", verb, err)
		}
		cancel()
		if left := partytest.Mine(t, p, b.Tx); len(left) != 1 {
			t.Errorf("%s: while it is held, listed is %+v", verb, left)
		}
		ended := make(chan error, 1)
		go func() { // waits for it, and is asked again while the server takes it from its connection
			err := call(t.Context(), mine)
			for n := 0; n < 1000 && semel.KindOf(err) == semel.KindNotDone; n++ {
				err = call(t.Context(), mine)
			}
			ended <- err
		}()
		hang(holder)
		if err := <-ended; err != nil {
			t.Errorf("%s: when it is free it says %v", verb, err)
		}
	}
	if got := sum(t, db); got != 7 {
		t.Errorf("the sum is %d", got)
	}
}

// hang ends a connection.
func hang(c *sql.Conn) {
	_ = c.Raw(func(any) error { return errClosed })
	_ = c.Close()
}

// However often a branch is committed just after it was prepared, while the server
// takes it from its connection, it is there.
func TestCommitAtOnce(t *testing.T) {
	t.Parallel()
	db := connect(t, mariadbtest.Shared(t).Database(t))
	p := open(t, db, add, nil)
	for i := range 100 {
		mine := partytest.Yes(t, p, partytest.Branch(t, partytest.Ask{Write: 1}))
		if i%2 == 0 {
			if left := partytest.Mine(t, p, mine.Tx); len(left) != 1 {
				t.Fatalf("round %d: listed is %+v", i, left)
			}
		}
		if err := p.Commit(t.Context(), mine); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
	if got := sum(t, db); got != 100 {
		t.Errorf("the sum is %d", got)
	}
}

// The connection is killed before each statement of the work, and after the last.
func TestConnectionKilled(t *testing.T) {
	t.Parallel()
	db := connect(t, mariadbtest.Shared(t).Database(t))
	for at := range 3 {
		armed := true
		p := open(t, db, func(ctx context.Context, tx mariadb.Tx, b twopc.Branch) (json.RawMessage, error) {
			var err error
			for step := range 3 {
				if armed && step == at {
					armed = false
					var id int64
					err = errors.Join(err, tx.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id))
					exec(t, db, fmt.Sprintf("KILL CONNECTION %d", id))
				}
				if step < 2 {
					_, failed := tx.ExecContext(ctx, "INSERT INTO n VALUES (1)")
					err = errors.Join(err, failed)
				}
			}
			return nil, err
		}, nil)
		b := partytest.Branch(t, partytest.Ask{})
		if v, err := p.Prepare(t.Context(), b); semel.KindOf(err) != semel.KindNotDone {
			t.Errorf("killed at %d: the vote is %+v, %v", at, v, err)
		}
		if err := partytest.Until(t, func(ctx context.Context) error { return p.Commit(ctx, partytest.Yes(t, p, b)) }); err != nil {
			t.Errorf("killed at %d: %v", at, err)
		}
		if got := sum(t, db); got != 2*(at+1) {
			t.Errorf("killed at %d: the sum is %d", at, got)
		}
	}
}

// FAULTS 48: what a person did by hand is said, and what nobody knows is listed.
// Another database's branches are not this one's.
func TestByHand(t *testing.T) {
	t.Parallel()
	s := mariadbtest.Shared(t)
	db, other := connect(t, s.Database(t)), connect(t, s.Database(t))
	p, q := open(t, db, add, nil), open(t, other, add, nil)
	kept, dropped := partytest.Yes(t, p, partytest.Branch(t, partytest.Ask{Write: 7})), partytest.Yes(t, p, partytest.Branch(t, partytest.Ask{Write: 20}))
	if theirs := partytest.Mine(t, q, kept.Tx); len(theirs) != 0 {
		t.Errorf("another database lists %+v", theirs)
	}
	byHand := func(statement string) {
		t.Helper()
		for range 1000 { // until the server has taken it from its connection
			if _, err := db.ExecContext(t.Context(), statement); err == nil {
				return
			}
		}
		t.Fatal(statement)
	}
	byHand("XA COMMIT " + xid(kept))
	byHand("XA ROLLBACK " + xid(dropped))
	if err := p.Commit(t.Context(), kept); err != nil {
		t.Error(err)
	}
	if err := p.Abort(t.Context(), kept); !partytest.Refused(err, twopc.CodeResolvedOtherwise) {
		t.Error(err)
	}
	if err := p.Abort(t.Context(), twopc.Prepared{Tx: kept.Tx, Name: kept.Name}); !partytest.Refused(err, twopc.CodeResolvedOtherwise) {
		t.Error(err)
	}
	if err := p.Commit(t.Context(), dropped); !partytest.Refused(err, twopc.CodeResolvedOtherwise) {
		t.Error(err)
	}
	if err := p.Abort(t.Context(), dropped); err != nil {
		t.Error(err)
	}
	if err := p.Clean(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if err := p.Commit(t.Context(), kept); !partytest.Refused(err, twopc.CodeResolvedOtherwise) {
		t.Errorf("without its row, which was cleaned too early, a commit says %v", err)
	}
}

// A lock that another one holds, and a deadlock, are not done.
func TestLocks(t *testing.T) {
	t.Parallel()
	db := connect(t, mariadbtest.Shared(t).Database(t))
	p := open(t, db, func(ctx context.Context, tx mariadb.Tx, b twopc.Branch) (json.RawMessage, error) {
		_, err := tx.ExecContext(ctx, "UPDATE n SET n = n + 1")
		return nil, err
	}, &mariadb.Options{Timeout: time.Second, Isolation: sql.LevelReadCommitted})
	exec(t, db, "INSERT INTO n VALUES (1)")
	mine := partytest.Yes(t, p, partytest.Branch(t, partytest.Ask{}))
	if v, err := p.Prepare(t.Context(), partytest.Branch(t, partytest.Ask{})); semel.KindOf(err) != semel.KindNotDone {
		t.Errorf("beside it the vote is %+v, %v", v, err)
	}
	if err := p.Commit(t.Context(), mine); err != nil {
		t.Error(err)
	}
	if got := sum(t, db); got != 2 {
		t.Errorf("the sum is %d", got)
	}
}
