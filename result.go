package semel

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// verdictOf turns what a handler returned into what the machine records.
func verdictOf[Out any](s *Step, plain *plainEncoder, out Out, err error) core.Result {
	switch {
	case s.err != nil:
		return core.Result{Err: s.err}
	case err != nil:
		return refusalOf(err)
	}
	body, err := encodeAs(plain, out)
	if err != nil {
		return core.Result{Err: fmt.Errorf("the reply of %s cannot be encoded: %w", s.site.name, err)}
	}
	return core.Result{Verdict: core.Replied, Body: body}
}

// refusalOf is verdictOf for a handler that returned an error.
func refusalOf(err error) core.Result {
	if err == errDeferred || errors.Is(err, errDeferred) {
		return core.Result{Verdict: core.Deferred}
	}
	var k kinded
	if errors.As(err, &k) {
		if err := checkNil(k); err != nil {
			return core.Result{Err: err}
		}
		switch e := k.(type) {
		case *Rejection:
			data, err := e.data()
			if err != nil {
				return core.Result{Err: err}
			}
			return core.Result{Verdict: core.Refused, Code: e.code(), Detail: e.Detail, Body: data, Keep: e.keep}
		case *UnknownError:
			return core.Result{Verdict: core.Lost, Code: string(message.CodeOutcomeUnknown), Detail: e.Detail}
		}
	}
	return core.Result{Err: err}
}

// Result is the answer to something that a step asked: of another agent, or of
// an effect. Exactly one of Done, Rejected, NotDone and Unknown is true.
type Result[R any] struct {
	Value  R      // the reply, if Done
	Code   string // of the rejection, or why it is not done or unknown
	Detail string
	Data   json.RawMessage // of the rejection; nil if it has none

	status message.Status
}

// Done says that it took effect; Value is the reply.
func (r Result[R]) Done() bool { return r.status == message.StatusDone }

// Rejected says that the answer is no.
func (r Result[R]) Rejected() bool { return r.status == message.StatusRejected }

// NotDone says that it was given up, and certainly did not take effect.
func (r Result[R]) NotDone() bool { return r.status == message.StatusNotDone }

// Unknown says that it may have taken effect, and that nobody will ever know.
func (r Result[R]) Unknown() bool { return !r.Done() && !r.Rejected() && !r.NotDone() }

// Err is nil if it was done, and otherwise the error with which a continuation
// passes the answer on to the message that asked first: a [*Rejection] when it
// was rejected or is not done, an [*UnknownError] when it is unknown.
func (r Result[R]) Err() error {
	switch {
	case r.Done():
		return nil
	case r.Unknown():
		return OutcomeUnknown("%s", r.Detail)
	}
	no := Reject(r.Code, "%s", r.Detail)
	no.Data = r.Data
	return no
}

// resultOf reads the answer that a message brings.
func resultOf[R any](m *message.Message) (Result[R], error) {
	r := Result[R]{status: m.Answer.Status, Code: m.Answer.Code, Detail: m.Answer.Detail}
	switch {
	case r.Done():
		return r, decode(m.Body, &r.Value)
	case r.Rejected() && len(m.Body) > 0:
		r.Data = append(r.Data, m.Body...) // the continuation's own: it may keep it in its state
	}
	return r, nil
}
