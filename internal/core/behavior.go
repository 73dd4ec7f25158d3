package core

import (
	"time"

	"github.com/semel-dev/semel/message"
)

// Behavior is what the user's program defines: the agent types and the
// effects. It is fixed before the first event and only read afterwards.
type Behavior struct {
	Types   map[string]*Type
	Effects map[string]*Effect
}

// Type is the behavior of one agent type.
type Type struct {
	// Load makes a State from what Append wrote under the given schema
	// version, or a new agent's State when data is nil. The state keeps no
	// reference to data.
	Load    func(schema uint32, data []byte) (State, error)
	Schema  uint32 // the version that Append writes
	Actions map[string]*Action
}

// Action is one thing that agents of a type do.
type Action struct {
	Guarantee message.Guarantee
	// Run executes the step. It may change the state and call the Step's
	// methods; it must be deterministic and must not block. It may panic.
	Run func(s *Step, state State) Result
}

// State is an agent's state, decoded. The machine calls Mark before a step
// and Undo when the step must leave no trace. None of the methods may panic:
// they run outside the handler, where nothing contains a panic.
type State interface {
	Mark()
	Undo() error
	// Append appends the encoded state.
	Append(dst []byte) ([]byte, error)
	// Flat says that the state as it is now has at most 4096 bytes, encoded,
	// and that Append cannot fail, so it need not be encoded after every step
	// but once per unit.
	Flat() bool
}

// Verdict is how a step ended.
type Verdict uint8

// The verdicts of a step.
const (
	Failed   Verdict = iota // Err says why; nothing of the step is kept, and nothing is recorded
	Replied                 // Body is the reply
	Refused                 // a rejection: Code, Detail and Body, its data, are recorded; the step's changes are discarded unless Keep
	Deferred                // the outcome comes later, from a step that receives an answer
	Lost                    // the outcome is final and unknown: recorded as such, the step's changes kept
)

// Result is what a step returns.
type Result struct {
	Verdict Verdict
	Body    []byte // of Replied and Refused
	Value   any    // may be what Body decodes to, for callers within the process
	Code    string
	Detail  string
	Keep    bool // of Refused: the answer is no, but what the step wrote stands
	// Invalid, of Failed: the body does not fit the action; trying again cannot help.
	Invalid bool
	Err     error
}

// Policy says what may be done about an effect that was started and whose end
// is not known.
type Policy uint8

// The effect policies of DESIGN 2. The numbers are part of the on-disk format.
const (
	Ask Policy = iota
	ReadOnly
	Keyed
	Probe
	AtMostOnce
)

var policyNames = [...]string{Ask: "ask", ReadOnly: "read_only", Keyed: "keyed", Probe: "probe", AtMostOnce: "at_most_once"}

// String is the policy as configuration writes it.
func (p Policy) String() string { return policyNames[p] }

// Effect declares a call to the outside; the driver knows how to make it.
type Effect struct {
	Policy  Policy
	Timeout time.Duration // the deadline of one call
	// ProbeCloses: a probe that hears "not done" also makes a late arrival
	// impossible at the provider, so its answer counts at once.
	ProbeCloses bool
	MaxAttempts int // calls that were certainly not done, before the effect is given up
}
