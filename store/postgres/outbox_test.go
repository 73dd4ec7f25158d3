package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
)

// FAULTS 38: a primary that comes back from a crash shows units that no standby
// has, and that a failover would take away. A reader of another part, which would
// keep what it read, is not given them before a standby has them.
func TestOutboxIsReplicated(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	st := openStore(t, s.DSN("postgres"), Options{Shards: 2, Patience: 4 * time.Second})
	src := own(t, st, 0)
	src.commit(t)
	waiting := waitForNobody(t, s)
	src.at.Seq++
	unit := src.Commit(background, &message.Unit{Version: src.at, Writes: []message.Write{
		{RowKey: message.RowKey{Table: message.TableOutbox, Key: outboxKey(1, 1)}, Value: []byte("not replicated")},
	}})
	pgtest.Await(t, s.DSN("postgres"), waiting, "1")
	s.Kill(t)
	s.Restart(t)
	_ = unit.Wait() // it is unknown

	ctx, cancel := context.WithTimeout(background, 2*time.Second)
	defer cancel()
	if got, err := st.Outbox(ctx, 1, message.Cursor{Source: 0}, 10); err == nil {
		t.Fatalf("it gave %d messages that no standby has", len(got))
	}
	waitForNone(t, s)
	got, err := st.Outbox(background, 1, message.Cursor{Source: 0}, 10)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d messages, %v; want 1", len(got), err)
	}
}
