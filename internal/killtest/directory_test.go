package killtest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/pebble"
)

// FAULTS 15: a second process on the directory refuses to start, says why, and
// harms nothing; when the first is killed, the next one starts.
func TestSecondProcess(t *testing.T) {
	t.Parallel()
	s := newScene(t, "reply")
	p := s.program()
	s.pay(p, "keyed")
	second, err := trySpawn(t, "program", "DATA="+s.data, "OUTSIDE="+s.outside.url)
	if err == nil {
		t.Fatal("a second process started on the directory")
	}
	if said := second.stderr.String(); !strings.Contains(said, store.ErrLocked.Error()) || !strings.Contains(said, s.data) {
		t.Errorf("the second process said: %s", said)
	}
	if _, err := semel.Open(t.Context(), pebble.At(s.data), nil); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Open: %v, want store.ErrLocked", err)
	}
	// Another name of the directory is no way in.
	link := filepath.Join(t.TempDir(), "link")
	symlink(t, s.data, link)
	if _, err := semel.Open(t.Context(), pebble.At(link), nil); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Open by another name: %v, want store.ErrLocked", err)
	}
	s.wantPaid(p, "keyed", s.receipt())
	p.kill()
	s.wantPaid(s.program(), "keyed", s.receipt())
	s.wantBooks(1, 1)
}

// FAULTS 14: a backup taken under load has everything that was acknowledged
// before it began, and nothing by halves; restored, it is another incarnation.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, backup, restored := filepath.Join(dir, "data"), filepath.Join(dir, "backup"), filepath.Join(dir, "restored")
	const workers, accounts, before = 8, 5, 400
	app, accts := openLedger(t, data)

	type call struct {
		from, to, key string
		reply         ledger.Transferred
	}
	var (
		mu    sync.Mutex
		acked []call
		many  = make(chan struct{}) // closed when enough was acknowledged
		stop  = make(chan struct{})
		wg    sync.WaitGroup
	)
	transfer := func(a *ledger.Accounts, c call) (ledger.Transferred, error) {
		return a.Transfer.Call(context.Background(), c.from, ledger.Transfer{To: c.to, Cents: 3}, semel.Key(c.key))
	}
	for i := range accounts {
		if _, err := accts.Open.Call(t.Context(), fmt.Sprint(i), ledger.Open{Cents: 100000}, semel.Key("open")); err != nil {
			t.Fatal(err)
		}
	}
	for w := range workers {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				c := call{from: fmt.Sprint((w + n) % accounts), to: fmt.Sprint((w + 3*n + 1) % accounts), key: fmt.Sprintf("%d-%d", w, n)}
				var err error
				if c.reply, err = transfer(accts, c); err != nil {
					t.Errorf("transfer %s: %v", c.key, err)
					return
				}
				mu.Lock()
				if acked = append(acked, c); len(acked) == before {
					close(many)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-many:
	case <-time.After(patience):
		t.Fatal("the transfers do not come along")
	}
	mu.Lock()
	promised := append([]call(nil), acked...)
	mu.Unlock()
	if err := app.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	close(stop)
	wg.Wait()
	closeLedger(t, app)

	if _, err := semel.Open(t.Context(), pebble.At(backup), nil); err == nil {
		t.Error("a backup was opened as if it were a store")
	}
	if err := pebble.Restore(t.Context(), backup, restored); err != nil {
		t.Fatal(err)
	}
	if a, b := incarnation(t, data), incarnation(t, restored); a == b {
		t.Errorf("the restored store has the incarnation %x of the one that was backed up", a)
	}
	app, accts = openLedger(t, restored)
	defer closeLedger(t, app)
	for _, c := range promised {
		o, err := app.Outcome(t.Context(), accts.Name(c.from), c.key)
		if err != nil || o.Status != message.StatusDone {
			t.Fatalf("transfer %s was acknowledged before the backup, and after the restore it is %+v, %v", c.key, o, err)
		}
		if again, err := transfer(accts, c); err != nil || again != c.reply {
			t.Fatalf("transfer %s was answered %+v, and after the restore %+v, %v", c.key, c.reply, again, err)
		}
	}
	// Those that were acknowledged later are in it or not, once: clients that
	// repeat them all find the books that balance.
	for _, c := range acked {
		if _, err := transfer(accts, c); err != nil {
			t.Fatal(err)
		}
	}
	want := make(map[string]int64)
	for _, c := range acked {
		want[c.from] -= 3
		want[c.to] += 3
	}
	for i := range accounts {
		id := fmt.Sprint(i)
		a, _, err := accts.Get(t.Context(), id)
		if err != nil || a.Cents != 100000+want[id] || a.Pending != 0 {
			t.Errorf("account %s is %+v, %v; want %d cents", id, a, err, 100000+want[id])
		}
	}
	t.Logf("%d transfers were acknowledged before the backup, %d in all", len(promised), len(acked))
}

func openLedger(t *testing.T, dir string) (*semel.App, *ledger.Accounts) {
	t.Helper()
	app, err := semel.Open(t.Context(), pebble.At(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	return app, ledger.Register(app)
}

func closeLedger(t *testing.T, app *semel.App) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := app.Close(ctx); err != nil {
		t.Error(err)
	}
}

func incarnation(t *testing.T, dir string) message.Incarnation {
	t.Helper()
	st, err := pebble.At(dir).OpenStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	return st.Incarnation()
}
