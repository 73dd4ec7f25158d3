package semel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Kind is the one distinction that every caller must be able to make about a
// failure: did it happen?
type Kind = message.Kind

// The kinds of failure.
const (
	KindNotDone  Kind = message.NotDone
	KindRejected Kind = message.Rejected
	KindUnknown  Kind = message.Unknown
)

// KindOf is the kind of an error: zero for nil, and KindUnknown for an error
// that is none of this package's, because nothing is known about it.
func KindOf(err error) Kind {
	if err == nil {
		return 0
	}
	var k kinded
	if errors.As(err, &k) {
		return k.kind()
	}
	return KindUnknown
}

// kinded is implemented by the three types. Asking for it finds the outermost:
// a failure that is not done may have been caused by one that is unknown.
type kinded interface {
	error
	kind() Kind
}

func (*NotDoneError) kind() Kind { return KindNotDone }
func (*Rejection) kind() Kind    { return KindRejected }
func (*UnknownError) kind() Kind { return KindUnknown }

// NotDoneError says that a request did not take effect and will not, unless it
// is sent again. The same key and a new one are both safe for that, unless an
// earlier request with the key ended in an [*UnknownError]: this one was often
// refused before anybody looked whether that one had taken effect, so keep to
// its key.
type NotDoneError struct {
	Agent  AgentName // zero where the failure is about no agent
	Action string
	Code   message.Code
	Detail string        // what to do about it
	After  time.Duration // how long to wait before it; zero where that is not known
	Cause  error         // what the handler or the store returned, or why the context ended; mostly nil
}

// Error implements error.
func (e *NotDoneError) Error() string {
	return describe(e.Agent, e.Action, "not done", string(e.Code), e.Detail)
}

// Unwrap returns the cause.
func (e *NotDoneError) Unwrap() error { return e.Cause }

// Is matches the sentinel that has the error's code.
func (e *NotDoneError) Is(target error) bool { return target == sentinel(e.Code) }

// UnknownError says that a request may have taken effect, or may yet. Ask
// again with the same key; a new key may do it a second time.
type UnknownError struct {
	Agent  AgentName
	Action string
	Code   message.Code
	Detail string
	Ref    ID    // the doubt (ErrInDoubt) or the dead letter (ErrDead) that it waits for
	Cause  error // why the context ended; mostly nil
}

// Error implements error.
func (e *UnknownError) Error() string {
	what := "not known to be done"
	if e.Code == message.CodeReplyMisfit {
		what = "done, but not understood"
	}
	return describe(e.Agent, e.Action, what, string(e.Code), e.Detail)
}

// Unwrap returns the cause.
func (e *UnknownError) Unwrap() error { return e.Cause }

// Is matches the sentinel that has the error's code.
func (e *UnknownError) Is(target error) bool { return target == sentinel(e.Code) }

// describe words an error: "debit of account/alice: not done (overloaded): …".
func describe(a AgentName, action, what, code, detail string) string {
	var b strings.Builder
	b.WriteString("semel: ")
	if action != "" {
		b.WriteString(action)
		if a.ID != "" {
			b.WriteString(" of ")
		}
	}
	if a.ID != "" {
		b.WriteString(a.String())
	}
	if b.Len() > len("semel: ") {
		b.WriteString(": ")
	}
	b.WriteString(what)
	if code != "" {
		fmt.Fprintf(&b, " (%s)", code)
	}
	if detail != "" {
		b.WriteString(": ")
		b.WriteString(detail)
	}
	return b.String()
}

// sentinel is an error that stands for every error of one code.
type sentinel message.Code

func (s sentinel) Error() string { return "semel: " + string(s) }

