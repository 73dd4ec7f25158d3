package semeltest

import (
	"errors"
	"fmt"

	"github.com/semel-dev/semel"
)

// World is everything outside of the program: services that do what they are
// told, and remember it. Each call is an instant at which the program may
// crash, before it arrives and after it took effect. The World itself never
// crashes. It is safe for concurrent use.
type World struct {
	ledger *ledger
	life   *life // whose program reaches out; nil for a World that stands alone
	judge  func(Record) semel.Resolution
}

// NewWorld makes a World that stands alone, for a test that opens its App
// itself. A Run has one of its own.
func NewWorld() *World {
	l := newLedger(new(options))
	l.standing = true
	return &World{ledger: l}
}

// Records is what the services were told, in the order of their first calls.
func (w *World) Records() []Record { return w.ledger.list("") }

// AtMostOnce is nil if no effect happened twice at any service.
func (w *World) AtMostOnce() error { return atMostOnce(w.Records()) }

// ExactlyOnce is nil if every effect of which a call set out happened once, or
// was refused once and for all.
func (w *World) ExactlyOnce() error { return exactlyOnce(w.Records()) }

// Judge says how effects in doubt are settled, from what the World knows of
// them: Record.Happened, above all. Without it they are settled as done, with
// what the service answered as the effect's reply, as rejected, or as not done.
// So it is needed if an effect's function turns the service's answer into
// another reply.
func (w *World) Judge(judge func(Record) semel.Resolution) { w.judge = judge }

// Service is one service of the World, by its name. Different names are
// different services, whose keys have nothing to do with each other. Ask for one
// with the same options each time.
func (w *World) Service(name string, opts ...ServiceOption) *Service {
	s := &Service{world: w, name: name}
	for _, set := range opts {
		set(s)
	}
	return s
}

// ServiceOption says what a service promises.
type ServiceOption func(*Service)

// Deduplicates makes a service recognize keys, as payment providers do: what
// comes with a key that it knows is not done again, and is answered as the
// first time, and what comes with a key that is not done yet waits. A key is for
// one request: another one that comes with it is refused. Calls without a key
// are not recognized. Without Deduplicates, a service does what it is told each
// time.
func Deduplicates(s *Service) { s.dedup = true }

// ChangesNothing makes a service whose calls are only questions: they never
// count as happened.
func ChangesNothing(s *Service) { s.readOnly = true }

// Modelled makes a service that is only the way to something which the test
// models by itself (see Kept). Its calls may be made as often as the program
// likes: they are not counted as happened, nor compared with another run, and
// Run.Check is where it is seen what came of them. The program crashes around
// each, and they get lost, as with any service.
func Modelled(s *Service) { s.readOnly, s.modelled = true, true }

// Service is a service of a World. It is safe for concurrent use once Faults
// was called.
type Service struct {
	world           *World
	name            string
	dedup, readOnly bool
	modelled        bool
	faults          func(Record) Fault
}

// Records is what the service was told, in the order of its first calls.
func (s *Service) Records() []Record { return s.world.ledger.list(s.name) }

// AtMostOnce is nil if no effect happened twice.
func (s *Service) AtMostOnce() error { return atMostOnce(s.Records()) }

// ExactlyOnce is nil if every effect of which a call set out happened once, or
// was refused once and for all.
func (s *Service) ExactlyOnce() error { return exactlyOnce(s.Records()) }

// Happened is how often the service did what calls with the key told it.
func (s *Service) Happened(key string) int {
	l := s.world.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.keys[[2]string{s.name, key}]; k != nil {
		return k.happened
	}
	return 0
}

// Count is how often the service did anything.
func (s *Service) Count() (n int) {
	for _, r := range s.Records() {
		n += r.Happened
	}
	return n
}

func atMostOnce(all []Record) error {
	var errs []error
	for i := range all {
		if r := &all[i]; r.Happened > 1 {
			errs = append(errs, fmt.Errorf("%s %s, %s", r.what(), happened(r.Happened), keyed(r.Keys, " and ")))
		}
	}
	return errors.Join(errs...)
}

func exactlyOnce(all []Record) error {
	errs := []error{atMostOnce(all)}
	for i := range all {
		if r := &all[i]; r.setOut() && r.Happened == 0 && !r.Rejected {
			errs = append(errs, fmt.Errorf("%s did not happen", r.what()))
		}
	}
	return errors.Join(errs...)
}
