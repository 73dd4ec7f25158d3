package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/semel-dev/semel/outbox"
)

// script is a sink that says what a test wants, and tells what it got.
type script struct {
	mu      sync.Mutex
	verdict func(m *outbox.Message) outbox.Result
	got     chan string
}

func newScript(verdict func(m *outbox.Message) outbox.Result) *script {
	return &script{verdict: verdict, got: make(chan string, 1000)}
}

func (s *script) sink() outbox.Sink {
	return outbox.ByKey(1, func(_ context.Context, m outbox.Message) outbox.Result {
		s.mu.Lock()
		r := s.verdict(&m)
		s.mu.Unlock()
		s.got <- m.ID
		return r
	})
}

func (s *script) wait(t *testing.T, id string) (before []string) {
	t.Helper()
	for {
		select {
		case got := <-s.got:
			if got == id {
				return before
			}
			before = append(before, got)
		case <-time.After(30 * time.Second):
			t.Fatalf("%s does not come; before it came %v", id, before)
		}
	}
}

func (w *world) run(t *testing.T, sink outbox.Sink, cfg *outbox.RelayConfig) (*outbox.Relay, func()) {
	t.Helper()
	r, err := outbox.NewRelay(w.box, w.db, sink, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return r, stop
}

func (w *world) send(t *testing.T, messages ...outbox.Message) {
	t.Helper()
	tx := w.begin(t, "")
	if err := w.box.Send(t.Context(), tx, messages...); err != nil {
		t.Fatal(err)
	}
	commit(t, tx)
}

// A key that is stuck keeps its own messages waiting, and no others; what is
// refused is a dead letter, which can be sent again or dropped.
func TestStuckAndDead(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world) {
		down := true
		s := newScript(func(m *outbox.Message) outbox.Result {
			switch {
			case m.ID == "bad" && down:
				return outbox.Result{Verdict: outbox.Refused, Err: errors.New("never")}
			case m.Key == "stuck" && down:
				return outbox.Result{Verdict: outbox.NotDone, Err: errors.New("down")}
			}
			return outbox.Result{Verdict: outbox.Done}
		})
		w.send(t, outbox.Message{ID: "s1", Key: "stuck"}, outbox.Message{ID: "s2", Key: "stuck"})
		cfg := quick()
		cfg.KeepDelivered = true
		_, stop := w.run(t, s.sink(), cfg)
		s.wait(t, "s1")
		w.send(t, outbox.Message{ID: "a", Key: "other", Headers: map[string]string{"h": "v"}, Body: []byte{0, 1}}, outbox.Message{ID: "bad", Key: "other"}, outbox.Message{ID: "b", Key: "other"})
		if before := s.wait(t, "b"); slices.Contains(before, "s2") || !slices.Contains(before, "a") || !slices.Contains(before, "bad") {
			t.Errorf("before b came %v", before)
		}
		s.mu.Lock()
		down = false
		s.mu.Unlock()
		s.wait(t, "s2")
		stop()
		dead, err := w.box.Dead(t.Context(), w.db, 0, 10)
		if err != nil || len(dead) != 1 || dead[0].ID != "bad" || dead[0].Error != "never" || dead[0].Attempts != 1 || dead[0].Unknown {
			t.Fatalf("%+v %v", dead, err)
		}
		if b, err := w.box.Backlog(t.Context(), w.db); err != nil || b != (outbox.Backlog{Dead: 1}) {
			t.Errorf("%+v %v", b, err)
		}
		if n := w.number(t, "SELECT COUNT(*) FROM semel_outbox_delivered"); n != 4 {
			t.Errorf("%d messages are kept", n)
		}
		for _, want := range []int{1, 0} {
			if n, err := w.box.RetryDead(t.Context(), w.db, dead[0].DeadID, 12345); n != want || err != nil {
				t.Errorf("%d were sent again, not %d: %v", n, want, err)
			}
		}
		_, stop = w.run(t, s.sink(), cfg)
		s.wait(t, "bad")
		stop()
	})
}

