package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/mariadbtest"
	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/outbox"
)

// own is a database on a server of the test's own, with what kills and restarts it.
func own(t *testing.T, kind string) (w *world, crash func()) {
	t.Helper()
	if kind == "mariadb" {
		s := mariadbtest.Start(t)
		return worldAt(t, kind, s.Database(t), nil), func() { s.Kill(t); s.Restart(t) }
	}
	s := pgtest.Start(t)
	return worldAt(t, kind, s.Database(t), nil), func() { s.Kill(t); s.Restart(t) }
}

// The COMMIT of a writer, or the answer to it, is lost. The driver's error is not
// one of those that say not done, and Once with the same key tells which it was.
// (FAULTS 24)
func TestLostCommit(t *testing.T) {
	t.Parallel()
	for _, kind := range sample("pgx", "postgres", "mariadb") {
		for _, reached := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/reached=%v", kind, reached), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, kind, nil)
				w.work(t)
				socket := ""
				if kind != "mariadb" {
					socket = pgtest.Shared(t).Socket(t)
				}
				c := newCutter(t, kind, w.dsn, socket)
				c.reach.Store(reached)
				before := worldAt(t, kind, c.dsn, nil)
				key := outbox.Key{ID: "k"}
				tx := before.begin(t, "")
				if _, err := before.box.Once(t.Context(), tx, key, before.insert(tx, "a")); err != nil {
					t.Fatal(err)
				}
				c.armed.Store(true)
				err := tx.Commit(t.Context())
				if err == nil || outbox.Retryable(err) {
					t.Fatalf("a COMMIT without an answer: %v", err)
				}
				// A server that has not heard the end yet keeps the key: Once waits.
				if out, err := w.once(t, key, "a"); err != nil || out.Replayed != reached {
					t.Fatalf("%+v %v", out, err)
				}
				if n := w.done(t, "a"); n != 1 {
					t.Errorf("done %d times", n)
				}
			})
		}
	}
}

// A relay is killed when the receiver's answer has come and its own mark has not
// been made. Another one delivers again, by the same names. (FAULTS 5)
func TestKilledBeforeItsMark(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"pgx", "mariadb"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, kind, &outbox.Config{Partitions: 1})
			var mu sync.Mutex
			var hold outbox.DBTx
			got := make(chan [2]string, 10)
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if hold == nil { // the mark waits behind this row
					hold = w.begin(t, "read committed")
					if _, err := hold.Exec(t.Context(), "UPDATE semel_outbox_leases SET lo = lo"); err != nil {
						t.Error(err)
					}
				}
				got <- [2]string{r.Header.Get("ce-id"), r.Header.Get("Idempotency-Key")}
			}))
			defer server.Close()
			w.send(t, outbox.Message{ID: "m", Key: "k"})
			kill := child(t, w, server.URL)
			first := <-got
			w.waiting(t, 1) // the answer is there, the mark is not
			kill()
			mu.Lock()
			rollback(t, hold)
			mu.Unlock()
			defer child(t, w, server.URL)()
			if second := <-got; second != first || first[0] != "m" {
				t.Errorf("first %v, then %v", first, second)
			}
			w.until(t, "it is not marked", func() bool { b, err := w.box.Backlog(t.Context(), w.db); return err == nil && b == outbox.Backlog{} })
		})
	}
}

// child starts a relay in a process of its own, and returns what kills it.
func child(t *testing.T, w *world, url string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childKind+"="+w.kind, childDSN+"="+w.dsn, childURL+"="+url)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	return kill
}

// until asks again and again: what servers and relays do nobody is told.
func (w *world) until(t testing.TB, what string, so func() bool) {
	t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal(what)
		}
	}
}

