package core

import (
	"bytes"
	"fmt"
	"time"

	"github.com/semel-dev/semel/message"
)

// Step is what a handler sees of the world while it consumes one message. It
// collects what the handler asks for; nothing of it happens unless the step's
// commit does. A Step is valid only during the handler's call.
type Step struct {
	now     message.Time
	msg     *message.Message
	awaited bool // somebody waits for the outcome, which a later step may settle
	version uint64

	trace   string
	ordinal uint32
	sends   []*message.Message
	effects []*effectRecord
	timers  []timerChange
	hold    holdChange
	ends    bool // the agent ends with the step

	withdrawn []message.ID // effects that shall be called no more
	err       error
}

// endOfTime is the latest time that anything is planned for, in the year 2116.
const endOfTime = message.Time(1 << 62)

// later is a time plus a duration that a program chose, which may be as long
// as "for ever": it must not wrap around into the past.
func later(t message.Time, d time.Duration) message.Time {
	if d >= time.Duration(endOfTime-t) {
		return endOfTime
	}
	return t + message.Time(d)
}

// timerChange sets (msg != nil) or cancels a timer.
type timerChange struct {
	name string
	due  message.Time
	msg  *message.Message
}

type holdChange struct {
	set, release bool
	token        string
	until        message.Time
}

func (s *Step) reset(now message.Time, m *message.Message, awaited bool, version uint64) {
	*s = Step{now: now, msg: m, awaited: awaited, version: version, trace: m.Trace,
		sends: s.sends[:0], effects: s.effects[:0], timers: s.timers[:0], withdrawn: s.withdrawn[:0]}
}

// Now is the step's time: the same for everything that the step does.
func (s *Step) Now() message.Time { return s.now }

// Message is the message being consumed. It must not be changed.
func (s *Step) Message() *message.Message { return s.msg }

// Version counts the steps that changed the agent before this one.
func (s *Step) Version() uint64 { return s.version }

// SetTrace says what the step's consequences are caused by, instead of what
// caused its message.
func (s *Step) SetTrace(trace string) {
	if len(trace) <= message.MaxTraceBytes {
		s.trace = trace
	}
}

// NewID returns an identity that no other call returns, and that a repetition
// of this step returns again.
func (s *Step) NewID() message.ID {
	identify(s.msg)
	s.ordinal++
	return s.msg.ID.Child(s.ordinal)
}

// Outgoing describes a message to send.
type Outgoing struct {
	To     message.Agent
	Action string
	Body   []byte
	Token  string
	Delay  time.Duration
	// Then names the action of this agent that receives the outcome; empty if
	// nobody needs it. Context is handed to it.
	Then    string
	Context []byte
	Branch  *message.Branch // a phase of a transaction
	// For, if set, is the Origin of another message of this agent: what the
	// answer's step returns settles that one.
	For []byte
}

// Send appends a message to the outbox; with a delay, it waits durably first.
// An empty tenant means the agent's own; another one makes the step fail: a
// message never crosses tenants.
func (s *Step) Send(o Outgoing) {
	if own := s.msg.To.Tenant; o.To.Tenant == "" {
		o.To.Tenant = own
	} else if o.To.Tenant != own {
		s.fail(fmt.Errorf("a message to %s from an agent of tenant %q: messages do not cross tenants", o.To, own))
		return
	}
	if err := o.To.Validate(); err != nil {
		s.fail(err)
		return
	}
	m := &message.Message{
		ID: s.NewID(), To: o.To, Action: o.Action, Principal: s.msg.Principal,
		Body: o.Body, Token: o.Token, Sent: s.now, Trace: s.trace, Branch: o.Branch,
	}
	if o.Then != "" {
		m.ReplyTo = &message.ReplyTo{Agent: s.msg.To, Action: o.Then, Link: s.link(o.Context, o.For)}
	}
	if o.Delay > 0 {
		s.timers = append(s.timers, timerChange{name: "\x01" + string(m.ID[:]), due: later(s.now, o.Delay), msg: m})
		return
	}
	s.sends = append(s.sends, m)
}

// Call asks for an effect.
type Call struct {
	Effect  string
	Body    []byte
	Then    string
	Context []byte
	For     []byte // as of Outgoing
}

// Ask appends an effect, and returns the key under which the outside world
// will see it.
func (s *Step) Ask(c Call) message.ID {
	id := s.NewID()
	e := &effectRecord{
		id: id, name: c.Effect, agent: s.msg.To, cause: s.msg.ID, principal: s.msg.Principal,
		body: c.Body, then: c.Then, link: s.link(c.Context, c.For), asked: s.now, status: effectAsked, trace: s.trace,
	}
	s.effects = append(s.effects, e)
	return e.id
}

// SetTimer makes the agent receive a message after a delay. A timer of the
// same name is replaced.
func (s *Step) SetTimer(name string, delay time.Duration, action string, body []byte) {
	if err := message.CheckName("timer name", name); err != nil {
		s.fail(err)
		return
	}
	m := &message.Message{ID: s.NewID(), To: s.msg.To, Action: action, Principal: s.msg.Principal, Body: body, Sent: s.now, Trace: s.trace}
	s.timers = append(s.timers, timerChange{name: name, due: later(s.now, max(delay, 0)), msg: m})
}

// CancelTimer removes a timer; it does nothing if there is none.
func (s *Step) CancelTimer(name string) {
	if err := message.CheckName("timer name", name); err != nil {
		s.fail(err)
		return
	}
	s.timers = append(s.timers, timerChange{name: name})
}

// Hold keeps every message from the agent that does not bear the token, until
// Release or until the delay has passed. Those that bear it pass, at once: also
// when they were parked before the hold began, in their order, if they are
// among the first 64 messages of the mailbox. Others keep their order.
func (s *Step) Hold(token string, d time.Duration) {
	s.hold = holdChange{set: true, token: token, until: later(s.now, max(d, 0))}
}

// Release ends the agent's hold.
func (s *Step) Release() { s.hold = holdChange{release: true} }

// Forget ends the agent with this step: nothing of its state stays. Its timers do.
func (s *Step) Forget() { s.ends = true }

// Withdraw has an effect that the agent asked for called no more; see withdraw.go.
func (s *Step) Withdraw(id message.ID) { s.withdrawn = append(s.withdrawn, id) }

// link ties an answer to this step. An asker that nobody waits for passes on
// what it inherited: the answer of an answer still settles the first message.
func (s *Step) link(context, other []byte) message.Link {
	l := message.Link{Context: context, Origin: other}
	if len(other) == 0 {
		l.Origin = s.Origin()
	}
	return l
}

// Origin is the identity of the message that this step settles, or would if it
// did not defer; nil if nobody waits for it.
func (s *Step) Origin() []byte {
	if !s.awaited {
		return nil
	}
	return outcomeOf(s.msg)
}

// detach unties what the step asked for from the outcome that it settles itself: no
// answer can settle that any more, and none need look for it in the store.
func (s *Step) detach() {
	untie := func(l *message.Link) {
		if len(l.Origin) > 0 && bytes.Equal(l.Origin, s.Origin()) {
			l.Origin = nil
		}
	}
	for _, m := range s.sends {
		if m.ReplyTo != nil {
			untie(&m.ReplyTo.Link)
		}
	}
	for _, t := range s.timers {
		if t.msg != nil && t.msg.ReplyTo != nil {
			untie(&t.msg.ReplyTo.Link)
		}
	}
	for _, e := range s.effects {
		untie(&e.link)
	}
}

// fail makes the step fail whatever the handler returns.
func (s *Step) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}
