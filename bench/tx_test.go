package bench

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/pgtest"
)

func branchesFor(t *testing.T) *branches {
	t.Helper()
	b, err := serveBranches()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// What ended without having called both branches is found, and so is what called
// one of them twice.
func TestBranchesAreCounted(t *testing.T) {
	t.Parallel()
	b := branchesFor(t)
	c, err := connect(b.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	for _, call := range []struct{ path, tx string }{{takeOut, "a"}, {takeIn, "a"}, {takeIn, "a"}, {takeOut, "b"}, {takeOut + undo, "b"}} {
		if err := c.post("/"+call.path, "", branchBody(call.tx)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.post("/"+takeOut, "", `{"cents":30}`); err == nil {
		t.Error("a call of no transaction is taken")
	} else if c, err = connect(b.address); err != nil {
		t.Fatal(err)
	}
	over, stop := context.WithCancel(t.Context())
	stop()
	both := []string{takeOut, takeIn}
	if _, err := b.called(over, []string{"a", "b"}, both); err == nil || !strings.Contains(err.Error(), "transaction b ") {
		t.Errorf("a transaction that called one branch: %v", err)
	}
	waited := make(chan error)
	go func() {
		again, err := b.called(t.Context(), []string{"a", "b"}, both)
		if again != 1 {
			t.Errorf("%d calls came again, not 1", again)
		}
		waited <- err
	}()
	if err := c.post("/"+takeIn, "", branchBody("b")); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if _, err := b.called(over, []string{"a"}, both); err == nil {
		t.Error("a round's transactions are remembered in the next")
	}
}

// A way whose transactions end without their calls has no figures.
func TestUnmadeCallsAreNoFigures(t *testing.T) {
	t.Parallel()
	b := branchesFor(t)
	w := callsAlone(b)
	m := newMeasured(w, b, 2)
	r, err := m.offer(Load{Callers: 2, Group: 1, For: 20 * time.Millisecond})
	if err != nil || r.Ops == 0 || m.ops != r.Ops || m.again != 0 {
		t.Errorf("%d operations, %d, %d again: %v", r.Ops, m.ops, m.again, err)
	}
	lazy := newMeasured(w, b, 1)
	lazy.way.calls = append(slices.Clone(w.calls), takeIn+undo)
	lazy.patience = time.Millisecond
	if _, err := lazy.offer(Load{Callers: 1, Group: 1, For: 20 * time.Millisecond}); err == nil || !strings.Contains(err.Error(), takeIn+undo) {
		t.Errorf("transactions that called nothing to undo, as they should: %v", err)
	}
}

// A family's time is its own, that of the children that live, and that of those
// that are gone.
func TestProcessTime(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the time of other processes is measured on Linux alone")
	}
	for cpuTime() < 50*time.Millisecond { // one tick of the clock is 10 ms
	}
	if used, parent := processTime(os.Getpid()); used == 0 || parent != syscall.Getppid() {
		t.Errorf("this process has used %v, and its parent is %d, not %d", used, parent, syscall.Getppid())
	}
	if own, _ := processTime(os.Getpid()); familyTime(os.Getpid()) < own {
		t.Error("a family has used less than its head")
	}
}

// The password of a server that has none must not be empty: what follows an
// empty one in DTM's connection string would be taken for it.
func TestDTMConfig(t *testing.T) {
	t.Parallel()
	text, port, err := dtmConfig("postgres://someone@/postgres?host=/tmp/somewhere", "of_its_own")
	if err != nil || port == 0 {
		t.Fatal(port, err)
	}
	for _, want := range []string{`Host: "/tmp/somewhere"`, "Port: 5432", `User: "someone"`, `Password: "none"`, `Db: "postgres"`, `Schema: "of_its_own"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if text, _, err = dtmConfig("", ""); err != nil || strings.Contains(text, "Store") {
		t.Errorf("on its own store: %v\n%s", err, text)
	}
}

// A short round of everything, with a real DTM on both stores.
func TestTransactions(t *testing.T) {
	if os.Getenv("SEMEL_SOAK") == "" {
		t.Skip("SEMEL_SOAK=1 builds DTM, for minutes when it is the first time, and measures it")
	}
	s := pgtest.Start(t, pgtest.Set("max_connections", "200"))
	dsn := s.Database(t)
	sheet, err := Transactions{
		DTM: "dtm", Postgres: dsn, Dir: t.TempDir(), Round: 50 * time.Millisecond, Rounds: 1, Callers: []int{1, 4},
		Progress: func(s string) { t.Log(s) },
	}.Compare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := pgtest.Value(t, dsn, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'semel_bench%'"); n != "0" {
		t.Errorf("%s schemas are left behind", n)
	}
	for _, r := range sheet.Rows {
		if r.Result.Ops == 0 || r.Result.PerSec == 0 || r.Baseline != nil && (r.Baseline.Ops == 0 || r.Ratio == 0) {
			t.Errorf("%s: a row without figures: %+v", r.Name, r)
		}
	}
	written(t, sheet, "embedded store, 1 caller: Semel, saga, over HTTP", "Semel, 2PC of two agents, in process", "DTM, TCC, until decided", "DTM, TCC, to the end", "fsync on", "processors busy with it")
}
