package saga_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
)

// documents is a definition as a configuration would make it.
func documents(b *bed) {
	outside(b.app, b.w, "keyed", &b.weather)
	seats := semel.NewAgent[Seats](b.app, "seats")
	semel.On(seats, "take", func(s *Seats, _ *semel.Step, n int) (int, error) { s.Taken += n; return s.Taken, nil })
	undo := func(name string) *saga.Undo[saga.Document] {
		return saga.UndoByEffect("undo-"+name, func(d *saga.Document, f saga.Fact) (json.RawMessage, error) {
			return json.Marshal(refund{Fact: f, Receipt: strings.Trim(string(d.Replies[name]), `"`)})
		})
	}
	saga.New(b.g, "journey", saga.Version[saga.Document]{Number: 1, Stages: []saga.Stage[saga.Document]{
		saga.Step[saga.Document]{Name: "flight", Do: saga.OfEffect("book-flight", func(*saga.Document) (json.RawMessage, error) { return json.RawMessage(`{ }`), nil }), Undo: undo("flight")},
		saga.Step[saga.Document]{Name: "seat", Do: saga.OfAction("seats", "take", func(*saga.Document) (string, error) { return "aisle", nil },
			func(*saga.Document) (json.RawMessage, error) { return json.RawMessage(`2`), nil }),
			Undo: saga.UndoByAction("seats", "take", func(*saga.Document) (string, error) { return "aisle", nil },
				func(*saga.Document, saga.Fact) (json.RawMessage, error) { return json.RawMessage(`-2`), nil })},
		saga.Step[saga.Document]{Name: "hotel", Do: saga.OfEffect("book-hotel", nil), Undo: undo("hotel")},
	}})
}

// Everything can be done by names and JSON.
func TestUntyped(t *testing.T) {
	trial(t, documents, func(b *bed) {
		id, o, err := b.g.Run(b.ctx, "journey", "k", json.RawMessage(`{"fail": false}`))
		if err != nil || string(o.Reply) != `{"input":{"fail":false},"replies":{"flight":"receipt of flight","hotel":"receipt of hotel","seat":2}}` {
			b.Errorf("%s, %v", o.Reply, err)
		}
		b.phase(b.get(id), saga.Completed)
		again, _, err := b.g.Start(b.ctx, "journey", "k", json.RawMessage(`{"fail":false}`))
		if err != nil || again != id {
			b.Errorf("%s, %v", again, err)
		}
		no, _, err := b.g.Run(b.ctx, "journey", "no", json.RawMessage(`{"fail":true}`))
		b.rejected(err, "no_hotel")
		b.books([3]int{2, 1, 0}, [3]int{1, 0, 0})
		if seatsTaken(b) != 2 {
			b.Errorf("%d seats are taken", seatsTaken(b))
		}
		list := func(phases ...saga.Phase) (ids []string) {
			for e, err := range b.g.List(b.ctx, "journey", phases) {
				if err != nil {
					b.Fatal(err)
				}
				ids = append(ids, e.ID)
			}
			return ids
		}
		if all := list(); len(all) != 2 {
			b.Errorf("%q", all)
		}
		if done := list(saga.Completed); !slices.Equal(done, []string{id}) {
			b.Errorf("%q", done)
		}
		if undone := list(saga.Compensated, saga.Running); !slices.Equal(undone, []string{no}) {
			b.Errorf("%q", undone)
		}
		d := b.g.Definitions()
		if len(d) != 1 || d[0].Name != "journey" || d[0].Type != "saga.journey" || !slices.Equal(d[0].Steps, []string{"flight", "seat", "hotel"}) {
			b.Errorf("%+v", d)
		}
	})
}

// What is not there is said to be not there.
func TestNotThere(t *testing.T) {
	trial(t, documents, func(b *bed) {
		for _, id := range []string{"", "journey", "journey-", "journey-12", "trip-00112233445566778899aabbccddeeff", "journey-00112233445566778899aabbccddeeff", "journey-00112233445566778899AABBCCDDEEFF"} {
			if _, err := b.g.Get(b.ctx, id); !errors.Is(err, semel.ErrUnknownAgent) {
				b.Errorf("%q: %v", id, err)
			}
			if _, err := b.g.Cancel(b.ctx, id, "ann", ""); !errors.Is(err, semel.ErrUnknownAgent) {
				b.Errorf("%q: %v", id, err)
			}
		}
		if _, _, err := b.g.Start(b.ctx, "trip", "k", nil); !errors.Is(err, semel.ErrUnknownAgentType) {
			b.Errorf("%v", err)
		}
		if _, _, err := b.g.Start(b.ctx, "journey", "", nil); !errors.Is(err, semel.ErrKeyRequired) {
			b.Errorf("%v", err)
		}
		_, err := b.g.Settle(b.ctx, "journey-00112233445566778899aabbccddeeff", saga.Settlement{Step: "x", Fact: "perhaps", Who: "ann"})
		if !errors.Is(err, semel.ErrInvalidRequest) {
			b.Errorf("%v", err)
		}
		for e, err := range b.app.Agents(b.ctx, "saga.journey") {
			b.Errorf("%v is there, %v", e.Agent, err)
		}
	})
}

// An agent's step can start a saga and hear of its end; a second one that starts
// the same hears of it too.
func TestAskedByAnAgent(t *testing.T) {
	var trips *saga.Definition[Trip]
	type desk struct{ Ended, Refused int }
	trial(t, func(b *bed) {
		three(&trips, "keyed", version(1))(b)
		desks := semel.NewAgent[desk](b.app, "desk")
		back := semel.ContinuationTo[struct{}, Trip]("back")
		semel.Then(desks, "back", func(d *desk, _ *semel.Step, _ struct{}, r semel.Result[Trip]) (int, error) {
			if r.Done() {
				d.Ended++
			} else {
				d.Refused++
			}
			return len(r.Value.Booked), r.Err()
		})
		semel.On(desks, "order", func(_ *desk, s *semel.Step, in Trip) (int, error) {
			trips.Ask(s, "k"+in.Fail, in, back.With(struct{}{}))
			return semel.Defer[int]()
		})
	}, func(b *bed) {
		b.gates["pay"] = make(chan struct{})
		order := func(desk, fail string) semel.Request {
			return semel.Request{Type: "desk", ID: desk, Action: "order", Key: "o" + fail, Body: json.RawMessage(`{"fail":"` + fail + `"}`)}
		}
		for _, id := range []string{"one", "two"} {
			if _, err := b.app.Submit(b.ctx, order(id, "")); err != nil {
				b.Fatal(err)
			}
		}
		close(b.gates["pay"])
		for _, id := range []string{"one", "two"} {
			if o, err := b.app.Do(b.ctx, order(id, "")); err != nil || string(o.Reply) != "3" {
				b.Errorf("%s: %s, %v", id, o.Reply, err)
			}
			_, err := b.app.Do(b.ctx, order(id, "hotel"))
			b.rejected(err, "no_hotel")
		}
		b.books([3]int{2, 1, 1}, [3]int{1, 0, 0})
	})
}
