package saga_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/semeltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Trip is the state of the sagas that are tested: a flight, a hotel, a payment.
type Trip struct {
	Fail   string            `json:"fail,omitempty"` // the service that says no
	Booked map[string]string `json:"booked,omitempty"`
	Undone map[string]string `json:"undone,omitempty"` // and what it was told
}

// booking is what the services are asked for.
type booking struct {
	Fail bool `json:"fail,omitempty"`
}

// refund is what their compensations are asked for.
type refund struct {
	Fact    saga.Fact `json:"fact"`
	Receipt string    `json:"receipt,omitempty"`
}

// services are the three, each with an effect "book-<service>" and an effect
// "undo-<service>".
var services = []string{"flight", "hotel", "pay"}

// policies are the effect policies under which a lost answer comes to an end by
// itself, or by somebody who looks into the World's books.
var policies = map[string]func(*semeltest.Service) semel.EffectOption{
	"keyed": func(*semeltest.Service) semel.EffectOption { return semel.Keyed },
	"probe": func(s *semeltest.Service) semel.EffectOption {
		return semel.Probe(semeltest.Probe[booking, string](s))
	},
	"ask":  func(*semeltest.Service) semel.EffectOption { return semel.Ask },
	"once": func(*semeltest.Service) semel.EffectOption { return semel.AtMostOnce },
}

// weather is what goes wrong outside, by service.
type weather struct {
	faults map[string]func(semeltest.Record) semeltest.Fault
	gates  map[string]chan struct{} // a call waits for it before it takes effect
	undo   func(refund) error       // what compensations say
	point  func() (alive bool)      // where the program may crash; nil if it does not
}

func (wt *weather) fault(service string) func(semeltest.Record) semeltest.Fault {
	return func(r semeltest.Record) semeltest.Fault {
		if f := wt.faults[service]; f != nil {
			return f(r)
		}
		return semeltest.NoFault
	}
}

// passing is a call at whose border the program may crash.
func passing(wt *weather, call func() (string, error)) (string, error) {
	if wt.point == nil {
		return call()
	}
	if !wt.point() {
		return "", errCrashed
	}
	rep, err := call()
	if !wt.point() {
		return "", errCrashed
	}
	return rep, err
}

// always is a service at which every call goes wrong.
func always(f semeltest.Fault) func(semeltest.Record) semeltest.Fault {
	return func(semeltest.Record) semeltest.Fault { return f }
}

// outside registers the effects of the services.
func outside(app *semel.App, w *semeltest.World, policy string, wt *weather) {
	if wt == nil {
		wt = new(weather)
	}
	for _, name := range services {
		var serves []semeltest.ServiceOption
		if policy == "keyed" {
			serves = append(serves, semeltest.Deduplicates)
		}
		s := w.Service(name, serves...)
		s.Faults(wt.fault(name))
		call := semeltest.Effect(s, func(b booking) (string, error) {
			if b.Fail {
				return "", semel.Reject("no_"+name, "there is no %s", name)
			}
			return "receipt of " + name, nil
		})
		semel.NewEffect(app, "book-"+name, func(ctx context.Context, c semel.EffectCall, b booking) (string, error) {
			if gate := wt.gates[name]; gate != nil {
				select {
				case <-gate:
				case <-ctx.Done():
				}
			}
			return passing(wt, func() (string, error) { return call(ctx, c, b) })
		}, policies[policy](s))
		u := w.Service("undo-"+name, semeltest.Deduplicates)
		u.Faults(wt.fault("undo-" + name))
		undo := semeltest.Effect(u, func(r refund) (string, error) {
			if wt.undo != nil {
				if err := wt.undo(r); err != nil {
					return "", err
				}
			}
			return string(r.Fact), nil
		})
		semel.NewEffect(app, "undo-"+name, func(ctx context.Context, c semel.EffectCall, r refund) (string, error) {
			return passing(wt, func() (string, error) { return undo(ctx, c, r) })
		}, semel.Keyed)
	}
}

// book is the Do of a service's step, and unbook its Undo.
func book(name string) saga.Call[Trip] {
	return saga.Effect(semel.EffectTo[booking, string]("book-"+name),
		func(t *Trip) (booking, error) { return booking{Fail: t.Fail == name}, nil },
		func(t *Trip, receipt string) error {
			if t.Booked == nil {
				t.Booked = make(map[string]string)
			}
			t.Booked[name] = receipt
			return nil
		})
}

func unbook(name string) *saga.Undo[Trip] {
	return saga.UndoEffect(semel.EffectTo[refund, string]("undo-"+name),
		func(t *Trip, f saga.Fact) (refund, error) { return refund{Fact: f, Receipt: t.Booked[name]}, nil },
		func(t *Trip, told string) error {
			if t.Undone == nil {
				t.Undone = make(map[string]string)
			}
			t.Undone[name] = told
			return nil
		})
}

func step(name string) saga.Step[Trip] {
	return saga.Step[Trip]{Name: name, Do: book(name), Undo: unbook(name)}
}

// version is the trip with its steps one after the other.
func version(n int) saga.Version[Trip] {
	return saga.Version[Trip]{Number: n, Stages: []saga.Stage[Trip]{step("flight"), step("hotel"), step("pay")}}
}

// allOrNone says what is wrong with the World's books of one trip that is at its
// end: each service did its part once and nothing is undone, or everything that
// happened is undone, once. What may have happened is undone too.
func allOrNone(w *semeltest.World, v saga.View) error {
	errs := []error{w.AtMostOnce()}
	for i, name := range services {
		did, undid := w.Service(name).Count(), w.Service("undo-"+name).Count()
		switch fact := v.Steps[i].Fact; {
		case v.Phase == saga.Completed && (did != 1 || undid != 0):
			errs = append(errs, fmt.Errorf("it is completed, and %s happened %d times and was undone %d times", name, did, undid))
		case v.Phase != saga.Completed && undid < did:
			errs = append(errs, fmt.Errorf("it is %s, and %s happened and was not undone", v.Phase, name))
		case undid > did && fact != saga.MayHaveHappened:
			errs = append(errs, fmt.Errorf("%s was undone, and %s", name, fact))
		}
	}
	return errors.Join(errs...)
}

// ended waits for a saga's end, or for its being parked.
func ended(ctx context.Context, g *saga.Registry, id string) (saga.View, error) {
	for {
		v, err := g.Get(ctx, id)
		if err != nil || v.Phase.Ended() || v.Phase == saga.Parked {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, fmt.Errorf("it is still %s: %w", v.Phase, ctx.Err())
		case <-time.After(time.Second):
		}
	}
}
