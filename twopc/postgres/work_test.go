package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/twopc/partytest"
	"github.com/semel-dev/semel/twopc/postgres"
)

// What the work must not do, and what it may not hide.
func TestWork(t *testing.T) {
	t.Parallel()
	dsn := place(t, pgtest.Shared(t).Database(t))
	sql := func(statement string) func(context.Context, pgx.Tx) (json.RawMessage, error) {
		return func(ctx context.Context, tx pgx.Tx) (json.RawMessage, error) {
			_, err := tx.Exec(ctx, statement)
			return nil, err
		}
	}
	for name, c := range map[string]struct {
		work func(context.Context, pgx.Tx) (json.RawMessage, error)
		code string // of the no; "": not done
	}{
		"an error that is hidden": {func(ctx context.Context, tx pgx.Tx) (json.RawMessage, error) {
			_, _ = tx.Exec(ctx, "INSERT INTO n VALUES (1)")
			_, _ = tx.Exec(ctx, "SELECT 1/0")
			return nil, nil
		}, ""},
		"a commit by pgx": {func(ctx context.Context, tx pgx.Tx) (json.RawMessage, error) {
			_, _ = tx.Exec(ctx, "INSERT INTO n VALUES (1)")
			return nil, tx.Commit(ctx)
		}, ""},
		"a rollback by SQL":  {sql("ROLLBACK"), "transaction_ended"},
		"a temporary table":  {sql("CREATE TEMPORARY TABLE x (n int)"), "not_preparable"},
		"a notification":     {sql("INSERT INTO n VALUES (1); NOTIFY x"), "not_preparable"},
		"a syntax error":     {sql("INSERT INTO"), ""},
		"a deadlock's state": {sql("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"), ""},
		"a reply of a write": {func(ctx context.Context, tx pgx.Tx) (json.RawMessage, error) {
			_, err := tx.Exec(ctx, "INSERT INTO n VALUES (1)")
			return json.RawMessage("1"), err
		}, "reply_of_a_write"},
	} {
		p := open(t, dsn, func(ctx context.Context, tx pgx.Tx, _ twopc.Branch) (json.RawMessage, error) { return c.work(ctx, tx) }, nil)
		b := partytest.Branch(t, partytest.Ask{})
		v, err := p.Prepare(t.Context(), b)
		if c.code != "" && !partytest.Refused(err, c.code) || c.code == "" && semel.KindOf(err) != semel.KindNotDone {
			t.Errorf("%s: the vote is %+v, %v", name, v, err)
		}
		if left := partytest.Mine(t, p, b.Tx); len(left) > 0 {
			t.Errorf("%s: listed is %+v", name, left)
		}
	}
	if got := sum(t, dsn); got != 0 {
		t.Errorf("the sum is %d", got)
	}
}

// A row that is locked and not changed is something to keep.
func TestLockIsKept(t *testing.T) {
	t.Parallel()
	dsn := place(t, pgtest.Shared(t).Database(t))
	pgtest.Exec(t, dsn, "INSERT INTO n VALUES (1)")
	p := open(t, dsn, func(ctx context.Context, tx pgx.Tx, _ twopc.Branch) (json.RawMessage, error) {
		_, err := tx.Exec(ctx, "SELECT * FROM n FOR UPDATE")
		return nil, err
	}, nil)
	mine := partytest.Yes(t, p, partytest.Branch(t, partytest.Ask{}))
	if got := pgtest.Value(t, dsn, "SELECT count(*) FROM (SELECT * FROM n FOR UPDATE SKIP LOCKED) x"); got != "0" {
		t.Error("the row is not locked any more")
	}
	if err := p.Abort(t.Context(), mine); err != nil {
		t.Error(err)
	}
}

// The backend is killed before each statement of the work, and after the last: that
// is not done, and the pool is good for the next call.
func TestBackendKilled(t *testing.T) {
	t.Parallel()
	dsn := place(t, pgtest.Shared(t).Database(t))
	for at := range 3 {
		armed := true
		p := open(t, dsn, func(ctx context.Context, tx pgx.Tx, b twopc.Branch) (json.RawMessage, error) {
			var err error
			for step := range 3 {
				if armed && step == at {
					armed = false
					kill(t, dsn, tx.Conn().PgConn().PID())
				}
				if step < 2 {
					_, failed := tx.Exec(ctx, "INSERT INTO n VALUES (1)")
					err = errors.Join(err, failed)
				}
			}
			return nil, err
		}, nil)
		b := partytest.Branch(t, partytest.Ask{})
		if v, err := p.Prepare(t.Context(), b); semel.KindOf(err) != semel.KindNotDone {
			t.Errorf("killed at %d: the vote is %+v, %v", at, v, err)
		}
		mine := partytest.Yes(t, p, b)
		pgtest.Exec(t, dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()")
		if err := partytest.Until(t, func(ctx context.Context) error { return p.Commit(ctx, mine) }); err != nil {
			t.Errorf("killed at %d: %v", at, err)
		}
		if got := sum(t, dsn); got != 2*(at+1) {
			t.Errorf("killed at %d: the sum is %d", at, got)
		}
	}
}

// kill returns when the backend is gone.
func kill(t testing.TB, dsn string, pid uint32) {
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = c.Close(t.Context()) }()
	if _, err := c.Exec(t.Context(), "SELECT pg_terminate_backend($1, 10000)", pid); err != nil {
		t.Error(err)
	}
}

