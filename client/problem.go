package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// Codes of failures that only a client has, besides those of package message
// and of the HTTP API.
const (
	// CodeUnreachable: no connection came about, or, of a request that only
	// reads, it broke. Not done.
	CodeUnreachable message.Code = "unreachable"
	// CodeConnectionLost: the connection broke, or time was over, after
	// something was sent and before the answer was complete. Unknown.
	CodeConnectionLost message.Code = "connection_lost"
	// CodeNotUnderstood: the answer is not one of this API, perhaps that of a
	// proxy. Unknown, unless the request only reads, or the status says that it
	// was refused: 401, 405, 407, 411, 413, 414, 415, 421, 429 or 431.
	CodeNotUnderstood message.Code = "not_understood"
)

// Problem is a problem document of the server (RFC 9457): why a request has no
// other answer. errors.As finds it in the errors of this package.
type Problem struct {
	Type      string          `json:"type"`
	Title     string          `json:"title"`
	Status    int             `json:"status"`
	Detail    string          `json:"detail,omitempty"`
	Code      string          `json:"code"`
	Kind      string          `json:"kind"`                  // not_done, rejected or unknown
	Retryable bool            `json:"retryable"`             // the same request, with the same key, may be answered differently later
	Doubt     string          `json:"doubt,omitempty"`       // the doubt that the call waits for
	Dead      string          `json:"dead_letter,omitempty"` // the dead letter that the call is
	Data      json.RawMessage `json:"data,omitempty"`        // what a rejection says besides, for programs

	// RetryAfter is how long the server asks to wait; zero if it does not say.
	RetryAfter time.Duration `json:"-"`
}

// Error implements error.
func (p *Problem) Error() string {
	return fmt.Sprintf("HTTP %d %s (%s)", p.Status, p.Title, p.Code)
}

// rejected is a rejection with the document that told it: a Rejection itself
// has no cause, because a handler made it.
type rejected struct {
	*semel.Rejection
	problem *Problem
}

func (r *rejected) Unwrap() []error { return []error{r.Rejection, r.problem} }

// problemError is the error for a problem document.
func problemError(agent semel.AgentName, action string, p *Problem) error {
	detail := p.Detail
	if detail == "" {
		detail = p.Title
	}
	switch p.Kind {
	case message.NotDone.String():
		return &semel.NotDoneError{Agent: agent, Action: action, Code: message.Code(p.Code), Detail: detail, After: p.RetryAfter, Cause: p}
	case message.Rejected.String():
		return &rejected{&semel.Rejection{Agent: agent, Action: action, Code: p.Code, Detail: detail, Data: p.Data}, p}
	}
	ref := p.Doubt
	if ref == "" {
		ref = p.Dead
	}
	id, _ := message.ParseID(ref)
	return &semel.UnknownError{Agent: agent, Action: action, Code: message.Code(p.Code), Detail: detail, Ref: id, Cause: p}
}

// failureOf is the error for an answer that is a failure.
func (x *exchange) failureOf(res *http.Response, body []byte) error {
	p := new(Problem)
	t, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if t == "application/problem+json" && json.Unmarshal(body, p) == nil && p.Code != "" && p.Kind != "" {
		p.Status, p.RetryAfter = res.StatusCode, retryAfter(res.Header)
		return problemError(x.agent, x.action, p)
	}
	detail := fmt.Sprintf("the answer is %s without a problem document, so it is not this server's own", res.Status)
	if to := res.Header.Get("Location"); to != "" {
		detail += fmt.Sprintf("; it points to %q, and redirects are not followed: give the URL of the server itself", to)
	}
	return x.strange(detail, &foreign{res.StatusCode, retryAfter(res.Header)})
}

// foreign is a failure that somebody between us and the server answered with.
type foreign struct {
	status int
	after  time.Duration
}

func (f *foreign) Error() string { return fmt.Sprintf("HTTP %d", f.status) }

// strange is the error for an answer that is not understood.
func (x *exchange) strange(detail string, cause error) error {
	var f *foreign
	if x.nature == reads || errors.As(cause, &f) && refusal(f.status) {
		return &semel.NotDoneError{Agent: x.agent, Action: x.action, Code: CodeNotUnderstood, Detail: detail, Cause: cause}
	}
	return &semel.UnknownError{Agent: x.agent, Action: x.action, Code: CodeNotUnderstood, Detail: detail + "; only the same key is safe", Cause: cause}
}

// refusal says whether a status alone, without a problem document of the server,
// says that a request was refused before it took effect. Only those are taken
// that nobody says of a request that was passed on and answered. A firewall may
// put its own 403, 404 or redirect in the place of the answer to a call that was
// executed; a gateway may say anything else.
func refusal(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired, http.StatusLengthRequired,
		http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusUnsupportedMediaType,
		http.StatusMisdirectedRequest, http.StatusTooManyRequests, http.StatusRequestHeaderFieldsTooLarge:
		return true
	}
	return false
}

// retryAfter reads the header Retry-After: seconds, or a date.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(time.Until(t), 0)
	}
	return 0
}
