package postgres_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/twopc/partytest"
	"github.com/semel-dev/semel/twopc/postgres"
)

// FAULTS 44: a server is killed after the promise, and after a commit whose answer
// nobody got. At last it allows no promises.
func TestServer(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	dsn := place(t, s.Database(t))
	p := open(t, dsn, add, nil)
	if err := p.Check(t.Context()); err != nil {
		t.Error(err)
	}
	b := partytest.Branch(t, partytest.Ask{Write: 7})
	mine := partytest.Yes(t, p, b)
	s.Kill(t)
	if err := p.Commit(t.Context(), mine); err == nil || semel.KindOf(err) == semel.KindRejected {
		t.Errorf("without a server a commit says %v", err)
	}
	s.Restart(t)
	var list []twopc.Prepared
	if err := partytest.Until(t, func(ctx context.Context) (err error) {
		list, err = p.Recover(ctx)
		return err
	}); err != nil || len(list) != 1 || list[0].Handle != mine.Handle || list[0].Since.IsZero() {
		t.Fatalf("listed is %+v, %v", list, err)
	}
	if again := partytest.Yes(t, p, b); again != mine {
		t.Errorf("prepared again it is %+v", again)
	}
	for range 2 {
		if err := partytest.Until(t, func(ctx context.Context) error { return p.Commit(ctx, mine) }); err != nil {
			t.Error(err)
		}
	}
	if got := sum(t, dsn); got != 7 {
		t.Errorf("the sum is %d", got)
	}
	s, p = failover(t, s, dsn, p, mine)
	s.Configure(t, pgtest.Set("max_prepared_transactions", "0"))
	s.Restart(t)
	if err := partytest.Until(t, func(ctx context.Context) error {
		_, err := p.Prepare(ctx, partytest.Branch(t, partytest.Ask{Write: 7}))
		return err
	}); !partytest.Refused(err, "prepared_transactions_disabled") || !strings.Contains(err.Error(), "set max_prepared_transactions") {
		t.Errorf("without prepared transactions it says %v", err)
	}
	if err := p.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "set max_prepared_transactions") {
		t.Errorf("without prepared transactions the check says %v", err)
	}
}

// After a failover a promise is kept where it survived. What is gone is not judged
// by a number that the new primary may have given to somebody else.
func failover(t *testing.T, s *pgtest.Server, dsn string, p *postgres.Participant, done twopc.Prepared) (*pgtest.Server, *postgres.Participant) {
	standby := s.Standby(t)
	one := partytest.Yes(t, p, partytest.Branch(t, partytest.Ask{Write: 7}))
	two := partytest.Yes(t, p, partytest.Branch(t, partytest.Ask{Write: 20}))
	s.CaughtUp(t, standby)
	s.Kill(t)
	standby.Promote(t)
	moved := pgtest.With(dsn, "host", filepath.Dir(standby.Socket(t)))
	q := open(t, moved, add, nil)
	if err := q.Commit(t.Context(), one); err != nil {
		t.Error(err)
	}
	if err := q.Abort(t.Context(), two); err != nil {
		t.Error(err)
	}
	if got := sum(t, moved); got != 14 {
		t.Errorf("the sum is %d", got)
	}
	for _, gone := range []twopc.Prepared{one, two, done} {
		if err := q.Commit(t.Context(), gone); semel.KindOf(err) != semel.KindUnknown || !strings.Contains(err.Error(), "promoted or restored") {
			t.Errorf("of what is gone since it says %v", err)
		}
	}
	// What was prepared after the standby had caught up, it never heard of.
	lost := one
	at := strings.Split(one.Handle, ".")
	lost.Handle = at[0] + ".4000000000." + at[2]
	if err := q.Commit(t.Context(), lost); !partytest.Refused(err, twopc.CodeResolvedOtherwise) {
		t.Errorf("a commit of what was lost says %v", err)
	}
	if err := q.Abort(t.Context(), lost); err != nil {
		t.Error(err)
	}
	return standby, q
}

// FAULTS 41: PgBouncer in transaction mode.
func TestPooler(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	dsn := place(t, s.Database(t))
	pooled := pgtest.With(pgtest.With(pgtest.With(dsn, "host", s.Bouncer(t)), "port", "6432"), "default_query_exec_mode", "simple_protocol")
	schema := pgtest.Value(t, dsn, "SHOW search_path")
	pooled = strings.Replace(pooled, "search_path="+schema, "", 1) // it would be the session's
	p := open(t, pooled, func(ctx context.Context, tx pgx.Tx, b twopc.Branch) (json.RawMessage, error) {
		if _, err := tx.Exec(ctx, "SET LOCAL search_path = "+schema); err != nil {
			return nil, err
		}
		return add(ctx, tx, b)
	}, nil)
	for range 5 {
		if err := p.Commit(t.Context(), partytest.Yes(t, p, partytest.Branch(t, partytest.Ask{Write: 7}))); err != nil {
			t.Error(err)
		}
		b := partytest.Branch(t, partytest.Ask{Write: 1})
		partytest.Yes(t, p, b)
		if err := p.Abort(t.Context(), twopc.Prepared{Tx: b.Tx, Name: b.Name}); err != nil {
			t.Error(err)
		}
	}
	if got := sum(t, dsn); got != 35 {
		t.Errorf("the sum is %d", got)
	}
}

// FAULTS 48: what a person did by hand is said, and what nobody knows is listed.
func TestByHand(t *testing.T) {
	t.Parallel()
	dsn := place(t, pgtest.Shared(t).Database(t))
	p := open(t, dsn, add, nil)
	gid := func(b twopc.Prepared) string { return "semel:" + b.Tx + ":" + b.Name + ":" + b.Handle }
	kept, dropped := partytest.Yes(t, p, partytest.Branch(t, partytest.Ask{Write: 7})), partytest.Yes(t, p, partytest.Branch(t, partytest.Ask{Write: 20}))
	pgtest.Exec(t, dsn, "COMMIT PREPARED '"+gid(kept)+"'")
	pgtest.Exec(t, dsn, "ROLLBACK PREPARED '"+gid(dropped)+"'")
	if err := p.Commit(t.Context(), kept); err != nil {
		t.Error(err)
	}
	if err := p.Abort(t.Context(), dropped); err != nil {
		t.Error(err)
	}
	if err := p.Abort(t.Context(), kept); !partytest.Refused(err, twopc.CodeResolvedOtherwise) {
		t.Error(err)
	}
	if err := p.Commit(t.Context(), dropped); !partytest.Refused(err, twopc.CodeResolvedOtherwise) {
		t.Error(err)
	}
	mine := partytest.Yes(t, p, partytest.Branch(t, partytest.Ask{Write: 7}))
	pgtest.Exec(t, dsn, "BEGIN; INSERT INTO n VALUES (1); PREPARE TRANSACTION 'semel:an odd one'")
	pgtest.Exec(t, dsn, "BEGIN; INSERT INTO n VALUES (1); PREPARE TRANSACTION 'somebody else''s'")
	list, err := p.Recover(t.Context())
	if len(list) != 1 || list[0].Handle != mine.Handle || err == nil || !strings.Contains(err.Error(), "semel:an odd one") || strings.Contains(err.Error(), "somebody") {
		t.Errorf("listed is %+v, %v", list, err)
	}
	for _, all := range []string{"semel:an odd one", "somebody else''s", gid(mine)} {
		pgtest.Exec(t, dsn, "ROLLBACK PREPARED '"+all+"'")
	}
}