// A relay that was paused with a batch in its hands, and lost its lease, marks
// nothing when it wakes: what the other one has not delivered stays.
func TestPausedRelayIsFenced(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"pgx", "mariadb", "sqlite"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, kind, &outbox.Config{Partitions: 1})
			paused, wake := make(chan struct{}), make(chan struct{})
			sink := outbox.SinkFunc(func(_ context.Context, messages []outbox.Message) []outbox.Result {
				close(paused)
				<-wake // in spite of its context, as a process that is stopped
				results := make([]outbox.Result, len(messages))
				for i := range results {
					results[i].Verdict = outbox.Done
				}
				return results
			})
			w.send(t, outbox.Message{ID: "1", Key: "k"})
			old, stopOld := w.run(t, sink, quick())
			<-paused
			s := newScript(func(*outbox.Message) outbox.Result { return outbox.Result{Verdict: outbox.NotDone} })
			_, stop := w.run(t, s.sink(), quick())
			s.wait(t, "1") // it has taken over
			close(wake)
			for tick := time.NewTicker(time.Millisecond); old.Stats().Fenced == 0; <-tick.C { // ended by the test's timeout
			}
			if n := old.Stats().Delivered; n != 0 {
				t.Errorf("it marked %d", n)
			}
			stopOld()
			stop()
			if n := w.number(t, "SELECT COUNT(*) FROM semel_outbox_messages"); n != 1 {
				t.Errorf("%d messages are left", n)
			}
		})
	}
}

// Two relays share the partitions, and one takes all when the other one leaves.
func TestRelaysShare(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "pgx", nil)
	s := newScript(func(*outbox.Message) outbox.Result { return outbox.Result{Verdict: outbox.Done} })
	a, stopA := w.run(t, s.sink(), quick())
	until := func(what string, so func() bool) { t.Helper(); w.until(t, what, so) }
	until("one does not take all", func() bool { return a.Stats().Held == 8 })
	b, _ := w.run(t, s.sink(), quick())
	until("two do not share", func() bool { return a.Stats().Held == 4 && b.Stats().Held == 4 })
	stopA()
	until("the rest is not taken over", func() bool { return b.Stats().Held == 8 })
}

// What Send costs beside a bare INSERT of the same row, each in a transaction of
// its own and for one writer.
func BenchmarkSend(b *testing.B) {
	for _, kind := range kinds {
		w := newWorld(b, kind, nil)
		w.exec(b, "CREATE TABLE bare (id varchar(100) NOT NULL PRIMARY KEY, msg_key varchar(100) NOT NULL, body varchar(1000) NOT NULL)")
		body := fmt.Sprintf("%0200d", 1)
		within := func(name string, do func(tx outbox.Tx, i int) error) {
			b.Run(kind+"/"+name, func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					tx, err := w.tx(b.Context(), "")
					if err == nil {
						err = errors.Join(do(tx, i), tx.Commit(b.Context()))
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		insert := w.q("INSERT INTO bare (id, msg_key, body) VALUES (?1, ?2, ?3)")
		run := 0
		within("insert", func(tx outbox.Tx, i int) error {
			if i == 0 {
				run++
			}
			_, err := tx.Exec(b.Context(), insert, fmt.Sprint(run, "-", i), fmt.Sprint("key-", i%1000), body)
			return err
		})
		within("send", func(tx outbox.Tx, i int) error {
			return w.box.Send(b.Context(), tx, outbox.Message{Body: []byte(body)})
		})
		within("send-key", func(tx outbox.Tx, i int) error {
			return w.box.Send(b.Context(), tx, outbox.Message{Key: fmt.Sprint("key-", i%1000), Body: []byte(body)})
		})
		within("once", func(tx outbox.Tx, i int) error {
			if i == 0 {
				run++
			}
			_, err := w.box.Once(b.Context(), tx, outbox.Key{ID: fmt.Sprint(run, "-", i)}, func(context.Context) ([]byte, error) { return nil, nil })
			return err
		})
	}
}
