package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

func node(id string) store.Node { return store.Node{ID: id, Name: id, Address: "http://" + id} }

// keepLease renews a node's lease and returns the roster.
func keepLease(t testing.TB, st *Store, id string) store.Roster {
	t.Helper()
	r, err := st.Keep(background, node(id))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func expectClaim(t testing.TB, st *Store, id string, shard message.Shard, ok, clean bool) {
	t.Helper()
	c, got, err := st.Claim(background, id, shard)
	if err != nil || got != ok || ok && c.Clean != clean {
		t.Fatalf("a claim of shard %d for %s: %v, clean %v, %v; want %v, clean %v", shard, id, got, c.Clean, err, ok, clean)
	}
}

// The first try of a Release comes to the server after the second one, and after
// the node has claimed the shard again: it gives up nothing.
func TestLateRelease(t *testing.T) {
	t.Parallel()
	dsn := pgtest.With(pgtest.Shared(t).Database(t), "default_query_exec_mode", "exec")
	w := &wire{}
	st := openStore(t, dsn, Options{Shards: 1, dial: w.dial})
	keepLease(t, st, "a")
	expectClaim(t, st, "a", 0, true, true)
	w.lose(delayMessage)
	if err := st.Release(background, "a", 0, true); err != nil {
		t.Fatal(err)
	}
	if r := keepLease(t, st, "a"); r.Holders[0] != "" {
		t.Fatalf("the second try did not release: %+v", r)
	}
	expectClaim(t, st, "a", 0, true, true)
	w.deliver(t)
	if r := keepLease(t, st, "a"); r.Holders[0] != "a" {
		t.Errorf("a late release gave up a later claim: %+v", r)
	}
	if err := st.Release(background, "a", 0, false); err != nil {
		t.Fatal(err)
	}
	expectClaim(t, st, "a", 0, true, false)
}

// A load that keeps every connection busy does not end the lease.
func TestLeaseUnderLoad(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	st := openStore(t, pgtest.With(dsn, "pool_max_conns", "2"), Options{Shards: 3})
	one, two := own(t, st, 0), own(t, st, 1)
	c := connect1(t, dsn)
	tx, err := c.Begin(background)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(background, "SELECT * FROM semel.semel_shard FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	units := []store.Pending{one.submit(), two.submit()}
	pgtest.Await(t, dsn, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'", "2")
	ctx, cancel := context.WithTimeout(background, 20*time.Second)
	defer cancel()
	if _, err := st.Keep(ctx, node("a")); err != nil {
		t.Errorf("Keep: %v", err)
	}
	if _, ok, err := st.Claim(ctx, "a", 2); err != nil || !ok {
		t.Errorf("Claim: %v, %v", ok, err)
	}
	if err := tx.Rollback(background); err != nil {
		t.Fatal(err)
	}
	for _, p := range units {
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// A process that had the store open when it was renewed has no part in it any
// more, and hears why. The backup is of before a loss was accepted.
func TestOpenWhenRenewed(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	st := openStore(t, dsn, Options{Shards: 2})
	o := own(t, st, 0)
	o.commit(t)
	own(t, st, 1).commit(t) // the backup has all of it
	keepLease(t, st, "a")
	pgtest.Exec(t, dsn, "UPDATE semel.semel_shard SET seq = 0, era = -1 WHERE shard = 0; UPDATE semel.semel_node SET until = now()")
	if err := Renew(background, dsn); err != nil {
		t.Fatal(err)
	}
	for shard := range message.Shard(2) {
		if _, err := st.Open(background, shard, "a"); !errors.Is(err, ErrRenewed) {
			t.Errorf("Open: %v, want ErrRenewed", err)
		}
		if _, err := st.Keep(background, node("a")); !errors.Is(err, ErrRenewed) {
			t.Errorf("Keep: %v, want ErrRenewed", err)
		}
	}
	if err := o.submit().Wait(); !errors.Is(err, store.ErrFenced) {
		t.Errorf("a unit: %v, want ErrFenced", err)
	}
	next := openStore(t, dsn, Options{})
	if r := keepLease(t, next, "b"); len(r.Nodes) != 1 {
		t.Errorf("the process of before has a lease: %+v", r)
	}
	own(t, next, 0).commit(t) // and nothing counts as lost
}

// FAULTS 31, 38: an asynchronous standby takes over that never heard of the last
// claim. The shard is claimed by nobody else before that lease is over for certain,
// and then not as clean; and who remembers what was lost says so first.
func TestPromotedWithoutClaims(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	s.Exec(t, "CREATE DATABASE semel")
	openStore(t, s.DSN("semel"), Options{Shards: 3})
	b := s.Standby(t)
	either := pgtest.Either("semel", s, b)
	opt := Options{Lease: time.Minute}
	a, other := openStore(t, either, opt), openStore(t, either, opt)
	keepLease(t, a, "paused")
	expectClaim(t, a, "paused", 2, true, true)
	pgtest.Exec(t, either, "UPDATE semel.semel_node SET until = now()") // it is for longer than its lease
	keepLease(t, a, "a")
	keepLease(t, other, "b")
	expectClaim(t, other, "b", 1, true, true) // no promotion, no waiting
	o := own(t, a, 0)
	o.commit(t)
	s.CaughtUp(t, b)
	b.Kill(t)
	expectClaim(t, a, "a", 0, true, true)
	expectClaim(t, a, "a", 2, true, false)
	for range 7 {
		o.commit(t)
	}
	s.Kill(t)
	b.Restart(t)
	b.Promote(t)

	dsn := b.DSN("semel")
	expectClaim(t, other, "b", 0, false, false) // nobody has noted the promotion yet
	if r := keepLease(t, other, "b"); !slices.Equal(r.Holders, []string{"", "b", ""}) {
		t.Fatalf("after the promotion the holders are %q", r.Holders)
	}
	if r := keepLease(t, a, "paused"); r.Holders[2] != "" {
		t.Error("a node whose lease was over has its shard again, which another claimed meanwhile")
	}
	expectClaim(t, other, "b", 0, false, false)
	keepLease(t, a, "a")
	if got := pgtest.Value(t, dsn, "SELECT lost FROM semel.semel_shard WHERE shard = 0"); got != "8" {
		t.Errorf("the node that remembers unit 8 has marked %s", got)
	}
	if got := pgtest.Value(t, dsn, "SELECT settled > now() AND settled <= now() + interval '1 minute' FROM semel.semel_store"); got != "t" {
		t.Error("claims do not wait for a lease from the promotion")
	}
	pgtest.Exec(t, dsn, "UPDATE semel.semel_store SET settled = now()") // as a lease later
	expectClaim(t, other, "b", 0, true, false)
	_, err := other.Open(background, 0, "b")
	expectLost(t, err, 8, 1)
	if err := other.AcceptLoss(background, 0); err != nil {
		t.Fatal(err)
	}
	own(t, other, 0).is(t, 1)
	expectClaim(t, other, "b", 1, true, false)
	took := pgtest.Value(t, dsn, "SELECT timeline FROM semel.semel_store")
	if took != "00000002" {
		t.Errorf("the timeline noted is %s", took)
	}
}

// A server that does not tell its timeline has no promotions to wait for.
func TestNoTimelines(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	dsn := s.Database(t)
	role := schema()
	pgtest.Exec(t, dsn, fmt.Sprintf(`CREATE ROLE %s LOGIN; GRANT CREATE ON DATABASE %s TO %[1]s;
		REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) FROM PUBLIC`, role, pgtest.Value(t, dsn, "SELECT current_database()")))
	st := openStore(t, pgtest.With(dsn, "user", role), Options{Shards: 1})
	keepLease(t, st, "a")
	expectClaim(t, st, "a", 0, true, true)
	if got := pgtest.Value(t, dsn, "SELECT timeline FROM semel.semel_store"); got != "" {
		t.Errorf("the timeline is %q", got)
	}
	// A node of another role sees a promotion; this one claims as before.
	pgtest.Exec(t, dsn, "UPDATE semel.semel_store SET timeline = '00000001'")
	keepLease(t, st, "a")
	expectClaim(t, st, "a", 0, true, true)
}
