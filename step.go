package semel

import (
	"fmt"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// Step is what a handler sees of the world while its agent consumes one
// message, and how it asks for more. What it asks for happens if and only if
// the step stands. A Step is for the handler's own goroutine, and only until
// the handler returns; a later use panics.
type Step struct {
	core *core.Step
	site *site
	err  error // makes the step fail, whatever the handler returns
}

// site is where a handler belongs.
type site struct {
	app  *App
	typ  *agentType
	name string // of the action or continuation
}

// Now is the time of the step, in UTC: the same for everything that it does. It
// never goes back, and is the only clock that a handler may use.
func (s *Step) Now() time.Time { return timeOf(s.core.Now()) }

// NewID returns an identity that no other call of NewID returns, ever, and
// that a repetition of this step returns again.
func (s *Step) NewID() ID { return s.core.NewID() }

// Agent is the agent that takes the step.
func (s *Step) Agent() AgentName { return s.core.Message().To }

// Key is the idempotency key of the message; empty if it has none. A
// continuation's message has none.
func (s *Step) Key() string { return s.core.Message().Key }

// Principal is on whose behalf the message was sent. What the step sends is
// sent on the same behalf.
func (s *Step) Principal() string { return s.core.Message().Principal }

// Version counts the steps that changed the agent before this one.
func (s *Step) Version() uint64 { return s.core.Version() }

// Hold keeps every message from the agent that does not bear the token (see
// Token), until Release, or until d has passed. They wait durably and in
// their order. Messages that bear it pass, also those that waited before the
// hold began, if they are among the first 64 that wait. Queries are answered
// meanwhile. A later Hold replaces it.
func (s *Step) Hold(token string, d time.Duration) {
	if err := message.CheckName("token", token); err != nil {
		s.fail("hold: %v", err)
		return
	}
	if d <= 0 {
		s.fail("hold: the time is %v; it must be positive", d)
		return
	}
	s.core.Hold(token, d)
}

// Release ends the agent's hold, if there is one.
func (s *Step) Release() { s.core.Release() }

// CancelTimer removes a timer of the agent, if there is one of the name. A
// timer whose message is on its way already cannot be removed.
func (s *Step) CancelTimer(name string) {
	if err := message.CheckName("timer name", name); err != nil {
		s.fail("%v", err)
		return
	}
	s.core.CancelTimer(name)
}

// fail makes the step fail. Methods that ask for something use it instead of
// returning an error: there is nothing that a handler could do about a name
// that is not registered, and an error that nobody looks at would be lost.
func (s *Step) fail(form string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(form, args...)
	}
}

// end takes the Step away from whoever kept it.
func (s *Step) end() { s.core = nil }

// timeOf is a Time as people and encoders know it.
func timeOf(t message.Time) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(t)).UTC()
}
