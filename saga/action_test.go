package saga_test

import (
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
)

// Seats is an agent whose actions are steps of sagas.
type Seats struct {
	Taken int `json:"taken"`
}

var (
	take   = semel.RefTo[int, int]("seats", "take")
	giveUp = semel.RefTo[saga.Fact, int]("seats", "give")
)

// withSeats is a trip that takes a seat of an agent between flight and hotel.
func withSeats(trips **saga.Definition[Trip], timeout time.Duration) func(*bed) {
	return func(b *bed) {
		outside(b.app, b.w, "keyed", &b.weather)
		seats := semel.NewAgent[Seats](b.app, "seats")
		semel.On(seats, "take", func(s *Seats, _ *semel.Step, n int) (int, error) {
			if n < 0 {
				return 0, semel.Reject("no_seat", "there is no seat")
			}
			s.Taken += n
			return s.Taken, nil
		})
		semel.On(seats, "give", func(s *Seats, _ *semel.Step, f saga.Fact) (int, error) {
			s.Taken--
			return s.Taken, nil
		})
		semel.On(seats, "hold", func(_ *Seats, st *semel.Step, _ struct{}) (struct{}, error) {
			st.Hold("closed", time.Hour)
			return struct{}{}, nil
		})
		seat := saga.Step[Trip]{
			Name: "seat", Timeout: timeout,
			Do: saga.Action(take, func(t *Trip) (string, error) {
				if t.Fail == "id" {
					return "", nil
				}
				return "aisle", nil
			}, func(t *Trip) (int, error) {
				if t.Fail == "seat" {
					return -1, nil
				}
				return 1, nil
			}, nil),
			Undo: saga.UndoAction(giveUp, func(*Trip) (string, error) { return "aisle", nil }, func(_ *Trip, f saga.Fact) (saga.Fact, error) { return f, nil }, nil),
		}
		*trips = saga.New(b.g, "trip", steps(step("flight"), seat, step("hotel")))
	}
}

func seatsTaken(b *bed) int {
	b.Helper()
	state, _, err := b.app.State(b.ctx, semel.AgentName{Type: "seats", ID: "aisle"})
	if err != nil {
		return 0
	}
	n := 0
	for _, c := range string(state) {
		if c >= '0' && c <= '9' {
			n = n*10 + int(c-'0')
		}
	}
	return n
}

// Steps may be agents' actions, and their compensations too.
func TestActions(t *testing.T) {
	var trips *saga.Definition[Trip]
	trial(t, withSeats(&trips, 0), func(b *bed) {
		for i, c := range []struct {
			fail  string
			phase saga.Phase
			taken int
			code  string
		}{
			{"", saga.Completed, 1, ""}, {"hotel", saga.Compensated, 1, "no_hotel"}, {"seat", saga.Compensated, 1, "no_seat"},
		} {
			v := b.start(trips, string(rune('a'+i)), Trip{Fail: c.fail})
			b.phase(v, c.phase)
			if n := seatsTaken(b); n != c.taken {
				b.Errorf("fail %q: %d seats are taken", c.fail, n)
			}
			if c.code != "" && v.Failure.Code != c.code {
				b.Errorf("%+v", v.Failure)
			}
		}
		v := b.start(trips, "x", Trip{Fail: "id"}) // an agent without a name
		b.phase(v, saga.Parked)
		if v.Parked.Code != saga.CodeDefinition {
			b.Errorf("%+v", v.Parked)
		}
	})
}
