package message

import "time"

// Kind is the one distinction that every caller must be able to make about a
// failure: did it happen?
type Kind uint8

// The kinds of failure.
const (
	NotDone  Kind = iota + 1 // it did not take effect and will not, unless it is sent again
	Rejected                 // it was decided: the recorded answer is no
	Unknown                  // it may have taken effect, or may yet
)

// String is the kind as the API writes it.
func (k Kind) String() string {
	switch k {
	case NotDone:
		return "not_done"
	case Rejected:
		return "rejected"
	}
	return "unknown"
}

// Code names a failure of the system itself. Handlers choose their own codes
// for rejections.
type Code string

// The codes, with the kind that each has.
const (
	CodeKeyRequired      Code = "idempotency_key_required"
	CodeKeyInvalid       Code = "idempotency_key_invalid"
	CodeKeyInFuture      Code = "idempotency_key_in_future"
	CodeKeyExpired       Code = "idempotency_key_expired"
	CodeConflict         Code = "idempotency_conflict"
	CodeInvalidRequest   Code = "invalid_request"
	CodeUnknownAgentType Code = "unknown_agent_type"
	CodeUnknownAction    Code = "unknown_action"
	CodeUnknownAgent     Code = "unknown_agent"
	CodeUnknownKey       Code = "unknown_key"
	CodeUnknownEffect    Code = "unknown_effect"
	CodeUnknownDoubt     Code = "unknown_doubt"
	CodeUnknownDead      Code = "unknown_dead_letter"
	CodeAlreadyResolved  Code = "already_resolved"
	CodeTooEarly         Code = "too_early"
	CodeOverloaded       Code = "overloaded"
	CodeHandlerFailed    Code = "handler_failed"
	CodeCanceled         Code = "canceled"
	CodeClosed           Code = "closed"
	CodeStorageFull      Code = "storage_full"
	CodeStoreUnavailable Code = "store_unavailable"
	CodeElsewhere        Code = "elsewhere"
	CodeTooLarge         Code = "too_large"
	CodeInFlight         Code = "in_flight"
	CodeInDoubt          Code = "in_doubt"
	CodeDead             Code = "dead"
	CodeOutcomeUnknown   Code = "outcome_unknown"
	CodeCommitUnknown    Code = "commit_unknown"
	CodeReplyMisfit      Code = "reply_misfit"
)

// Kind says what a caller who receives the code may conclude.
func (c Code) Kind() Kind {
	switch c {
	case CodeKeyExpired, CodeInFlight, CodeInDoubt, CodeDead, CodeOutcomeUnknown, CodeCommitUnknown, CodeReplyMisfit:
		return Unknown
	case CodeUnknownKey:
		// That nothing is recorded proves nothing: the call may be under way,
		// or its outcome may be older than the retention.
		return Unknown
	}
	return NotDone
}

// Fault is a failure of the system, as opposed to a rejection by a handler.
type Fault struct {
	Code   Code
	Detail string
	Ref    ID            // the doubt or dead letter it speaks of
	After  time.Duration // how long to wait before it can be otherwise; zero if that is not known
}

// Error implements error.
func (f *Fault) Error() string { return string(f.Code) + ": " + f.Detail }
