package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel/outbox"
)

// askInnoDB is held by the one test that asks who waits.
var askInnoDB sync.Mutex

// waiting returns once n transactions of the database wait for a lock. Servers
// tell nobody, so they are asked.
func (w *world) waiting(t testing.TB, n int64) {
	t.Helper()
	query := "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	if w.kind == "mariadb" {
		// One server has the tests of all databases, and only this one's table.
		query = "SELECT COUNT(*) FROM information_schema.innodb_trx AS x JOIN information_schema.processlist AS p ON p.id = x.trx_mysql_thread_id" +
			" WHERE x.trx_state = 'LOCK WAIT' AND p.db = DATABASE()"
		// InnoDB answers from a copy that is made again only if nobody asked for
		// 100 ms: tests that ask at the same time would keep it old for ever.
		askInnoDB.Lock()
		defer askInnoDB.Unlock()
	}
	pause := map[bool]time.Duration{true: 150 * time.Millisecond, false: 5 * time.Millisecond}[w.kind == "mariadb"]
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for range 200 * int(150*time.Millisecond/pause) {
		if w.number(t, query) >= n {
			return
		}
		<-tick.C
	}
	t.Fatal("nobody waits")
}

type outcome struct {
	out outbox.Outcome
	err error
	tx  outbox.DBTx
}

// A duplicate waits for the transaction that has the key. When that commits, the
// duplicate replays; where its snapshot is too old to see the outcome it is told
// to retry, and replays then. When that rolls back, the duplicate runs.
func TestOnceWaits(t *testing.T) {
	t.Parallel()
	cases := []struct{ kind, isolation string }{
		{"pgx", "read committed"}, {"pgx", "repeatable read"}, {"pgx", "serializable"}, {"postgres", "repeatable read"},
		{"mariadb", "read committed"}, {"mariadb", "repeatable read"}, {"mariadb", "serializable"},
	}
	for _, c := range cases {
		for _, commits := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%s/commits=%v", c.kind, c.isolation, commits), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, c.kind, nil)
				w.work(t)
				key := outbox.Key{ID: "k", Request: []byte("r")}
				first := w.begin(t, c.isolation)
				if _, err := w.box.Once(t.Context(), first, key, w.insert(first, "a")); err != nil {
					t.Fatal(err)
				}
				second := w.begin(t, c.isolation)
				if _, err := number(t.Context(), second, "SELECT COUNT(*) FROM semel_outbox_keys"); err != nil { // its snapshot
					t.Fatal(err)
				}
				answer := make(chan outcome)
				go func() {
					out, err := w.box.Once(t.Context(), second, key, w.insert(second, "a"))
					answer <- outcome{out, err, second}
				}()
				w.waiting(t, 1)
				if commits {
					commit(t, first)
				} else {
					rollback(t, first)
				}
				a := <-answer
				old := commits && c.kind != "mariadb" && c.isolation != "read committed"
				if old {
					if !errors.Is(a.err, outbox.ErrRetry) {
						t.Fatalf("with an old snapshot: %+v %v", a.out, a.err)
					}
					rollback(t, second)
					second = w.begin(t, c.isolation)
					a.out, a.err = w.box.Once(t.Context(), second, key, never(t))
				}
				if a.err != nil || a.out.Replayed != commits || string(a.out.Body) != "did a" {
					t.Fatalf("%+v %v", a.out, a.err)
				}
				commit(t, second)
				if n := w.done(t, "a"); n != 1 {
					t.Errorf("done %d times", n)
				}
			})
		}
	}
}

// SQLite has one writer: a deferred transaction that read before another one
// wrote is told to retry, and one whose busy_timeout is over, too.
func TestOnceBusy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sqlite", nil)
	w.work(t)
	deferred, closeAll, err := openWorld("sqlite", w.dsn[:len(w.dsn)-len("?_txlock=immediate&_pragma=busy_timeout(20000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")]+
		"?_txlock=deferred&_pragma=busy_timeout(1)", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	key := outbox.Key{ID: "k"}
	late := deferred.begin(t, "")
	if _, err := number(t.Context(), late, "SELECT COUNT(*) FROM work"); err != nil {
		t.Fatal(err)
	}
	first := w.begin(t, "")
	if _, err := w.box.Once(t.Context(), first, key, w.insert(first, "a")); err != nil {
		t.Fatal(err)
	}
	busy := deferred.begin(t, "")
	if _, err := deferred.box.Once(t.Context(), busy, key, never(t)); !errors.Is(err, outbox.ErrRetry) {
		t.Errorf("busy: %v", err)
	}
	rollback(t, busy)
	commit(t, first)
	if _, err := deferred.box.Once(t.Context(), late, key, never(t)); !errors.Is(err, outbox.ErrRetry) {
		t.Errorf("an old snapshot: %v", err)
	}
	rollback(t, late)
	again := deferred.begin(t, "")
	if out, err := deferred.box.Once(t.Context(), again, key, never(t)); err != nil || !out.Replayed {
		t.Errorf("%+v %v", out, err)
	}
}

// Many at once, with the same few keys, random rollbacks and all isolations: the
// work of each key that was told as done is there, once.
func TestOnceUnderLoad(t *testing.T) {
	t.Parallel()
	each := 15
	if testing.Short() {
		each = 5
	}
	for _, kind := range sample(kinds...) {
		for _, isolation := range []string{"read committed", "repeatable read", "serializable"} {
			if kind == "sqlite" && isolation != "serializable" {
				continue // it has no other
			}
			t.Run(kind+"/"+isolation, func(t *testing.T) {
				w := newWorld(t, kind, nil)
				w.work(t)
				if kind == "sqlite" {
					isolation = ""
				}
				const keys = 30
				var told [keys]atomic.Int64
				var retried, ran atomic.Int64
				var wait sync.WaitGroup
				for range 32 {
					wait.Go(func() {
						for range each {
							k := rand.N(keys)
							key := outbox.Key{ID: fmt.Sprint(k)}
							err := w.attempt(t.Context(), isolation, &retried, func(tx outbox.DBTx) error {
								out, err := w.box.Once(t.Context(), tx, key, func(ctx context.Context) ([]byte, error) {
									ran.Add(1)
									if rand.N(4) == 0 {
										return nil, errWanted
									}
									return w.insert(tx, key.ID)(ctx)
								})
								if err == nil && string(out.Body) != "did "+key.ID {
									t.Errorf("%q", out.Body)
								}
								if err == nil && rand.N(4) == 0 {
									err = errWanted
								}
								return err
							})
							switch {
							case err == nil:
								told[k].Add(1)
							case !errors.Is(err, errWanted):
								t.Errorf("%v", err)
							}
						}
					})
				}
				wait.Wait()
				for k := range keys {
					if n := w.done(t, fmt.Sprint(k)); n > 1 || n == 0 && told[k].Load() > 0 {
						t.Errorf("key %d was told %d times and done %d times", k, told[k].Load(), n)
					}
				}
				t.Logf("%d runs of functions, %d transactions that had to retry", ran.Load(), retried.Load())
			})
		}
	}
}

// attempt runs a transaction as a user should: all of it again when it is told to.
func (w *world) attempt(ctx context.Context, isolation string, retried *atomic.Int64, do func(tx outbox.DBTx) error) error {
	for {
		tx, err := w.tx(ctx, isolation)
		if err == nil {
			if err = do(tx); err == nil {
				err = tx.Commit(ctx)
			} else {
				_ = tx.Rollback(context.WithoutCancel(ctx))
			}
		}
		if !outbox.Retryable(err) && !errors.Is(err, outbox.ErrRetry) {
			return err
		}
		retried.Add(1)
	}
}
