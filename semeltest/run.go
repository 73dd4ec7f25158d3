package semeltest

import (
	"context"
	"fmt"

	"github.com/semel-dev/semel"
)

// Workload is a program and what is asked of it. It is called once for each
// life of the program: at the start and after every crash. It registers on
// r.App, and reaches the outside through r.World; then it lists its calls,
// which are made when it has returned. It must do the same each time, keep
// nothing from one life to the next, and not use a testing.T: what it has to
// say it returns from Do and Check.
type Workload func(r *Run)

// Run is one life of the program. It is for the goroutine of the workload.
type Run struct {
	// App is open, and nothing is registered with it.
	App *semel.App
	// World is what is outside. It remembers what former lives did.
	World *World

	steps  []step
	block  int
	checks []func(ctx context.Context) error
}

// step is a call, or something else that is done.
type step struct {
	req   semel.Request
	do    func(ctx context.Context) error
	block int // Reorder keeps the blocks apart
}

// Call lists a call, to be made when those before it are answered. It must be
// answered with a reply or a rejection, or with ErrOutcomeUnknown if the program
// says so; a doubt is settled in between, by what the World knows. In a life
// after a crash it is made again, with the same key, and what its caller was
// told before must be told again. One with a place in a sequence (semel.From)
// is submitted instead, and keeps its place among the others: no Then is needed.
//
// Make the request with Action.Request.
func (r *Run) Call(req semel.Request) {
	sequenced := req.Sequence.Position != 0
	if sequenced {
		r.Then()
	}
	r.steps = append(r.steps, step{req: req, block: r.block})
	if sequenced {
		r.Then()
	}
}

// Do lists something else: reading a state, a call whose body depends on an
// earlier reply. An error fails the test, unless the program has crashed
// meanwhile. ctx ends with the program's life.
func (r *Run) Do(do func(ctx context.Context) error) {
	r.Then()
	r.steps = append(r.steps, step{do: do, block: r.block})
	r.Then()
}

// Then keeps the calls listed before it and after it apart: Reorder changes the
// order only among those that no Then or Do lies between.
func (r *Run) Then() { r.block++ }

// Check lists an assertion. It is made in every life that does not crash, when
// all that the calls caused has come to its end.
func (r *Run) Check(check func(ctx context.Context) error) { r.checks = append(r.checks, check) }

// what words a step for messages.
func (s *step) what() string {
	if s.do != nil {
		return aDo
	}
	a := s.req.Agent()
	what := fmt.Sprintf("%s of %s/%s", s.req.Action, a.Type, a.ID)
	switch {
	case s.req.Key != "":
		what += fmt.Sprintf(" (key %s)", s.req.Key)
	case s.req.Sequence.Position != 0:
		what += fmt.Sprintf(" (%s %d)", s.req.Sequence.Source, s.req.Sequence.Position)
	}
	return what
}

// same says whether a step is the one that another life made.
func (s *step) same(o *step) bool {
	return (s.do != nil) == (o.do != nil) && s.req.Agent() == o.req.Agent() && s.req.Action == o.req.Action &&
		s.req.Principal == o.req.Principal && s.req.Key == o.req.Key && s.req.Sequence == o.req.Sequence && s.req.Token == o.req.Token
}
