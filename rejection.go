package semel

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/semel-dev/semel/message"
)

// A Rejection is the answer no. It is an outcome like any other: recorded, and
// repeated to whoever asks again with the same key. A handler makes one with
// [Reject]; a caller finds it with errors.As.
type Rejection struct {
	Agent  AgentName // set for the caller
	Action string    // set for the caller
	Code   string    // the handler's own, for programs: "insufficient_funds"
	Detail string    // for people
	// Data is more about it, for programs: JSON, recorded and repeated byte for
	// byte; nil if there is none. A handler sets it by With. A caller must not
	// change it: others may hold it too.
	Data json.RawMessage

	keep bool
	err  error // Data cannot be encoded
}

// Reject makes a handler's answer no, with a code for programs and a text for
// people. In an action, the step then leaves no trace but this answer, unless
// Keep says otherwise. In a continuation, which brings an answer to the message
// that asked first, what the step wrote always stands: what it was told did
// happen, and must not be lost. An empty code means "rejected".
func Reject(code, format string, args ...any) *Rejection {
	return &Rejection{Code: orRejected(code), Detail: fmt.Sprintf(format, args...)}
}

// code is the code to record: one that was not made by Reject may have none.
func (r *Rejection) code() string { return orRejected(r.Code) }

// data is what to record of Data. It must be JSON, because that is how it is told.
func (r *Rejection) data() ([]byte, error) {
	data, err := []byte(nil), r.err
	if err == nil {
		data, err = encode(r.Data)
	}
	if err != nil {
		return nil, fmt.Errorf("the data of the rejection %q cannot be encoded: %w", r.code(), err)
	}
	return data, nil
}

func orRejected(code string) string {
	if code == "" {
		return "rejected"
	}
	return code
}

// checkNil finds the nil pointer that a function returned as an error: then the
// error is not nil, although what was meant is most likely that all is well.
func checkNil(k kinded) error {
	if !reflect.ValueOf(k).IsNil() {
		return nil
	}
	return fmt.Errorf("the function returned a nil %T as its error, which is not a nil error: keep what may be nil in a variable of type error", k)
}

// Keep makes the step stand although its answer is no: a refund, a counter of
// failed attempts. It returns r.
func (r *Rejection) Keep() *Rejection {
	r.keep = true
	return r
}

// With adds data for programs: what the provider said, which limit was passed.
// It is kept as JSON; of a json.RawMessage the bytes are kept. If it cannot be
// encoded, the step fails. It returns r.
func (r *Rejection) With(data any) *Rejection {
	r.Data, r.err = encode(data)
	return r
}

// Error implements error.
func (r *Rejection) Error() string {
	return describe(r.Agent, r.Action, "rejected", r.Code, r.Detail)
}

// OutcomeUnknown is what a handler returns when nobody can know whether what
// was asked of it took effect, and it shall not be tried again. That is
// recorded as the final outcome; what the step wrote stands.
func OutcomeUnknown(format string, args ...any) *UnknownError {
	return &UnknownError{Code: message.CodeOutcomeUnknown, Detail: fmt.Sprintf(format, args...)}
}

// Defer is what a handler returns when the outcome comes later: from a
// continuation that receives the answer of something that this step asks for.
//
//	return semel.Defer[Receipt]()
func Defer[Out any]() (Out, error) {
	var none Out
	return none, errDeferred
}

// deferred is not a failure: it is how Defer travels through an error result.
type deferred struct{}

func (deferred) Error() string { return "semel: the reply is deferred" }

var errDeferred error = deferred{}
