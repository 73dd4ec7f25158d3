package outbox_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/semel-dev/semel/outbox"
)

var done = outbox.Result{Verdict: outbox.Done}

// A message whose headers nobody can read, written by another program or damaged,
// is a dead letter. It reaches no sink, and stops neither its key nor its partition;
// sent again it is only when it was mended.
func TestUnreadableHeaders(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world) {
		s := newScript(func(*outbox.Message) outbox.Result { return done })
		w.send(t, outbox.Message{ID: "before", Key: "k"}, outbox.Message{ID: "bad", Key: "k", Body: []byte("b")}, outbox.Message{ID: "behind", Key: "k"})
		w.send(t, outbox.Message{ID: "alone"})
		w.exec(t, "UPDATE semel_outbox_messages SET headers = ?1 WHERE id = 'bad' OR id = 'alone'", []byte(`{"h":`))
		_, stop := w.run(t, s.sink(), quick())
		if before := s.wait(t, "behind"); !slices.Equal(before, []string{"before"}) {
			t.Errorf("before it came %v", before)
		}
		w.until(t, "they are no dead letters", func() bool {
			b, err := w.box.Backlog(t.Context(), w.db)
			return err == nil && b == outbox.Backlog{Dead: 2}
		})
		stop()
		dead, err := w.box.Dead(t.Context(), w.db, 0, 10)
		if err != nil || len(dead) != 2 {
			t.Fatalf("%+v %v", dead, err)
		}
		for _, l := range dead {
			if !strings.Contains(l.Error, "headers") || l.Unknown || l.Headers != nil || l.ID == "bad" && string(l.Body) != "b" {
				t.Errorf("%+v", l)
			}
			if n, err := w.box.RetryDead(t.Context(), w.db, l.DeadID); n != 0 || err == nil {
				t.Errorf("%d sent again without their headers: %v", n, err)
			}
		}
		w.exec(t, "UPDATE semel_outbox_dead SET headers = ?1", []byte(`{"h":"v"}`))
		if n, err := w.box.RetryDead(t.Context(), w.db, dead[0].DeadID, dead[1].DeadID); n != 2 || err != nil {
			t.Fatalf("%d were sent again: %v", n, err)
		}
		_, stop = w.run(t, s.sink(), quick())
		s.wait(t, dead[0].ID)
		stop()
	})
}

// A message that fails for ever, without a limit of attempts, is given up when
// somebody says so; the one behind it, which fails a few times too, is not. One that
// is named, and then does not fail, is delivered, and the one behind it, which fails
// in its place, is not given up for it.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		tried := map[string]int{} // the script's lock guards it
		named := make(chan struct{})
		s := newScript(func(m *outbox.Message) outbox.Result {
			tried[m.ID]++
			switch {
			case m.ID == "never", m.ID == "behind" && tried[m.ID] < 4, m.ID == "after" && tried[m.ID] < 4, m.ID == "late" && tried[m.ID] == 1:
				return outbox.Result{Verdict: outbox.NotDone, Err: errors.New("down")}
			case m.ID == "late":
				<-named
			}
			return done
		})
		giveUp := func(want int, ids ...string) {
			t.Helper()
			if n, err := w.box.GiveUp(ctx, w.db, ids...); n != want || err != nil {
				t.Errorf("%v: %d are named, not %d: %v", ids, n, want, err)
			}
		}
		stuck := func() []outbox.StuckMessage {
			all, err := w.box.Stuck(ctx, w.db, 10)
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		w.send(t, outbox.Message{ID: "never", Key: "k"}, outbox.Message{ID: "behind", Key: "k"})
		giveUp(0, "never", "behind", "unknown") // nothing has failed yet
		_, stop := w.run(t, s.sink(), quick())
		var all []outbox.StuckMessage
		w.until(t, "it is not stuck", func() bool { all = stuck(); return len(all) == 1 && all[0].Attempts > 1 })
		if m := all[0]; m.ID != "never" || m.Key != "k" || m.Error != "down" || m.Unknown || m.GivenUp || m.DueAt.IsZero() {
			t.Errorf("%+v", m)
		}
		giveUp(1, "never", "behind")
		w.until(t, "the key does not go on", func() bool {
			b, err := w.box.Backlog(ctx, w.db)
			return err == nil && b == outbox.Backlog{Dead: 1}
		})
		stop()
		dead, err := w.box.Dead(ctx, w.db, 0, 10)
		if err != nil || len(dead) != 1 || dead[0].ID != "never" || dead[0].Attempts < 3 || dead[0].Error != "down" {
			t.Errorf("%+v %v", dead, err)
		}
		giveUp(0, "never")

		w.send(t, outbox.Message{ID: "late", Key: "l"}, outbox.Message{ID: "after", Key: "l"})
		_, stop = w.run(t, s.sink(), quick())
		w.until(t, "it is not stuck", func() bool { return len(stuck()) == 1 })
		giveUp(1, "late")
		giveUp(0, "late") // a second time
		if all := stuck(); len(all) != 1 || !all[0].GivenUp {
			t.Errorf("%+v", all)
		}
		close(named)
		w.until(t, "it is not delivered", func() bool {
			b, err := w.box.Backlog(ctx, w.db)
			return err == nil && b == outbox.Backlog{Dead: 1} && len(stuck()) == 0
		})
		stop()
	})
}
