package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/postgres"
)

// The verbs of `semel store` against a real database, beside a process that has it
// open and remembers what was lost.
func TestVerbsOfTheStore(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Start(t).Database(t)
	o, err := postgres.At(dsn, postgres.Options{Shards: 2}).OpenStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	st := o.(*postgres.Store)
	t.Cleanup(func() { _ = st.Close() })
	s, err := st.Open(t.Context(), 1, "")
	if err != nil {
		t.Fatal(err)
	}
	for at := s.Version(); at.Seq < 3; {
		at.Seq++
		if err := s.Commit(t.Context(), &message.Unit{Version: at}).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	pgtest.Exec(t, dsn, "UPDATE semel.semel_shard SET seq = 1 WHERE shard = 1") // as a failover may
	if _, err := st.Open(t.Context(), 1, ""); !errors.Is(err, store.ErrLost) || !strings.Contains(err.Error(), "shard 1: ") || !strings.Contains(err.Error(), "2 units, 2 to 3,") {
		t.Errorf("Open: %v", err)
	}
	verb := func(code int, want string, args ...string) {
		t.Helper()
		got := semelRun(t, append([]string{"store"}, args...)...)
		if got.code != code || !strings.Contains(got.out+got.errors, want) {
			t.Errorf("store %v: exit code %d, want %d and %q\n%s%s", args, got.code, code, want, got.out, got.errors)
		}
	}
	verb(exitUsage, "no database is named", "accept", "1")
	verb(exitUsage, "the store has 2 shards", "accept", "2", "--store", dsn)
	verb(exitUsage, "is no shard", "accept", "one", "--store", dsn)
	verb(exitOK, "shard 0 goes on", "accept", "0", "--store", dsn) // which lost nothing
	if _, err := st.Open(t.Context(), 1, ""); !errors.Is(err, store.ErrLost) {
		t.Errorf("Open: %v, want ErrLost of shard 1 still", err)
	}
	verb(exitOK, "shard 1 goes on", "accept", "1", "--store", dsn)
	if s, err = st.Open(t.Context(), 1, ""); err != nil || s.Version().Seq != 1 {
		t.Errorf("Open: %+v, %v", s, err)
	}

	incarnation := func() string {
		return pgtest.Value(t, dsn, "SELECT incarnation FROM semel.semel_store")
	}
	was := incarnation()
	verb(exitUsage, "no database is named", "renew")
	verb(exitOK, "the store is a new one", "renew", "--store", dsn)
	if is := incarnation(); is == was {
		t.Errorf("the incarnation is %s still", is)
	}
	if _, err := st.Open(t.Context(), 1, ""); !errors.Is(err, postgres.ErrRenewed) {
		t.Errorf("Open: %v, want ErrRenewed", err)
	}
	password := "hunter/2"
	if got := semelRun(t, "store", "renew", "--store", fmt.Sprintf("postgres://me:%s@host/db", password)); got.code == exitOK || strings.Contains(got.out+got.errors, "hunter") {
		t.Errorf("a URL that is none: exit code %d\n%s%s", got.code, got.out, got.errors)
	}
}