// What is delivered is durable, even if its sender did not wait for that: the
// server is killed when the message arrives, and still has the transaction. The
// second sender, whose message nobody has delivered, loses his: so it is the
// relay that made the first one durable. That nothing else does is seen to: the WAL
// writer is stopped, nothing writes pages, and the relay's heartbeats are far apart.
func TestDurableBeforeDelivery(t *testing.T) {
	t.Parallel()
	for _, kind := range sample("pgx", "postgres") {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := pgtest.Start(t, pgtest.Set("autovacuum", "off"), pgtest.Set("bgwriter_lru_maxpages", "0"), pgtest.Set("checkpoint_timeout", "1h"))
			w := worldAt(t, kind, s.Database(t), &outbox.Config{Partitions: 1})
			w.work(t)
			hasty := worldAt(t, kind, pgtest.With(w.dsn, "synchronous_commit", "off"), nil)
			send := func(what string) {
				tx := hasty.begin(t, "")
				_, err := hasty.insert(tx, what)(t.Context())
				if err = errors.Join(err, hasty.box.Send(t.Context(), tx, outbox.Message{ID: what, Key: "k"})); err != nil {
					t.Fatal(err)
				}
				commit(t, tx)
			}
			came, killed := make(chan bool), make(chan bool)
			sink := outbox.SinkFunc(func(_ context.Context, m []outbox.Message) []outbox.Result {
				came <- true
				<-killed
				return make([]outbox.Result, len(m))
			})
			cfg := quick()
			cfg.Lease = 10 * time.Minute // its heartbeats are commits, too
			r, stop := w.run(t, sink, cfg)
			w.until(t, "it has not begun", func() bool { return r.Stats().Held == 1 })
			s.HoldWAL(t)
			send("delivered")
			<-came
			send("not delivered")
			s.Kill(t)
			close(killed)
			go func() { // it comes again
				for range came {
				}
			}()
			stop()
			close(came)
			s.Restart(t)
			w = worldAt(t, kind, w.dsn, nil)
			if n := w.done(t, "delivered"); n != 1 {
				t.Errorf("%d transactions are left of the one that was delivered", n)
			}
			if n := w.done(t, "not delivered"); n != 0 {
				t.Error("the other one is durable, too: this test tests nothing")
			}
		})
	}
}

// A database that may lose what it has committed is refused. (FAULTS 39)
func TestUnsafeServer(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]func(t *testing.T) (kind, dsn string){
		"fsync": func(t *testing.T) (string, string) {
			return "pgx", pgtest.Start(t, pgtest.Set("fsync", "off")).Database(t)
		},
		"synchronous_commit": func(t *testing.T) (string, string) {
			return "postgres", pgtest.With(pgtest.Shared(t).Database(t), "synchronous_commit", "off")
		},
		"synchronous": func(t *testing.T) (string, string) {
			return "sqlite", "file:" + t.TempDir() + "/db?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind, dsn := at(t)
			worldAt(t, kind, dsn, nil).delivers(t, false)
		})
	}
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		s := mariadbtest.Start(t, "--log-bin=b") // and sync_binlog is 0, its default
		w := worldAt(t, "mariadb", s.Database(t), nil)
		w.delivers(t, false)
		s.Exec(t, "SET GLOBAL sync_binlog = 1")
		w.delivers(t, true)
		s.Exec(t, "SET GLOBAL innodb_flush_log_at_trx_commit = 2")
		w.delivers(t, false)
	})
}

// delivers checks whether a relay delivers at all, or does so only if it is told
// that the server may lose something.
func (w *world) delivers(t *testing.T, safe bool) {
	t.Helper()
	s := newScript(func(*outbox.Message) outbox.Result { return done })
	w.send(t, outbox.Message{ID: "m"})
	cfg := quick()
	if !safe {
		r, err := outbox.NewRelay(w.box, w.db, s.sink(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Run(t.Context()); !errors.Is(err, outbox.ErrUnsafeServer) {
			t.Errorf("it ran: %v", err)
		}
		if len(s.got) != 0 {
			t.Error("it delivered")
		}
		cfg.UnsafeServer = true
	}
	_, stop := w.run(t, s.sink(), cfg)
	s.wait(t, "m")
	stop()
}
