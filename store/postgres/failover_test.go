package postgres

import (
	"errors"
	"testing"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// submitMany submits units, and returns how many are acknowledged once all are
// answered.
func (o *owner) submitMany(n int) (wait func() message.Seq) {
	from := o.at.Seq
	var pending []store.Pending
	for range n {
		pending = append(pending, o.submit())
	}
	return func() message.Seq {
		acked := from
		for _, p := range pending {
			if p.Wait() == nil {
				acked++
			}
		}
		return acked
	}
}

// FAULTS 38: the synchronous standby is promoted under load. Nothing that was
// acknowledged is lost, nothing is there twice.
func TestSynchronousFailover(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	s.Exec(t, "CREATE DATABASE semel")
	b := s.Standby(t)
	s.Synchronous(t, b)
	st := openStore(t, pgtest.Either("semel", s, b), Options{Shards: 2})
	first, second := own(t, st, 0), own(t, st, 1)
	first.commit(t)
	second.commit(t)
	wait1, wait2 := first.submitMany(100), second.submitMany(100)
	s.Kill(t)
	acked := []message.Seq{wait1(), wait2()}
	b.Promote(t)
	for shard, n := range acked {
		o := own(t, st, message.Shard(shard))
		if o.at.Seq < n || o.at.Seq > n+1 {
			t.Errorf("shard %d: %d units were acknowledged, one at most was in question, and it is at %+v", shard, n, o.at)
		}
		o.is(t, o.at.Seq)
		o.commit(t)
		o.is(t, o.at.Seq)
	}
}

// FAULTS 38: an asynchronous standby is promoted that is without some commits.
// Open refuses, and says of which shard how much is lost, in every process, and
// until a person accepts it.
func TestAsynchronousFailover(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	s.Exec(t, "CREATE DATABASE semel")
	dsn := s.DSN("semel")
	_, err := At(dsn, Options{Shards: 3}).OpenStore(background)
	if err != nil {
		t.Fatal(err)
	}
	b := s.Standby(t)
	either := pgtest.Either("semel", s, b)
	st, other := openStore(t, either, Options{}), openStore(t, either, Options{})
	var owners []*owner
	for shard := range message.Shard(3) {
		o := own(t, st, shard)
		o.commit(t)
		owners = append(owners, o)
	}
	s.CaughtUp(t, b)
	b.Kill(t)
	for range 7 { // that nobody else has
		owners[0].commit(t)
	}
	taken := own(t, st, 2) // loses an epoch, and no unit
	s.Kill(t)
	b.Restart(t)
	b.Promote(t)

	// The session is at a unit that the server does not have.
	if err := owners[0].submit().Wait(); err == nil || errors.Is(err, store.ErrTooLarge) {
		t.Errorf("a unit after the failover: %v", err)
	}
	_, err = st.Open(background, 0, "")
	expectLost(t, err, 8, 1)
	// The other process never heard of those units. It goes on with nothing either.
	_, err = other.Open(background, 0, "")
	expectLost(t, err, 8, 1)
	own(t, other, 1).is(t, 1)
	if next := own(t, st, 2); next.at.Epoch <= taken.at.Epoch {
		t.Errorf("epoch %d is given again: %+v", taken.at.Epoch, next.at)
	}

	if err := other.AcceptLoss(background, 0); err != nil {
		t.Fatal(err)
	}
	o := own(t, other, 0)
	if o.at.Epoch <= owners[0].at.Epoch {
		t.Errorf("after the loss epochs are given again: %+v after %+v", o.at, owners[0].at)
	}
	o.is(t, 1)
	for range 3 {
		o.commit(t)
	}
	o = own(t, st, 0) // what it remembered is settled, though the shard is not as far
	o.is(t, 4)
	for range 10 {
		o.commit(t)
	}
	if err := st.AcceptLoss(background, 0); err != nil { // there is none
		t.Fatal(err)
	}
	again := own(t, other, 0)
	if again.at.Epoch != o.at.Epoch+1 {
		t.Errorf("accepting no loss changed the epoch to %d from %d", again.at.Epoch, o.at.Epoch)
	}
	again.is(t, 14)
}

func expectLost(t *testing.T, err error, had, has message.Seq) {
	t.Helper()
	var lost *store.LostError
	if !errors.As(err, &lost) || !errors.Is(err, store.ErrLost) {
		t.Fatalf("Open: %v, want ErrLost", err)
	}
	if lost.Shard != 0 || lost.Had != had || lost.Has != has || lost.Units() != uint64(had-has) {
		t.Errorf("it lost %+v, want units %d to %d", lost, has+1, had)
	}
	t.Log(err)
}

// A session of the primary that comes back beside the promoted standby, as
// nobody should let it, is not mistaken for one of the standby's: epoch and unit
// are the same, the token is not.
func TestSameEpochTwice(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	st := openStore(t, dsn, Options{Shards: 1})
	o := own(t, st, 0)
	o.commit(t)
	pgtest.Exec(t, dsn, "UPDATE semel.semel_shard SET epoch = 0") // what a failover may do
	next := own(t, openStore(t, dsn, Options{}), 0)
	if next.at != o.at {
		t.Fatalf("the sessions are at %+v and %+v, which does not test this", o.at, next.at)
	}
	if err := o.submit().Wait(); !errors.Is(err, store.ErrFenced) {
		t.Errorf("a unit of the session that is gone: %v, want ErrFenced", err)
	}
	if _, err := o.Scan(background, store.Range{Table: message.TableState}, 1); !errors.Is(err, store.ErrFenced) {
		t.Errorf("a read of the session that is gone: %v, want ErrFenced", err)
	}
	next.commit(t)
	next.is(t, 2)
}

// A server that lost units, and still knows the session, is told apart too: its
// reads are refused, and so is what follows.
func TestWentBack(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	st := openStore(t, dsn, Options{Shards: 1})
	o := own(t, st, 0)
	o.commit(t)
	o.commit(t)
	pgtest.Exec(t, dsn, "UPDATE semel.semel_shard SET seq = 1")
	if _, err := o.Scan(background, store.Range{Table: message.TableState}, 1); !errors.Is(err, store.ErrFenced) {
		t.Errorf("a read: %v, want ErrFenced", err)
	}
	if err := o.submit().Wait(); !errors.Is(err, store.ErrFenced) {
		t.Errorf("a unit: %v, want ErrFenced", err)
	}
	_, err := st.Open(background, 0, "")
	expectLost(t, err, 2, 1)
}
