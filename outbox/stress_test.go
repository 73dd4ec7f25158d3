package outbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel/outbox"
)

const stressKeys = 24

// write is one transaction of a writer: it claims a key of Once first, which gives
// it its transaction id before it has its place in the order; changes a row; sends.
func (w *world) write(ctx context.Context, id string) func(tx outbox.DBTx) error {
	return func(tx outbox.DBTx) error {
		out, err := w.box.Once(ctx, tx, outbox.Key{ID: id}, func(ctx context.Context) ([]byte, error) {
			key := fmt.Sprintf("key-%d", rand.N(stressKeys))
			if _, err := tx.Exec(ctx, w.q("UPDATE counter SET n = n + 1 WHERE k = ?1"), key); err != nil {
				return nil, err
			}
			n, err := number(ctx, tx, w.q("SELECT n FROM counter WHERE k = ?1"), key)
			if err != nil {
				return nil, err
			}
			body, err := json.Marshal(event{key, n, id})
			if err != nil {
				return nil, err
			}
			if err := w.box.Send(ctx, tx, outbox.Message{Key: key, Type: "changed", Body: body}); err != nil {
				return nil, err
			}
			if _, err := tx.Exec(ctx, w.q("INSERT INTO work (what) VALUES (?1)"), id); err != nil {
				return nil, err
			}
			return nil, nil
		})
		if err == nil && !out.Replayed && rand.N(3) == 0 {
			return errWanted
		}
		return err
	}
}

// Under 64 concurrent writers with random rollbacks, and relays that are cut off
// anywhere or killed by SIGKILL: each committed message is delivered, its effect
// happens once, in the order of its key's commits, and nothing that was rolled
// back is delivered. (FAULTS 4, 21)
func TestExactlyOnceUnderLoad(t *testing.T) {
	each := 20
	if testing.Short() {
		each = 4
	}
	for _, kind := range sample(kinds...) {
		t.Run(kind, func(t *testing.T) { stress(t, newWorld(t, kind, nil), load{writers: 64, each: each}) })
	}
}

// The same, while the database is killed and started again, three times (once under -short). A writer
// whose connection broke asks again with its key, and hears the truth: what it was
// told is done is there, and what it gave up is not. (FAULTS 24, 37)
func TestExactlyOnceWhileTheDatabaseDies(t *testing.T) {
	t.Parallel()
	each, crashes := 20, 3
	if testing.Short() {
		each, crashes = 8, 1
	}
	for _, kind := range sample("pgx", "postgres", "mariadb") {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w, crash := own(t, kind)
			stress(t, w, load{writers: 8, each: each, crashes: crashes, crash: crash})
		})
	}
}

// load is what a stress test does to a database.
type load struct {
	writers, each int
	crashes       int
	crash         func() // kills the database, and starts it again; nil without crashes
}

// persist runs a transaction until its end is known, as a user with a key does.
func (w *world) persist(ctx context.Context, retried, broken *atomic.Int64, do func(tx outbox.DBTx) error) error {
	for {
		err := w.attempt(ctx, "", retried, do)
		if err == nil || errors.Is(err, errWanted) || ctx.Err() != nil {
			return err
		}
		broken.Add(1)
		<-time.After(20 * time.Millisecond) // a user does not ask without a pause
	}
}

