package split_test

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/postgres"
	"github.com/semel-dev/semel/store/split"
	"github.com/semel-dev/semel/store/storetest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	few := true // each history makes tables in two servers
	flag.Visit(func(f *flag.Flag) { few = few && f.Name != "rapid.checks" })
	if few {
		checks := "15"
		if testing.Short() {
			checks = "5"
		}
		if err := flag.Set("rapid.checks", checks); err != nil {
			panic(err) // there is no such flag
		}
	}
	os.Exit(pgtest.Around(m).Run())
}

// The suite on two servers.
func TestPostgres(t *testing.T) {
	t.Parallel()
	one, two := pgtest.Shared(t), pgtest.Start(t)
	a := pgtest.With(one.Database(t), "pool_max_conns", "4")
	b := pgtest.With(two.Database(t), "pool_max_conns", "4")
	differs := storetest.Differences{
		NoKill: "the stores' own suite kills", NoBackup: "see TestRestoredParts", NoHints: hintless, NotLocked: "many nodes share it",
		CleanBySession: "a process without shards has nothing under way", Remote: "units are on their way to the server",
		LeasesByPart: "each part has its own clock",
	}
	t.Run("Suite", func(t *testing.T) {
		storetest.Run(t, storetest.Harness{Differs: differs, Make: func(_ testing.TB, shards int) storetest.Place {
			opt := postgres.Options{Schema: "s_" + strings.ToLower(rand.Text()[:16]), Shards: shards}
			return storetest.Place{Opener: split.Of(halves(shards, postgres.At(a, opt), postgres.At(b, opt))...)}
		}})
	})
}

// A part that is another database than the others know is refused, whatever way
// it came about, and nothing in it is changed.
func TestWrongPartIsRefused(t *testing.T) {
	t.Parallel()
	one, two := pgtest.Shared(t), pgtest.Start(t)
	a, b := one.Database(t), two.Database(t)
	opt := postgres.Options{Shards: 4}
	at := func(dsn string) store.Opener { return postgres.At(dsn, opt) }
	parts := halves(4, at(a), at(b))
	st := open(t, split.Of(parts...))
	inc := st.Incarnation()
	commit(t, st, 0)
	commit(t, st, 1)
	shut(t, st)

	refused := func(why string, o store.Opener) {
		t.Helper()
		st, err := o.OpenStore(background)
		if err == nil {
			shut(t, st)
			t.Errorf("it is opened, although %s", why)
		} else if !strings.Contains(err.Error(), why) {
			t.Errorf("refused because %v; want: %s", err, why)
		}
	}
	refused("the databases are swapped", split.Of(halves(4, at(b), at(a))...))
	refused("not the store that part a knows", split.Of(halves(4, at(a), at(two.Database(t)))...))
	refused("is not opened by itself", at(a))
	refused("name the parts as they are", split.Of(
		split.Part{Name: "a", Shards: split.Range(0, 1), Opener: at(a)}, split.Part{Name: "b", Shards: split.Range(2, 3), Opener: at(b)}))
	refused("name the parts as they are", split.Of(split.Part{Name: "a", Shards: split.Range(0, 3), Opener: at(a)}))

	alone := open(t, at(one.Database(t)))
	shut(t, alone)
	first, second := one.Database(t), two.Database(t)
	for _, dsn := range []string{first, second} { // both were stores before
		st := open(t, at(dsn))
		commit(t, st, 0)
		shut(t, st)
	}
	refused("the map puts elsewhere", split.Of(halves(4, at(one.Database(t)), at(second))...))
	refused("the map puts elsewhere", split.Of(halves(4, at(first), at(second))...))
	shut(t, open(t, at(first))) // it is still one of its own

	st = open(t, split.Of(parts[1], parts[0]))
	if st.Incarnation() != inc {
		t.Error("with its parts in another order the store is another one")
	}
	shut(t, st)
}

// One store becomes two: the shards of the second part were not used before.
func TestGrow(t *testing.T) {
	t.Parallel()
	one, two := pgtest.Shared(t), pgtest.Start(t)
	a, b := postgres.At(one.Database(t), postgres.Options{Shards: 4}), postgres.At(two.Database(t), postgres.Options{Shards: 4})
	st := open(t, a)
	commit(t, st, 0)
	zombie := st
	former, err := zombie.Open(background, 1, "alone")
	if err != nil {
		t.Fatal(err)
	}
	grown := open(t, split.Of(halves(4, a, b)...))
	commit(t, grown, 0)
	commit(t, grown, 1)
	// A process that had the first one open alone has no part in it any more.
	v := former.Version()
	v.Seq++
	if err := former.Commit(background, &message.Unit{Version: v}).Wait(); !errors.Is(err, store.ErrFenced) {
		t.Errorf("its session commits: %v", err)
	}
	if _, err := zombie.Open(background, 1, "alone"); !errors.Is(err, store.ErrLocked) {
		t.Errorf("it opens another session: %v", err)
	}
}

// Parts that were restored are refused until all are renewed, and Renew may be
// interrupted anywhere.
func TestRestoredParts(t *testing.T) {
	t.Parallel()
	one, two := pgtest.Shared(t), pgtest.Start(t)
	opt := postgres.Options{Shards: 4}
	a, b := one.Database(t), two.Database(t)
	parts := halves(4, postgres.At(a, opt), postgres.At(b, opt))
	st := open(t, split.Of(parts...))
	commit(t, st, 0)
	inc := st.Incarnation()
	shut(t, st)

	dsn := map[string]string{"a": a, "b": b}
	stop := errors.New("interrupted")
	err := split.Renew(background, parts, func(ctx context.Context, name string) error {
		if name == "b" {
			return stop
		}
		return postgres.Renew(ctx, dsn[name], opt)
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if st, err := split.Of(parts...).OpenStore(background); err == nil {
		shut(t, st)
		t.Error("it is opened, although one part alone was renewed")
	}
	if err := split.Renew(background, parts, func(ctx context.Context, name string) error { return postgres.Renew(ctx, dsn[name], opt) }); err != nil {
		t.Fatal(err)
	}
	st = open(t, split.Of(parts...))
	if st.Incarnation() == inc {
		t.Error("it is the store of before")
	}
	commit(t, st, 0)
}
