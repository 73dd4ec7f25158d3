package migrate

import (
	"errors"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
)

// claimed is what a server hears that claims each shard of a disk.
func claimed(t *testing.T, d *mem.Disk, node string) (claims []store.Claim) {
	t.Helper()
	st := opened(t, d, "").Store.(store.Leaser)
	if _, err := st.Keep(t.Context(), store.Node{ID: node, Name: node}); err != nil {
		t.Fatal(err)
	}
	for shard := range message.Shard(2) {
		c, ok, err := st.Claim(t.Context(), node, shard)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			claims = append(claims, c)
		}
	}
	return claims
}

// rewrite commits a unit to each shard, as a server does.
func rewrite(t *testing.T, d *mem.Disk) {
	t.Helper()
	st := opened(t, d, "").Store
	for i := range st.Shards() {
		s, err := st.Open(t.Context(), message.Shard(i), "a server")
		if err != nil {
			t.Fatal(err)
		}
		rows, err := s.Scan(t.Context(), store.Range{Table: message.TableState}, 1)
		if err != nil || len(rows) == 0 {
			t.Fatal(rows, err)
		}
		v := s.Version()
		v.Seq++
		w := message.Write{RowKey: message.RowKey{Table: message.TableState, Key: rows[0].Key}, Op: message.Put, Value: rows[0].Value}
		if err := s.Commit(t.Context(), &message.Unit{Version: v, Writes: []message.Write{w}}).Wait(); err != nil {
			t.Fatal(err)
		}
	}
}

// While a store is moved, the mover has the shards of both, and no server gets
// one. When it ends they are as they were found, but for those that bear a mark.
func TestServersWaitForAMove(t *testing.T) {
	t.Parallel()
	shared := func(seed uint64) *mem.Disk {
		return mem.New(mem.Shards(2), mem.Seed(seed), mem.Shared(time.Second, time.Now))
	}
	a, b := shared(1), shared(2)
	if _, err := Run(t.Context(), opened(t, populated(t, 3).Backup(), "origin"), opened(t, a, "A"), Options{}); err != nil {
		t.Fatal(err)
	}
	full := mem.New(mem.Shards(2), mem.Seed(77))
	_ = serve(t, full, start, func(e *engine.Engine) { call(t, e, name(1), "told", "k", false) })

	if got := claimed(t, a, "one that dies"); len(got) != 2 || !got[0].Clean {
		t.Fatalf("a server gets %+v", got)
	}
	rewrite(t, a)
	a.Lapse("one that dies")
	if _, err := Run(t.Context(), opened(t, a, "A"), opened(t, full, "full"), Options{}); !errors.Is(err, ErrNotEmpty) {
		t.Fatal(err)
	}
	if got := claimed(t, a, "one that dies too"); len(got) != 2 || got[0].Clean || got[1].Clean {
		t.Errorf("after a move that was refused a server gets %+v", got)
	}
	a.Lapse("one that dies too")
	shown := 0
	r, err := Run(t.Context(), opened(t, a, "A"), opened(t, b, "B"), Options{Progress: func(Progress) {
		shown++
		for _, d := range []*mem.Disk{a, b} {
			if got := claimed(t, d, "early"); len(got) != 0 {
				t.Errorf("a server gets %d shards of a store that is being moved", len(got))
			}
			d.Lapse("early")
		}
	}})
	if err != nil || !r.Unclean || shown == 0 {
		t.Fatalf("%+v, %v; shown %d times", r, err, shown)
	}
	if got := claimed(t, b, "late"); len(got) != 2 || !got[0].Clean || !got[1].Clean {
		t.Errorf("a server of the target gets %+v", got)
	}
}

// A move that is refused leaves a store as its last server left it: the next
// one has to hear that it did not end in order.
func TestRefusedMoveLeavesTheEndAsItWas(t *testing.T) {
	t.Parallel()
	a, full := populated(t, 3), mem.New(mem.Shards(2), mem.Seed(77))
	_ = serve(t, full, start, func(e *engine.Engine) { call(t, e, name(1), "told", "k", false) })
	refuse := func() {
		t.Helper()
		if _, err := Run(t.Context(), opened(t, a, "A"), opened(t, full, "B"), Options{}); !errors.Is(err, ErrNotEmpty) {
			t.Fatal(err)
		}
	}
	refuse() // its engine closed it
	if st := opened(t, a, "A").Store; !st.CleanStart() {
		t.Error("a clean end was lost")
	}
	a.Crash(0)
	refuse()
	if _, err := a.OpenStore(t.Context()); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a store whose server died was closed in order: %v", err)
	}
}

// Between two runs of a move a server may have had the shards that the first run
// had not come to. How it ended counts.
func TestMoveThatGoesOnHearsOfTheEndBetween(t *testing.T) {
	t.Parallel()
	for _, clean := range []bool{true, false} {
		a, b := populated(t, 3), mem.New(mem.Shards(2), mem.Seed(5))
		from, to := opened(t, a, "A"), opened(t, b, "B")
		if !from.Store.CleanStart() {
			t.Fatal("the first run is to find a clean end")
		}
		from.Store = &intruded{Store: from.Store, t: t}
		if _, err := Run(t.Context(), from, to, Options{}); !errors.Is(err, store.ErrFenced) {
			t.Fatal(err)
		}
		if !clean {
			opened(t, a, "a server")
			a.Crash(0)
		}
		m, err := begin(t.Context(), opened(t, a, "A"), opened(t, b, "B"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.examine(); err != nil || m.unclean == clean || m.from.shards[0].mark.State != core.MoveAway {
			t.Errorf("clean: %v; the second run takes the end for an unclean one: %v; %v", clean, m.unclean, err)
		}
	}
}