func stress(t *testing.T, w *world, l load) {
	w.work(t)
	w.exec(t, "CREATE TABLE counter (k varchar(100) NOT NULL PRIMARY KEY, n bigint NOT NULL)")
	for k := range stressKeys {
		w.exec(t, "INSERT INTO counter VALUES (?1, 0)", fmt.Sprintf("key-%d", k))
	}
	r := &receiver{seen: map[string]bool{}, last: map[string]int64{}, done: map[string]bool{}, more: make(chan struct{}, 1)}
	server := httptest.NewServer(r)
	defer server.Close()

	ctx, cancel := context.WithCancel(t.Context())
	var relays, writers sync.WaitGroup
	var kills, cuts, retried, broken, rolledBack atomic.Int64
	var told sync.Map // of each transaction: whether its writer was told that it is done
	progress := make(chan struct{}, l.writers*l.each)
	defer relays.Wait()
	defer cancel()
	until := func(least, most time.Duration) <-chan time.Time { return time.After(least + rand.N(most-least)) }
	for range 2 {
		relays.Go(func() { // cut off by its context, and started again
			sink := outbox.ByKey(8, func(_ context.Context, m outbox.Message) outbox.Result {
				v := r.take(m.ID, m.Body)
				return outbox.Result{Verdict: v}
			})
			for ctx.Err() == nil {
				relay, err := outbox.NewRelay(w.box, w.db, sink, quick())
				if err != nil {
					t.Error(err)
					return
				}
				within, stop := context.WithTimeout(ctx, 50*time.Millisecond+rand.N(1500*time.Millisecond))
				_ = relay.Run(within)
				stop()
				cuts.Add(1)
			}
		})
		relays.Go(func() { // killed, and started again
			for ctx.Err() == nil {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), childKind+"="+w.kind, childDSN+"="+w.dsn, childURL+"="+server.URL)
				if err := cmd.Start(); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-until(500*time.Millisecond, 2500*time.Millisecond):
				case <-ctx.Done():
				}
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				kills.Add(1)
			}
		})
	}
	began := time.Now()
	for i := range l.writers {
		writers.Go(func() {
			for j := range l.each {
				id := fmt.Sprintf("tx-%d-%d", i, j)
				do := w.write(ctx, id)
				var err error
				if l.crash != nil {
					err = w.persist(ctx, &retried, &broken, do)
				} else {
					err = w.attempt(ctx, "", &retried, do)
				}
				if errors.Is(err, errWanted) {
					rolledBack.Add(1)
				} else if err != nil {
					t.Errorf("%v", err)
				}
				told.Store(id, err == nil)
				progress <- struct{}{}
			}
		})
	}
	if l.crash != nil {
		for range l.crashes { // there is more to write after the last one
			for range l.writers * l.each / (l.crashes + 2) {
				<-progress
			}
			l.crash()
		}
	}
	writers.Wait()
	wrote := time.Since(began)
	look := w // the relays go on with w
	if l.crash != nil {
		look = worldAt(t, w.kind, w.dsn, nil) // w's connections may be dead
	}
	committed := look.number(t, "SELECT COUNT(*) FROM work")
	work := look.allDone(t)
	told.Range(func(id, done any) bool {
		if n := work[id.(string)]; n != map[any]int{true: 1, false: 0}[done] {
			t.Errorf("%v: its writer was told done=%v, and it was done %d times", id, done, n)
		}
		return true
	})
	late := time.After(3 * time.Minute)
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-r.more:
		case <-tick.C:
		case <-late:
			t.Errorf("not everything was delivered in time")
		}
		if b, err := look.box.Backlog(ctx, look.db); t.Failed() || err == nil && b.Messages == 0 {
			if b.Dead+b.Stuck != 0 {
				t.Errorf("%+v", b)
			}
			tick.Stop()
			break
		}
	}
	delivered := time.Since(began)
	cancel()
	relays.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, s := range r.wrong {
		if i < 10 {
			t.Errorf("%s", s)
		}
	}
	for k := range stressKeys {
		key := fmt.Sprintf("key-%d", k)
		if n := look.number(t, "SELECT n FROM counter WHERE k = ?1", key); n != r.last[key] {
			t.Errorf("%s: %d changes were committed, the last effect is %d", key, n, r.last[key])
		}
	}
	for id := range r.done {
		if work[id] != 1 {
			t.Errorf("%s has an effect and was not committed", id)
		}
	}
	if int64(len(r.seen)) != committed || int64(len(r.done)) != committed {
		t.Errorf("%d messages were committed, %d had an effect", committed, len(r.seen))
	}
	t.Logf("%d committed, %d rolled back, %d retried transactions, %d that broke, in %v; all delivered after %v; %d duplicates seen off; relays: %d killed, %d cut off",
		committed, rolledBack.Load(), retried.Load(), broken.Load(), wrote.Round(time.Millisecond), delivered.Round(time.Millisecond), r.duplicates, kills.Load(), cuts.Load())
}
