package core

import (
	"time"

	"github.com/semel-dev/semel/message"
)

// Work is what the machine wants done. Nothing in it may be done earlier than
// it says: an answer or a call with After set leaves only when the unit of
// that sequence, and so every unit before it, is durable.
type Work struct {
	Loads   []*Load     // rows to read; give each back by Loaded
	Answers []AnswerTo  // to callers
	Calls   []EffectJob // effects to call or probe; give each back by EffectDone
	Pulls   []message.Cursor
	Wakes   []message.Shard // shards to which units that were sealed send: tell them when those are visible
	Retire  *Retire
	Alarms  []Alarm
	Panics  []*PanicError // of handlers, for the log
	Trial   bool          // a suspect waits for its turn: call TrialGranted when no other shard has one
}

// Load asks for rows, or for timers that are due.
type Load struct {
	Keys []message.RowKey
	// Due, when set, asks for up to Limit rows of TableDue below it instead.
	Due   []byte
	Limit int

	issued message.Seq
	done   bool
	env    *envelope
	cell   *cell
	keys   int // of the envelope, after the cell's
	fire   []dueTimer
	apply  func(values [][]byte) error
}

// Caller stands for whoever waits for an answer. The driver makes one for each
// request and gets it back exactly once, unless Cancel took it back.
type Caller struct {
	Data   any  // the driver's own
	Accept bool // it wants to know that the message is accepted, not its outcome
	// Refuse, if set, says why there is no room for new work. What was
	// executed before is still answered.
	Refuse message.Code

	env      *envelope // waits with it
	open     string    // waits for the outcome of this open row
	accepted bool      // it has waited for one
	late     bool      // others asked for the same before it: its answer is a replay
}

// Answer is what a caller is told: an outcome, or a fault.
type Answer struct {
	Outcome  *message.Outcome
	Replayed bool
	Again    bool   // the driver had brought the message before, perhaps: a replay may be of that
	Value    any    // as in Result, never of what was recorded before; of a resolution, who made it (a string)
	Version  uint64 // of the agent, for reads
	Fault    *message.Fault
	Err      error // what the handler returned, behind a handler_failed fault
}

// AnswerTo is an answer on its way.
type AnswerTo struct {
	After  message.Seq
	Caller *Caller
	Answer Answer
}

// EffectJob is one call, or one probe, of an effect.
type EffectJob struct {
	After   message.Seq
	Probe   bool
	ID      message.ID
	Name    string
	Agent   message.Agent
	Attempt int
	Body    []byte
	Trace   string
	Timeout time.Duration
}

// EffectResult is how a call or probe ended. Of a probe, Done and Rejected mean
// that the call is known to have happened with that answer.
type EffectResult struct {
	ID      message.ID
	Probe   bool
	Attempt int
	Status  message.Status // done, rejected, not done, unknown
	Body    []byte         // the reply, or the data of the rejection
	Code    string
	Detail  string
}

// certain says that the result tells what became of the effect.
func (r EffectResult) certain() bool {
	return r.Status == message.StatusDone || r.Status == message.StatusRejected
}

// Retire is the leave to forget, for the store.
type Retire struct {
	Below    message.Generation
	Consumed []message.Cursor
}

// AlarmKind names what an operator should know.
type AlarmKind string

// The alarms.
const (
	AlarmDoubt     AlarmKind = "effect_in_doubt"
	AlarmConflict  AlarmKind = "late_answer_contradicts"
	AlarmDead      AlarmKind = "dead_letter"
	AlarmClockJump AlarmKind = "clock_jump"
	AlarmCorrupt   AlarmKind = "corrupt_row"
	AlarmShardDown AlarmKind = "shard_down" // the driver's: it opened the shard again and again
)

// AlarmKinds are all of them.
var AlarmKinds = []AlarmKind{AlarmDoubt, AlarmConflict, AlarmDead, AlarmClockJump, AlarmCorrupt, AlarmShardDown}

// Alarm is something that a person should look at.
type Alarm struct {
	Kind   AlarmKind
	Agent  message.Agent
	ID     message.ID
	Detail string
}
