package core

import (
	"github.com/semel-dev/semel/message"
)

// origin says where an envelope came from, and so what must be written when
// its message is consumed.
type origin uint8

const (
	fromCaller  origin = iota // nothing: it was not accepted yet
	fromInbox                 // the source's cursor moves
	fromMailbox               // the mailbox's head moves
	fromRetry                 // the retry is taken from the control row
	fromTimer                 // the timer's rows go
	fromEffect                // the effect's row goes
	fromDead                  // the dead letter's row goes
)

// envelope is a message on its way through the machine.
type envelope struct {
	msg    *message.Message
	cell   *cell
	action *Action
	origin origin

	callers []*Caller  // who waits, all with the same fingerprint
	first   [1]*Caller // room for the usual number of them
	joined  []joiner   // others with the same identity and another fingerprint
	query   func(State, uint64, bool) Answer
	value   any    // of the reply, decoded
	remove  bool   // delete the agent
	discard bool   // fromDead: give it up
	active  string // its identity's row key, while it is the one alive for it

	rows    []needed    // rows that must be known before it runs
	issued  message.Seq // when the last read of them was issued
	read    bool        // they were read, as of issued
	pending int         // reads under way

	source    *source // fromInbox
	position  uint64
	queued    bool          // it is in the queue of its source
	retry     *retry        // fromRetry
	timer     dueTimer      // fromTimer
	effect    *effectRecord // fromEffect
	deadKey   []byte        // fromDead
	operator  *Caller       // fromDead: who asked for it
	suspect   bool          // it may be what killed the last process
	tried     bool          // its attempt is durable: it may run alone
	kills     bool          // it ended the process too often: it must not run
	abandoned bool          // nobody waits for it any more
	consumed  bool          // the row that says so is in a unit, or was there before
	finished  bool          // its life has ended
}

// needed is a row that an envelope depends on.
type needed struct {
	key   message.RowKey
	value []byte
}

// joiner is a caller whose message has the identity of one that is alive but
// not its fingerprint.
type joiner struct {
	caller *Caller
	msg    *message.Message
}

// newEnvelope returns an empty envelope. Most live for one event only: they run
// at once and nothing else ever refers to them, so the next event can have them.
func (s *Shard) newEnvelope() *envelope {
	env := s.spareEnvelope
	s.spareEnvelope = nil
	if env == nil {
		env = new(envelope)
	}
	return env
}

// reuse takes back an envelope that ran within the event that brought it.
func (s *Shard) reuse(env *envelope) {
	*env = envelope{}
	s.spareEnvelope = env
}

// wait adds a caller.
func (e *envelope) wait(c *Caller) {
	if e.callers == nil {
		e.callers = e.first[:0]
	}
	e.callers = append(e.callers, c)
}

// accepted says whether the message is durable already: then it must be
// processed, whatever its handler says.
func (e *envelope) accepted() bool { return e.origin != fromCaller }

// wantsAcceptance says whether a caller leaves the message to the system once
// it is durable.
func (e *envelope) wantsAcceptance() bool {
	for _, c := range e.callers {
		if c.Accept {
			return true
		}
	}
	return false
}

// outcomeOf is the identity that the message's step settles: its own, or, for
// an answer, that of the message which asked first.
func outcomeOf(m *message.Message) []byte {
	if m.Answer != nil {
		return m.Answer.Link.Origin
	}
	if m.Key == "" {
		identify(m)
	}
	return m.Identity()
}

// identify gives a keyed or sequenced message its ID, which is derived only
// when something needs it: most steps never do.
func identify(m *message.Message) {
	if !m.ID.IsZero() {
		return
	}
	switch {
	case m.Key != "":
		m.ID = message.KeyedID(m.To, m.Principal, m.Key)
	case m.Source != "":
		m.ID = message.SequencedID(m.To, m.Source, m.Position)
	default:
		panic("semel: a message without key, source or id: the driver must give it an id")
	}
}

// identityKey is the row key of an identity of an agent.
func identityKey(c *cell, identity []byte) []byte {
	k := make([]byte, 0, len(c.key)+len(identity))
	return append(append(k, c.key...), identity...)
}
