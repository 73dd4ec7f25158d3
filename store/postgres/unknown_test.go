package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// FAULTS 37: a unit whose answer is lost is unknown, nothing is sent after it,
// and the next Open settles it, whichever way it went.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	dsn := pgtest.With(pgtest.Shared(t).Database(t), "pool_max_conns", "1")
	for _, c := range []struct {
		what string
		loss loss
		want message.Seq
	}{{"the message is lost", loseMessage, 1}, {"the answer is lost", loseAnswer, 2}} {
		w := &wire{}
		st := openStore(t, dsn, Options{Schema: schema(), Shards: 1, dial: w.dial})
		st.stop() // the next message is to be a unit's, not a sweep's
		o := own(t, st, 0)
		o.commit(t)
		w.lose(c.loss)
		first := o.submit()
		rest := []store.Pending{o.submit(), o.submit()}
		if err := first.Wait(); err == nil || definite(err) {
			t.Errorf("%s: Wait: %v, which is not unknown", c.what, err)
		}
		for _, p := range append(rest, o.submit()) {
			if err := p.Wait(); !errors.Is(err, store.ErrClosed) {
				t.Errorf("%s: a unit after it: %v, want ErrClosed", c.what, err)
			}
		}
		if _, err := o.Get(background, []message.RowKey{state("last")}); err == nil {
			t.Errorf("%s: the session reads on", c.what)
		}
		next := own(t, st, 0)
		if next.Clean() {
			t.Errorf("%s: the session was left in order", c.what)
		}
		next.is(t, c.want)
		next.commit(t)
		next.is(t, c.want+1)
	}
}

// A unit that the network delivers after another session was opened is fenced.
// This is what a bare read, in place of Open, would get wrong.
func TestMessageComesLate(t *testing.T) {
	t.Parallel()
	dsn := pgtest.With(pgtest.Shared(t).Database(t), "pool_max_conns", "1")
	w := &wire{}
	opt := Options{Schema: schema(), Shards: 1}
	other := openStore(t, dsn, opt)
	opt.dial = w.dial
	st := openStore(t, dsn, opt)
	st.stop() // the next message is to be a unit's, not a sweep's
	o := own(t, st, 0)
	o.commit(t)
	w.lose(delayMessage)
	if err := o.submit().Wait(); err == nil || definite(err) {
		t.Fatalf("Wait: %v, which is not unknown", err)
	}
	next := own(t, other, 0)
	next.is(t, 1)
	w.deliver(t)
	next.is(t, 1)
	next.commit(t)
	next.is(t, 2)
	o = own(t, st, 0)
	o.is(t, 2)
}

// A server that is away: nothing was sent, and Open and reads say so too.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	dsn := s.Database(t)
	st := openStore(t, dsn, Options{Shards: 1})
	o := own(t, st, 0)
	o.commit(t)
	s.Stop(t)
	// The pool may have connections that it does not know to be dead: to use one
	// is unknown. Then there are none.
	for range maxConns {
		if _, err := st.Open(background, 0, ""); !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("Open: %v, want ErrUnavailable", err)
		}
	}
	if err := o.submit().Wait(); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Wait: %v, want ErrUnavailable", err)
	}
	if _, err := o.Get(background, []message.RowKey{state("last")}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Get: %v, want ErrUnavailable", err)
	}
	if err := st.Maintain(background, store.Retention{Below: 1}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Maintain: %v, want ErrUnavailable", err)
	}
	if _, err := At(dsn, Options{Shards: 1}).OpenStore(background); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("OpenStore: %v, want ErrUnavailable", err)
	}
	s.Restart(t)
	// Not sent, and so the session goes on where it was.
	o.at.Seq--
	o.commit(t)
	own(t, st, 0).is(t, 2)
}

// FAULTS 37: the server is killed with units under way, again and again.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	st := openStore(t, s.Database(t), Options{Shards: 1})
	var acked message.Seq
	for round := range 4 {
		o := own(t, st, 0)
		if o.at.Seq < acked {
			t.Fatalf("round %d: unit %d was acknowledged, and the shard is at %+v", round, acked, o.at)
		}
		o.is(t, o.at.Seq)
		for range 10 {
			o.commit(t)
		}
		acked = o.at.Seq
		var pending []store.Pending
		for range 200 {
			pending = append(pending, o.submit())
		}
		if err := pending[round*3].Wait(); err != nil {
			t.Fatal(err)
		}
		s.Kill(t)
		var failed error
		for _, p := range pending {
			err := p.Wait()
			switch {
			case err == nil && failed != nil:
				t.Fatalf("round %d: a unit is acknowledged after one that failed: %v", round, failed)
			case err == nil:
				acked++
			case failed == nil:
				failed = err
			}
		}
		s.Restart(t)
	}
	o := own(t, st, 0)
	if o.at.Seq < acked {
		t.Fatalf("unit %d was acknowledged, and the shard is at %+v", acked, o.at)
	}
	o.is(t, o.at.Seq)
}

// FAULTS 40: a serialization failure is met by sending the whole unit again.
func TestSerializationFailure(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	w := &wire{}
	name := schema()
	st := openStore(t, pgtest.With(dsn, "default_transaction_isolation", "serializable"), Options{Schema: name, Shards: 1, dial: w.dial})
	o := own(t, st, 0)
	o.commit(t)
	c := connect1(t, dsn)
	for range 5 {
		tx, err := c.Begin(background)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(background, "UPDATE "+name+".semel_shard SET owner = 'touched'"); err != nil {
			t.Fatal(err)
		}
		before := w.conflicts.Load()
		p := o.submit()
		pgtest.Await(t, dsn, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'", "1")
		if err := tx.Commit(background); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(); err != nil {
			t.Fatal(err)
		}
		if w.conflicts.Load() == before {
			t.Error("there was no serialization failure to meet")
		}
	}
	o.is(t, 6)
}

// A commit that waits for a synchronous standby, and whose wait is cancelled,
// is answered as a success. It is none.
func TestUnreplicated(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	dsn := s.Database(t)
	st := openStore(t, dsn, Options{Shards: 1})
	o := own(t, st, 0)
	o.commit(t)
	waiting := waitForNobody(t, s)
	p := o.submit()
	pgtest.Await(t, dsn, waiting, "1")
	s.Exec(t, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
	if err := p.Wait(); err == nil || definite(err) {
		t.Errorf("Wait: %v, which is not unknown", err)
	}
	waitForNone(t, s)
	own(t, st, 0).is(t, 2)
}

// What is given up is not cancelled: the commit goes on waiting for its standby,
// and Open for the commit.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	dsn := s.Database(t)
	st := openStore(t, dsn, Options{Shards: 1, Patience: 5 * time.Second})
	o := own(t, st, 0)
	o.commit(t)
	waiting := waitForNobody(t, s)
	if err := o.submit().Wait(); err == nil || definite(err) {
		t.Errorf("Wait: %v, which is not unknown", err)
	}
	if _, err := st.Open(background, 0, ""); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Open: %v, want ErrUnavailable", err)
	}
	if got := pgtest.Value(t, dsn, waiting); got != "1" {
		t.Errorf("%s commits wait for the standby, want 1", got)
	}
	waitForNone(t, s)
	own(t, st, 0).is(t, 2)
}
