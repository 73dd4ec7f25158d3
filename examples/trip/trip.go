package main

import (
	"fmt"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
)

// Trip is the state of a trip's saga, and what it begins with.
type Trip struct {
	Order   string `json:"order"`
	Cents   int64  `json:"cents"`
	Flight  string `json:"flight,omitempty"` // the receipts
	Hotel   string `json:"hotel,omitempty"`
	Payment string `json:"payment,omitempty"`
}

// Booking is what the provider is asked for. Ref is ours: by it a booking can be
// cancelled of which we never heard whether it was made.
type Booking struct {
	Ref   string `json:"ref"`
	Cents int64  `json:"cents,omitempty"`
}

// Receipt is what it answers.
type Receipt struct {
	Receipt string `json:"receipt"`
}

// define defines the saga: the payment is the pivot, so it comes last.
func define(g *saga.Registry) *saga.Definition[Trip] {
	return saga.New(g, "trip", saga.Version[Trip]{Number: 1, Stages: []saga.Stage[Trip]{
		saga.Parallel[Trip]{
			reserve("flight", func(t *Trip) *string { return &t.Flight }),
			reserve("hotel", func(t *Trip) *string { return &t.Hotel }),
		},
		saga.Step[Trip]{
			Name:  "payment",
			Pivot: true,
			Do: saga.Effect(semel.EffectTo[Booking, Receipt]("book-payment"),
				func(t *Trip) (Booking, error) { return Booking{Ref: t.Order + "/payment", Cents: t.Cents}, nil },
				func(t *Trip, r Receipt) error { t.Payment = r.Receipt; return nil }),
		},
	}})
}

// reserve is a step that reserves something, and cancels it again if the saga
// fails: also if it only may have happened. Then the provider closes the
// reference, so that a booking which still is on its way is refused.
func reserve(what string, receipt func(*Trip) *string) saga.Step[Trip] {
	ref := func(t *Trip) Booking { return Booking{Ref: fmt.Sprintf("%s/%s", t.Order, what)} }
	return saga.Step[Trip]{
		Name: what,
		Do: saga.Effect(semel.EffectTo[Booking, Receipt]("book-"+what),
			func(t *Trip) (Booking, error) { return ref(t), nil },
			func(t *Trip, r Receipt) error { *receipt(t) = r.Receipt; return nil }),
		Undo: saga.UndoEffect(semel.EffectTo[Booking, Receipt]("cancel-"+what),
			func(t *Trip, _ saga.Fact) (Booking, error) { return ref(t), nil }, nil),
	}
}