// While a call works its branch is not prepared, and an abort says that it cannot
// promise that it will not be. Once it can, it is not.
func TestAbortMeetsPrepare(t *testing.T) {
	t.Parallel()
	dsn := place(t, pgtest.Shared(t).Database(t))
	in, on := make(chan bool), make(chan bool)
	p := open(t, dsn, func(ctx context.Context, tx pgx.Tx, b twopc.Branch) (json.RawMessage, error) {
		reply, err := add(ctx, tx, b)
		in <- true
		<-on
		return reply, err
	}, nil)
	b := partytest.Branch(t, partytest.Ask{Write: 7})
	done := make(chan error, 1)
	go func() {
		_, err := p.Prepare(t.Context(), b)
		done <- err
	}()
	<-in
	all := twopc.Prepared{Tx: b.Tx, Name: b.Name}
	if err := p.Abort(t.Context(), all); semel.KindOf(err) != semel.KindNotDone {
		t.Errorf("an abort beside a call that works says %v", err)
	}
	if v, err := p.Prepare(t.Context(), b); semel.KindOf(err) != semel.KindNotDone {
		t.Errorf("a second call beside it votes %+v, %v", v, err)
	}
	close(on)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := p.Abort(t.Context(), all); err != nil {
		t.Error(err)
	}
	if left := partytest.Mine(t, p, b.Tx); len(left) > 0 || sum(t, dsn) != 0 {
		t.Errorf("listed is %+v", left)
	}
}

// A caller that stops in the middle of its work holds nothing for longer than its
// time.
func TestPaused(t *testing.T) {
	t.Parallel()
	dsn := place(t, pgtest.Shared(t).Database(t))
	free := make(chan string, 1)
	p := open(t, dsn, func(ctx context.Context, tx pgx.Tx, b twopc.Branch) (json.RawMessage, error) {
		if _, err := add(ctx, tx, b); err != nil {
			return nil, err
		}
		// Its process is stopped here, for what it knows: nothing of it watches a
		// deadline, and the server does.
		pgtest.Await(t, dsn, "SELECT count(*) FROM pg_locks WHERE relation = 'n'::regclass AND mode = 'RowExclusiveLock'", "0")
		free <- "free"
		return nil, nil
	}, &postgres.Options{Timeout: 300 * time.Millisecond})
	_, err := p.Prepare(t.Context(), partytest.Branch(t, partytest.Ask{Write: 7}))
	if semel.KindOf(err) != semel.KindNotDone {
		t.Errorf("it says %v", err)
	}
	if <-free; sum(t, dsn) != 0 {
		t.Error("something is left")
	}
}

// Of two serializable branches that contradict each other one is not done.
func TestSerializable(t *testing.T) {
	t.Parallel()
	dsn := place(t, pgtest.Shared(t).Database(t))
	p := open(t, dsn, func(ctx context.Context, tx pgx.Tx, b twopc.Branch) (json.RawMessage, error) {
		_, err := tx.Exec(ctx, "INSERT INTO n SELECT count(*) + 1 FROM n")
		return nil, err
	}, &postgres.Options{Tx: pgx.TxOptions{IsoLevel: pgx.Serializable}})
	first, second := partytest.Yes(t, p, partytest.Branch(t, partytest.Ask{})), partytest.Branch(t, partytest.Ask{})
	if _, err := p.Prepare(t.Context(), second); semel.KindOf(err) != semel.KindNotDone || !strings.Contains(err.Error(), "40001") {
		t.Errorf("the second one says %v", err)
	}
	if err := p.Commit(t.Context(), first); err != nil {
		t.Error(err)
	}
	if err := p.Commit(t.Context(), partytest.Yes(t, p, second)); err != nil {
		t.Error(err)
	}
	if got := sum(t, dsn); got != 3 {
		t.Errorf("the sum is %d", got)
	}
}
