package saga_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
)

// Who runs a saga gets its end, and gets it again with the same key.
func TestRun(t *testing.T) {
	var trips *saga.Definition[Trip]
	trial(t, three(&trips, "keyed", version(1)), func(b *bed) {
		for range 3 {
			end, err := trips.Run(b.ctx, "k", Trip{})
			if err != nil || len(end.Booked) != 3 {
				b.Fatalf("%+v, %v", end, err)
			}
		}
		b.books([3]int{1, 1, 1}, [3]int{})
		if _, err := trips.Run(b.ctx, "k", Trip{Fail: "pay"}); !errors.Is(err, semel.ErrConflict) {
			b.Errorf("the same key with another input: %v", err)
		}
		if _, err := trips.Run(b.ctx, "k", Trip{}, semel.As("bob")); err != nil {
			b.Error(err)
		}
		if _, err := trips.Run(b.ctx, "k", Trip{}, semel.Tenant("acme")); err != nil {
			b.Error(err)
		}
		b.books([3]int{3, 3, 3}, [3]int{})
		v := b.get(trips.ID("k"))
		b.phase(v, saga.Completed)
		if s := v.Steps[1]; s.Name != "hotel" || s.Fact != saga.Happened || s.Do.State != saga.Done || s.Do.Attempts != 1 || b.w.Service("hotel").Happened(s.Do.Key) != 1 {
			b.Errorf("%+v", s)
		}
		b.alarmed()
	})
}

// A saga that does not complete is told as a rejection, with the step's own code.
func TestRunCompensated(t *testing.T) {
	var trips *saga.Definition[Trip]
	trial(t, three(&trips, "keyed", version(1)), func(b *bed) {
		for range 2 {
			_, err := trips.Run(b.ctx, "k", Trip{Fail: "pay"})
			no := b.rejected(err, "no_pay")
			var f saga.Failed
			if err := json.Unmarshal(no.Data, &f); err != nil || f.Phase != saga.Compensated || f.Step != "pay" || !strings.Contains(no.Detail, "there is no pay") {
				b.Errorf("%+v, %v, %s", f, err, no.Detail)
			}
		}
		b.books([3]int{1, 1, 0}, [3]int{1, 1, 0})
		b.phase(b.get(trips.ID("k")), saga.Compensated)
		// The last is undone first, and told what is known.
		if s := b.get(trips.ID("k")).State; !strings.Contains(string(s), `"undone":{"flight":"happened","hotel":"happened"}`) {
			b.Errorf("%s", s)
		}
		var order []string
		for _, r := range b.w.Records() {
			if strings.HasPrefix(r.Effect, "undo-") {
				order = append(order, r.Effect)
			}
		}
		if strings.Join(order, " ") != "undo-hotel undo-flight" {
			b.Errorf("undone in the order %q", order)
		}
	})
}

// Who gives up waiting is told that the saga goes on.
func TestRunInFlight(t *testing.T) {
	var trips *saga.Definition[Trip]
	trial(t, three(&trips, "keyed", version(1)), func(b *bed) {
		b.gates["pay"] = make(chan struct{})
		ctx, cancel := context.WithTimeout(b.ctx, time.Second)
		defer cancel()
		if _, err := trips.Run(ctx, "k", Trip{}); !errors.Is(err, semel.ErrInFlight) || !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("%v", err)
		}
		close(b.gates["pay"])
		if _, err := trips.Run(b.ctx, "k", Trip{}); err != nil {
			b.Error(err)
		}
		b.books([3]int{1, 1, 1}, [3]int{})
	})
}

// An ended saga can be read for as long as it is kept; then nothing of it is
// left. A late answer does not bring it back.
func TestForgotten(t *testing.T) {
	var trips *saga.Definition[Trip]
	trial(t, three(&trips, "keyed", version(1)), func(b *bed) {
		v := b.start(trips, "k", Trip{Fail: "hotel"})
		b.phase(v, saga.Compensated)
		time.Sleep(23 * time.Hour)
		b.get(v.ID)
		time.Sleep(time.Hour + time.Minute)
		if _, err := b.g.Get(b.ctx, v.ID); !errors.Is(err, semel.ErrUnknownAgent) {
			b.Errorf("%v", err)
		}
		for e, err := range b.app.Agents(b.ctx, "saga.trip") {
			b.Errorf("%v is left, %v", e.Agent, err)
		}
		for _, order := range []func() error{
			func() error { _, err := b.g.Cancel(b.ctx, v.ID, "ann", ""); return err },
			func() error { _, err := b.g.Resume(b.ctx, v.ID, "ann"); return err },
			func() error { _, err := b.g.Skip(b.ctx, v.ID, "pay", "ann", ""); return err },
		} {
			if err := order(); !errors.Is(err, semel.ErrUnknownAgent) {
				b.Errorf("%v", err)
			}
		}
		for e, err := range b.app.Agents(b.ctx, "saga.trip") {
			b.Errorf("%v is there again, %v", e.Agent, err)
		}
	})
}

// A saga that is deleted under way: the answer it waited for finds nothing, makes
// nothing, and who waits is told that nobody knows.
func TestDeletedUnderWay(t *testing.T) {
	var trips *saga.Definition[Trip]
	trial(t, three(&trips, "keyed", version(1)), func(b *bed) {
		b.gates["hotel"] = make(chan struct{})
		id, err := trips.Start(b.ctx, "k", Trip{})
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Second)
		_, agent, _ := strings.Cut(id, "-")
		if err := b.app.Delete(b.ctx, semel.AgentName{Type: "saga.trip", ID: agent}); err != nil {
			b.Fatal(err)
		}
		close(b.gates["hotel"])
		if _, err := trips.Run(b.ctx, "k", Trip{}); !errors.Is(err, semel.ErrOutcomeUnknown) {
			b.Errorf("%v", err)
		}
		for e, err := range b.app.Agents(b.ctx, "saga.trip") {
			b.Errorf("%v is there, %v", e.Agent, err)
		}
	})
}

// A saga that is kept longer than its outcome answers who starts it again.
func TestOutcomeForgotten(t *testing.T) {
	var trips *saga.Definition[Trip]
	register := three(&trips, "keyed", version(1))
	trial(t, func(b *bed) {
		if b.retention == 0 {
			b.retention = time.Hour
		}
		register(b)
	}, func(b *bed) {
		b.reopen(register) // with the retention
		b.start(trips, "done", Trip{})
		b.start(trips, "undone", Trip{Fail: "pay"})
		time.Sleep(5 * time.Hour)
		if _, err := b.app.Outcome(b.ctx, semel.AgentName{Type: "saga.trip", ID: strings.TrimPrefix(trips.ID("done"), "trip-")}, "done"); !errors.Is(err, semel.ErrUnknownKey) {
			b.Fatalf("it is not forgotten: %v", err)
		}
		if v, err := trips.Run(b.ctx, "done", Trip{}); err != nil || len(v.Booked) != 3 {
			b.Errorf("%+v, %v", v, err)
		}
		_, err := trips.Run(b.ctx, "undone", Trip{Fail: "pay"})
		b.rejected(err, "no_pay")
		time.Sleep(5 * time.Hour)
		_, err = trips.Run(b.ctx, "undone", Trip{Fail: "hotel"})
		b.rejected(err, saga.CodeConflict)
		b.books([3]int{2, 2, 1}, [3]int{1, 1, 0})
	})
}
