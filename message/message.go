package message

// Time is nanoseconds since the Unix epoch on the system's own clock, which
// never runs backwards. It is an argument everywhere: nothing below the engine
// reads a clock.
type Time int64

// Guarantee is what an action promises about the number of its executions.
type Guarantee uint8

// The guarantees. What each costs and where it stops is in docs/guarantees.md.
const (
	ExactlyOnce Guarantee = iota // recorded, acknowledged when durable
	AtLeastOnce                  // durable, but no dedup record: a duplicate runs again
	AtMostOnce                   // recorded like ExactlyOnce, acknowledged before it is durable: a crash may lose it
)

// String is the guarantee as configuration and metrics write it.
func (g Guarantee) String() string {
	switch g {
	case AtLeastOnce:
		return "at-least-once"
	case AtMostOnce:
		return "at-most-once"
	}
	return "exactly-once"
}

// Message is what an agent consumes. It is immutable once it was submitted.
type Message struct {
	ID        ID
	To        Agent
	Action    string
	Principal string // on whose behalf; what a step sends inherits it
	Body      []byte // JSON; empty means null

	// A keyed message has Key and Fingerprint; a sequenced one has Source,
	// which includes the source's incarnation, and Position ≥ 1. A message of
	// the inside has neither: its shard's cursor covers it.
	Key         string
	Fingerprint Fingerprint
	Source      string
	Position    uint64

	Token   string // the hold it may pass
	Sent    Time
	ReplyTo *ReplyTo
	Answer  *Answer // set when this message is the answer to something the agent asked
	Branch  *Branch // set when this message is a phase of a transaction

	// Trace is the W3C traceparent of what caused the message; empty if nobody
	// traces. What a step sends and asks for inherits it. It is no part of what
	// is fingerprinted, and one that is too long is forgotten.
	Trace string

	// Value may be the body, decoded by who submitted it within this process.
	// It is a hint of the moment: it is not stored, and the body decodes to it.
	Value any
}

// ReplyTo says who receives a message's outcome.
type ReplyTo struct {
	Agent  Agent
	Action string
	Link   Link
}

// Link ties an answer to the step that asked.
type Link struct {
	Context []byte // what the asker wanted to remember, JSON
	Origin  []byte // identity of the asker's message whose outcome may depend on the answer; empty if nobody waits for one
}

// Answer is the outcome of what an agent asked: of another agent's step, or of
// an effect. Its body is the message's body.
type Answer struct {
	Status Status
	Code   string
	Detail string
	Link   Link
}

// Identity is the name under which the message's outcome is recorded with its
// agent: by key where it has one, else by ID.
func (m *Message) Identity() []byte {
	if m.Key != "" {
		return KeyIdentity(m.Principal, m.Key)
	}
	return append([]byte{'i'}, m.ID[:]...)
}

// KeyIdentity is the Identity of a keyed message.
func KeyIdentity(principal, key string) []byte {
	b := make([]byte, 0, len(principal)+len(key)+2)
	return AppendKeyIdentity(b, principal, key)
}

// AppendKeyIdentity appends KeyIdentity to dst. The anonymous principal is
// written as the empty name, so the common case stays short.
func AppendKeyIdentity(dst []byte, principal, key string) []byte {
	dst = append(dst, 'k')
	if principal != Anonymous {
		dst = append(dst, principal...)
	}
	dst = append(dst, 0)
	return append(dst, key...)
}