// The failures of the system itself, to be matched with errors.Is. What a
// handler rejects is matched by the code of the [*Rejection].
var (
	// Not done: the request itself must change.
	ErrKeyRequired      error = sentinel(message.CodeKeyRequired)      // the action needs an idempotency key
	ErrKeyInvalid       error = sentinel(message.CodeKeyInvalid)       // empty, too long, or with control characters
	ErrKeyInFuture      error = sentinel(message.CodeKeyInFuture)      // the key's own time is ahead of our clock
	ErrConflict         error = sentinel(message.CodeConflict)         // the key was used for another request
	ErrInvalidRequest   error = sentinel(message.CodeInvalidRequest)   // the body does not fit the action
	ErrTooLarge         error = sentinel(message.CodeTooLarge)         // the body exceeds Config.MaxBody
	ErrUnknownAgentType error = sentinel(message.CodeUnknownAgentType) // no such type is registered
	ErrUnknownAction    error = sentinel(message.CodeUnknownAction)    // its type has no such action
	ErrUnknownAgent     error = sentinel(message.CodeUnknownAgent)     // it does not exist
	ErrUnknownEffect    error = sentinel(message.CodeUnknownEffect)    // this program does not have the effect
	ErrUnknownDoubt     error = sentinel(message.CodeUnknownDoubt)     // no such effect is in doubt
	ErrUnknownDead      error = sentinel(message.CodeUnknownDead)      // there is no such dead letter
	ErrAlreadyResolved  error = sentinel(message.CodeAlreadyResolved)  // the doubt was settled differently before

	// Not done: try again.
	ErrTooEarly         error = sentinel(message.CodeTooEarly)         // a former call of the effect may still arrive: look again, After that
	ErrOverloaded       error = sentinel(message.CodeOverloaded)       // too much work is in flight
	ErrHandlerFailed    error = sentinel(message.CodeHandlerFailed)    // the handler returned an error or panicked
	ErrCanceled         error = sentinel(message.CodeCanceled)         // the context ended before it was executed
	ErrClosed           error = sentinel(message.CodeClosed)           // the App is closed or closing
	ErrStorageFull      error = sentinel(message.CodeStorageFull)      // there is no room
	ErrStoreUnavailable error = sentinel(message.CodeStoreUnavailable) // the store does not answer, or a row is corrupt

	// Unknown.
	ErrInFlight       error = sentinel(message.CodeInFlight)       // it was accepted and goes on
	ErrInDoubt        error = sentinel(message.CodeInDoubt)        // it waits for an effect that may have happened; Ref names it
	ErrDead           error = sentinel(message.CodeDead)           // it is a dead letter; Ref names it
	ErrExpired        error = sentinel(message.CodeKeyExpired)     // the key is older than what is remembered
	ErrOutcomeUnknown error = sentinel(message.CodeOutcomeUnknown) // final: nobody can know, and it is not tried again
	ErrCommitUnknown  error = sentinel(message.CodeCommitUnknown)  // the store did not say whether it committed
	ErrUnknownKey     error = sentinel(message.CodeUnknownKey)     // no outcome is recorded under the key, yet or any more
	ErrReplyMisfit    error = sentinel(message.CodeReplyMisfit)    // it is done, but its recorded reply does not fit the reply's type
)

// faultError is the error for a fault of the system.
func faultError(a AgentName, action string, f *message.Fault, cause error) error {
	if f.Code.Kind() == message.Unknown {
		return &UnknownError{Agent: a, Action: action, Code: f.Code, Detail: f.Detail, Ref: f.Ref, Cause: cause}
	}
	return &NotDoneError{Agent: a, Action: action, Code: f.Code, Detail: f.Detail, After: f.After, Cause: cause}
}

// callError is the error for a call that the engine answered with a fault. If
// the caller's context ended, it says so as its cause.
func callError(ctx context.Context, a AgentName, action string, f *message.Fault, cause error) error {
	switch f.Code {
	case message.CodeCanceled, message.CodeInFlight, message.CodeCommitUnknown:
		if cause == nil {
			cause = ctx.Err()
		}
	}
	return faultError(a, action, f, cause)
}

// readError is the error for a lookup or a listing that failed, whether the
// engine said so or the store did.
func readError(ctx context.Context, a AgentName, action string, err error) error {
	var f *message.Fault
	if errors.As(err, &f) {
		return readFault(ctx, a, action, f, nil)
	}
	code := message.CodeStoreUnavailable
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		code = message.CodeCanceled
	case errors.Is(err, store.ErrClosed):
		code = message.CodeClosed
	}
	return &NotDoneError{Agent: a, Action: action, Code: code, Detail: err.Error(), Cause: err}
}

// readFault is callError for what only reads: nothing of it can be under way
// once nobody waits for it.
func readFault(ctx context.Context, a AgentName, action string, f *message.Fault, cause error) error {
	if f.Code == message.CodeCommitUnknown || f.Code == message.CodeInFlight {
		f = &message.Fault{Code: message.CodeClosed, Detail: "the App stopped before the answer was known to be durable"}
		if ctx.Err() != nil {
			f = &message.Fault{Code: message.CodeCanceled, Detail: "the caller gave up before the answer was known to be durable; ask again"}
		}
	}
	return callError(ctx, a, action, f, cause)
}

// refuse is the error for a request that is refused before it is submitted.
func refuse(a AgentName, action string, code message.Code, form string, args ...any) error {
	return &NotDoneError{Agent: a, Action: action, Code: code, Detail: fmt.Sprintf(form, args...)}
}
