package saga

// Phase says where a saga stands.
type Phase string

// The phases. The last three are ends: a saga that reached one never leaves it.
const (
	Running      Phase = "running"      // it goes forward, or waits for what it asked
	Compensating Phase = "compensating" // it undoes what it did, or may have done
	Parked       Phase = "parked"       // it waits for an operator: see Get for why, and Resume and Settle
	Completed    Phase = "completed"    // every step is done
	Compensated  Phase = "compensated"  // a step failed, and everything before it is undone
	Cancelled    Phase = "cancelled"    // as Compensated, because somebody asked for it
)

// Phases are all of them.
var Phases = []Phase{Running, Compensating, Parked, Completed, Compensated, Cancelled}

// Ended says whether the phase is an end.
func (p Phase) Ended() bool { return p == Completed || p == Compensated || p == Cancelled }

// Fact is what is known of a step when it is to be compensated.
type Fact string

// The facts. There is no fourth: what nobody can know may have happened.
const (
	Happened        Fact = "happened"
	DidNotHappen    Fact = "did_not_happen"
	MayHaveHappened Fact = "may_have_happened"
)

// State says where a step's Do stands, or its Undo.
type State string

// The states.
const (
	Idle     State = ""         // it was not asked for, or is about to be asked for again
	Asked    State = "asked"    // its answer is awaited
	Backoff  State = "backoff"  // it is not done, and is asked for again at Due
	Done     State = "done"     // it took effect
	Rejected State = "rejected" // the answer was no: it did not happen
	NotDone  State = "not_done" // it was given up, and did not happen
	Unknown  State = "unknown"  // it may have happened, and nobody will be told
	Skipped  State = "skipped"  // of an Undo: there was nothing to do
)

// The codes of failures and of parked sagas that are this package's own. Others
// are those of the steps.
const (
	CodeInvalidInput   = "invalid_input"        // the first request cannot be made of what the saga was started with
	CodeNotDone        = "step_not_done"        // a step was given up, and did not happen; nothing said why
	CodeUnknown        = "step_unknown"         // nobody can know whether a step happened
	CodeStepTimeout    = "step_timeout"         // a step was withdrawn at the end of its time
	CodeSagaTimeout    = "saga_timeout"         // the saga's time was over before its pivot
	CodeCancelled      = "cancelled"            // somebody asked for it
	CodeStepFailing    = "step_failing"         // parked: a step behind the pivot fails again and again
	CodeUndoFailing    = "compensation_failing" // parked: a compensation fails again and again
	CodeUndoUnknown    = "compensation_unknown" // parked: a compensation may have happened; say whether by Settle
	CodePivotUnknown   = "pivot_unknown"        // parked: the pivot may have happened; say whether by Settle
	CodeDefinition     = "definition_failed"    // parked: a function of the definition failed or panicked
	CodeUnknownVersion = "unknown_version"      // parked: the version it started with is not registered
	CodeChanged        = "definition_changed"   // parked: that version has other steps now
	CodeTooLarge       = "state_too_large"      // parked, or refused: S is larger than Config.MaxState
)

// The codes with which orders are rejected.
const (
	CodeEnded         = "saga_ended"       // it is at its end, so nothing can be changed
	CodePastPivot     = "past_pivot"       // the pivot was asked for: there is no way back
	CodeNeedsDecision = "needs_decision"   // what may have happened is not tried again: say by Settle what is the case
	CodeNotOpen       = "step_not_open"    // the step waits for nobody's word
	CodeUnknownStep   = "unknown_step"     // the saga has no such step
	CodeConflict      = "conflict"         // the key was used for another input
	CodeBusy          = "too_many_waiting" // too many agents wait for the saga's end
	codeUnknownSaga   = "unknown_saga"
)
