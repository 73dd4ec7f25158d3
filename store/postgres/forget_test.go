package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// send commits messages for shard 1, up to a position.
func (o *owner) send(t testing.TB, from, to uint64) {
	t.Helper()
	o.at.Seq++
	u := &message.Unit{Version: o.at}
	for p := from; p <= to; p++ {
		u.Writes = append(u.Writes, message.Write{RowKey: message.RowKey{Table: message.TableOutbox, Key: outboxKey(1, p)}, Value: binary.BigEndian.AppendUint64(nil, p)})
	}
	if err := o.Commit(background, u).Wait(); err != nil {
		t.Fatal(err)
	}
}

// FAULTS 38: an asynchronous standby takes over without the units by which a shard
// consumed messages and let go of generations. The clean-up that the process of
// before has still to do removes none of them, whoever has the shard by then.
func TestMaintainAfterFailover(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	s.Exec(t, "CREATE DATABASE semel")
	openStore(t, s.DSN("semel"), Options{Shards: 2})
	b := s.Standby(t)
	st := openStore(t, pgtest.Either("semel", s, b), Options{})
	source, reader := own(t, st, 0), own(t, st, 1)
	source.send(t, 1, 10)
	source.dedup(t, 1)
	reader.commit(t) // by which it has consumed 5
	s.CaughtUp(t, b)
	b.Kill(t)
	reader.commit(t) // by which it has consumed all, and needs generation 1 no more
	leave := store.Retention{Shard: 1, Epoch: reader.at.Epoch, Below: 2, Consumed: []message.Cursor{{Source: 0, Position: 10}}}
	s.Kill(t)
	b.Restart(t)
	b.Promote(t)

	dsn := b.DSN("semel")
	maintain := func(r store.Retention) {
		t.Helper()
		if err := st.Maintain(background, r); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(messages, below string) {
		t.Helper()
		if got := pgtest.Value(t, dsn, "SELECT count(*) FROM semel.semel_row WHERE tbl = 5"); got != messages {
			t.Errorf("%s messages are left, want %s", got, messages)
		}
		if got := pgtest.Value(t, dsn, "SELECT below FROM semel.semel_retention WHERE shard = 1"); got != below {
			t.Errorf("the shard has let go of generations below %s, want %s", got, below)
		}
	}
	maintain(leave) // the session does not know yet
	expect("10", "0")
	if err := reader.submit().Wait(); !errors.Is(err, store.ErrFenced) {
		t.Errorf("a unit after the failover: %v, want ErrFenced", err)
	}
	maintain(leave)
	expect("10", "0")
	if _, err := st.Open(background, 1, ""); !errors.Is(err, store.ErrLost) {
		t.Fatalf("Open: %v, want ErrLost", err)
	}
	maintain(leave)
	expect("10", "0")
	if err := st.AcceptLoss(background, 1); err != nil {
		t.Fatal(err)
	}
	reader = own(t, st, 1)
	maintain(leave) // the session of before gave it
	expect("10", "0")
	if got, err := reader.Inbox(background, []message.Cursor{{Source: 0, Position: 5}}, 10); err != nil || len(got) != 5 {
		t.Errorf("%d messages, %v; want 5", len(got), err)
	}
	leave.Epoch, leave.Consumed[0].Position = reader.at.Epoch, 5
	maintain(leave)
	expect("5", "2")
}

// A table of a generation is dropped only where every shard has let go of it: the
// server may be another one than that which said so.
func TestDropOnAnotherServer(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	st := openStore(t, dsn, Options{Shards: 1})
	o := own(t, st, 0)
	o.dedup(t, 1)
	if err := st.dropGeneration(background, 1); err != nil { // as it is called when below was 2
		t.Fatal(err)
	}
	if o.rows(t, 1) != 1 {
		t.Error("a generation is gone that the shard did not let go of")
	}
}

// A read that finds a table gone, and asks which there are, forgets none that a
// unit has made meanwhile: its rows would not be found, and run again.
func TestGenerationMadeMeanwhile(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	w := &wire{}
	st := openStore(t, pgtest.With(dsn, "default_query_exec_mode", "exec"), Options{Shards: 1, dial: w.dial})
	o := own(t, st, 0)
	o.dedup(t, 1)
	if o.rows(t, 1) != 1 {
		t.Fatal("the row is not there")
	}
	pgtest.Exec(t, dsn, "DROP TABLE semel.semel_dedup_1") // as a failover may that sets the database back
	h := w.holdAnswer("information_schema")
	key := message.RowKey{Table: message.TableDedup, Gen: 1, Key: []byte("k")}
	read := make(chan error, 1)
	go func() {
		_, err := o.Get(background, []message.RowKey{key})
		read <- err
	}()
	select {
	case <-h.answered:
	case err := <-read:
		t.Fatalf("the read did not ask which tables there are: %v", err)
	}
	o.dedup(t, 1)
	close(h.release)
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	if o.rows(t, 1) != 1 {
		t.Error("a row that is committed is not found")
	}
}

// A session that has nothing to do keeps none of its last unit's bytes.
func TestUnitIsLetGo(t *testing.T) {
	t.Parallel()
	st := openStore(t, pgtest.Shared(t).Database(t), Options{Shards: 1})
	o := own(t, st, 0)
	o.commit(t)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last == nil || o.last.changes != nil {
		t.Errorf("the session remembers %+v", o.last)
	}
}

// Whatever waits for the database waits for the store's patience at most.
func TestPatience(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	openStore(t, dsn, Options{Shards: 1}) // makes the tables, however long that takes
	opt := Options{Patience: 2 * time.Second}
	st := openStore(t, pgtest.With(dsn, "pool_max_conns", "1"), opt)
	ctx, cancel := context.WithTimeout(background, time.Minute)
	defer cancel()

	c, err := st.pool.Acquire(ctx) // as a long read does
	if err != nil {
		t.Fatal(err)
	}
	err = st.dropGeneration(ctx, 1)
	c.Release()
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("to drop a table without a connection: %v, want ErrUnavailable", err)
	}

	last := len(migrations("semel"))
	pgtest.Exec(t, dsn, fmt.Sprintf("DELETE FROM semel.semel_migration WHERE version = %d", last))
	tx, err := connect1(t, dsn).Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "INSERT INTO semel.semel_migration (version, name) VALUES ($1, 'of another node')", last); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := At(dsn, opt).OpenStore(ctx); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("while another node migrates for long: %v, want ErrUnavailable", err)
	}
	// Nor does it wait for the driver, which gives a server 15 s to end a connection.
	if took := time.Since(start); took > 12*time.Second {
		t.Errorf("it took %v, with a patience of %v", took, opt.Patience)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	openStore(t, dsn, Options{})
}
