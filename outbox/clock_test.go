package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/semel-dev/semel/outbox"
)

// The database's clock was ahead by a month when Clean ran, and then went back.
// What it removed does not run a second time, if its key carries a time. (FAULTS 30)
func TestCleanedByAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world) {
		w.work(t)
		month := (30 * 24 * time.Hour).Microseconds()
		key := outbox.Key{ID: uuid.Must(uuid.NewV7()).String()}
		if _, err := w.once(t, key, "a"); err != nil {
			t.Fatal(err)
		}
		// A month passes for everything that is written, and Clean runs.
		w.exec(t, "UPDATE semel_once SET claimed_at = claimed_at - ?1", month)
		w.exec(t, "UPDATE semel_once_horizon SET at = at - ?1", month)
		if c, err := w.box.Clean(t.Context(), w.db, nil); err != nil || c.Keys != 1 {
			t.Fatalf("%+v %v", c, err)
		}
		w.exec(t, "UPDATE semel_once_horizon SET at = at + ?1", month) // and the month is taken back
		if out, err := w.once(t, key, "a"); !errors.Is(err, outbox.ErrExpired) {
			t.Errorf("%+v %v", out, err)
		}
		if n := w.done(t, "a"); n != 1 {
			t.Errorf("done %d times", n)
		}
		before := w.number(t, "SELECT at FROM semel_once_horizon")
		if _, err := w.box.Clean(t.Context(), w.db, nil); err != nil {
			t.Fatal(err)
		}
		if after := w.number(t, "SELECT at FROM semel_once_horizon"); after != before {
			t.Errorf("the horizon went from %d to %d", before, after)
		}
	})
}

// The database's clock went back by a year after a relay had taken all partitions,
// and then that relay died. Another one takes over, and neither waits for a year
// nor shares with the dead. (FAULTS 30)
func TestLeasesOfAClockThatWentBack(t *testing.T) {
	t.Parallel()
	in(t, sample(kinds...), func(t *testing.T, w *world) {
		year := (365 * 24 * time.Hour).Microseconds()
		w.exec(t, "UPDATE semel_outbox_leases SET owner = 'ghost', token = 7, turns = 9, lasts = 1000000, expires_at = "+fmt.Sprint(time.Now().UnixMicro()+year))
		w.exec(t, "INSERT INTO semel_outbox_relays (owner, seen_at) VALUES ('ghost', ?1)", time.Now().UnixMicro()+year)
		s := newScript(func(*outbox.Message) outbox.Result { return outbox.Result{Verdict: outbox.Done} })
		w.send(t, outbox.Message{ID: "m", Key: "k"})
		began := time.Now()
		r, _ := w.run(t, s.sink(), quick())
		s.wait(t, "m")
		if d := time.Since(began); d < 2*time.Second {
			t.Errorf("a lease of 1 s was taken after %v, within twice that of which its owner may live", d)
		}
		w.until(t, "it does not take all", func() bool { return r.Stats().Held == 8 })
	})
}

// What does not go into one statement of 16 MiB goes into several, and an outcome
// of the greatest length can be read again.
func TestMuch(t *testing.T) {
	t.Parallel()
	in(t, sample(kinds...), func(t *testing.T, w *world) {
		var messages []outbox.Message
		for i := range 20 {
			messages = append(messages, outbox.Message{ID: fmt.Sprintf("%02d", i), Key: "big", Body: make([]byte, 1<<20)})
		}
		for i := range 1000 {
			messages = append(messages, outbox.Message{Key: fmt.Sprint("key", i%100)})
		}
		w.send(t, messages...)
		got := w.ids(t, "big")
		for i := range got {
			if got[i] != messages[i].ID {
				t.Fatalf("the order is %v", got)
			}
		}
		if n := w.number(t, "SELECT COUNT(*) FROM semel_outbox_messages"); n != 1020 || len(got) != 20 {
			t.Errorf("%d messages, %d big ones", n, len(got))
		}
		body := bytes.Repeat([]byte("\xff\x00"), 4<<20)
		for _, more := range [][]byte{body, append(body, 1)} {
			tx := w.begin(t, "")
			out, err := w.box.Once(t.Context(), tx, outbox.Key{ID: fmt.Sprint(len(more))}, func(context.Context) ([]byte, error) { return more, nil })
			if (err == nil) != (len(more) == len(body)) || err == nil && len(out.Body) != len(more) {
				t.Errorf("%d bytes: %v", len(more), err)
			}
			commit(t, tx)
		}
		tx := w.begin(t, "")
		out, err := w.box.Once(t.Context(), tx, outbox.Key{ID: fmt.Sprint(len(body))}, never(t))
		if err != nil || !out.Replayed || !bytes.Equal(out.Body, body) {
			t.Errorf("%d bytes, %v", len(out.Body), err)
		}
	})
}

// A sink that panics on a message, and one that does not return, keep that
// message's key waiting, and say so; they end no program.
func TestSinkPanicsOrHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sqlite", &outbox.Config{Partitions: 1})
	heard := make(chan error, 100)
	cfg := quick()
	cfg.MaxAttempts = 3
	cfg.OnError = func(err error) {
		select {
		case heard <- err:
		default:
		}
	}
	release := make(chan struct{})
	s := newScript(func(m *outbox.Message) outbox.Result {
		switch m.ID {
		case "poison":
			panic("wanted")
		case "endless":
			<-release
		}
		return outbox.Result{Verdict: outbox.Done}
	})
	// script holds its lock when it panics; the sink for that is without it.
	sink := outbox.ByKey(4, func(_ context.Context, m outbox.Message) outbox.Result {
		r := s.verdict(&m)
		s.got <- m.ID
		return r
	})
	w.send(t, outbox.Message{ID: "poison", Key: "p"}, outbox.Message{ID: "behind it", Key: "p"}, outbox.Message{ID: "other", Key: "o"})
	_, stop := w.run(t, sink, cfg)
	s.wait(t, "behind it")
	w.until(t, "no dead letter", func() bool {
		b, err := w.box.Backlog(t.Context(), w.db)
		return err == nil && b == outbox.Backlog{Dead: 1}
	})
	dead, err := w.box.Dead(t.Context(), w.db, 0, 10)
	if err != nil || len(dead) != 1 || dead[0].ID != "poison" || !dead[0].Unknown || dead[0].Attempts != 3 {
		t.Errorf("%+v %v", dead, err)
	}
	w.send(t, outbox.Message{ID: "endless", Key: "e"})
	<-heard
	close(release)
	s.wait(t, "endless")
	stop()
}
