// Command trip books a flight, a hotel and the payment of both at a provider that
// it starts itself, as a saga: all three, or none. The provider is not kind. It
// loses an answer, and it declines the payment of an order that is too dear; what
// was booked is cancelled then.
//
//	go run ./examples/trip
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/store/pebble"
	"github.com/semel-dev/semel/webeffect"
)

func main() {
	dir, err := os.MkdirTemp("", "trip")
	if err == nil {
		err = run(context.Background(), os.Stdout, filepath.Join(dir, "data"))
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, dir string) (err error) {
	books := newProvider()
	web := httptest.NewServer(books)
	defer web.Close()

	app, err := semel.Open(ctx, pebble.At(dir), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.Close(ctx)) }()
	specs := make(map[string]webeffect.Spec)
	for _, name := range []string{"flight", "hotel", "payment"} {
		// The provider knows keys, so a call whose answer is lost is made again.
		specs["book-"+name] = webeffect.Spec{URL: web.URL + "/" + name, Policy: "keyed", AllowPrivate: true}
		specs["cancel-"+name] = webeffect.Spec{URL: web.URL + "/" + name + "/cancel", Policy: "keyed", AllowPrivate: true}
	}
	if err := webeffect.Register(app, specs, nil); err != nil {
		return err
	}
	trips := define(saga.Register(app, nil))

	for _, order := range []Trip{{Order: "order-1", Cents: 40_000}, {Order: "order-2", Cents: 900_000}} {
		fmt.Fprintf(out, "%s, %d cents:\n", order.Order, order.Cents)
		trip, err := trips.Run(ctx, order.Order, order)
		var no *semel.Rejection
		switch {
		case errors.As(err, &no):
			fmt.Fprintf(out, "  not booked: %s\n", no.Code)
		case err != nil:
			return err
		default:
			fmt.Fprintf(out, "  booked: %s, %s, %s\n", trip.Flight, trip.Hotel, trip.Payment)
		}
		view, err := trips.Registry().Get(ctx, trips.ID(order.Order))
		if err != nil {
			return err
		}
		for _, s := range view.Steps {
			fmt.Fprintf(out, "  %-8s %s\n", s.Name, story(s))
		}
	}
	// Asked again, it is told again: nothing is booked twice.
	if _, err := trips.Run(ctx, "order-1", Trip{Order: "order-1", Cents: 40_000}); err != nil {
		return err
	}
	fmt.Fprintln(out, "the provider's books:")
	for _, line := range books.lines() {
		fmt.Fprintln(out, "  "+line)
	}
	return nil
}

func story(s saga.StepView) string {
	switch {
	case s.Undo.State == saga.Done:
		return "booked, and cancelled again"
	case s.Do.State == saga.Done:
		return "booked"
	}
	return "refused"
}
