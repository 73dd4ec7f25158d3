package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// problem is a problem document (RFC 9457). It has nothing that is particular
// to one request, such as an instance or a time, because the problem of a
// recorded outcome is repeated byte for byte.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	Code      string `json:"code"`
	Kind      string `json:"kind" enum:"not_done,rejected,unknown"`
	Retryable bool   `json:"retryable"`
	Doubt     string `json:"doubt,omitempty"`       // the effect that is in doubt
	Dead      string `json:"dead_letter,omitempty"` // the dead letter
	// Data is what a rejection says to programs besides its code.
	Data json.RawMessage `json:"data,omitempty"`
}

// problemType prefixes the code. It names the problem; it is not to be fetched.
const problemType = "https://semel.dev/problems/"

// problemOf tells an error of the App. It reports whether the error has
// details that are for the log only.
func problemOf(err error) (p problem, a answer, private bool) {
	var rejection *semel.Rejection
	var notDone *semel.NotDoneError
	var unknown *semel.UnknownError
	kind := semel.KindOf(err)
	switch {
	case kind == semel.KindRejected && errors.As(err, &rejection):
		p = problem{Type: problemType + "rejected", Code: rejection.Code, Detail: rejection.Detail, Data: rejection.Data}
		return p.as(rejected, kind), rejected, false
	case kind == semel.KindNotDone && errors.As(err, &notDone):
		p, a = system(notDone.Code, kind)
		p.Detail = notDone.Detail
		if notDone.After > 0 {
			a.after = strconv.FormatInt(int64((notDone.After+time.Second-1)/time.Second), 10)
		}
		if notDone.Code == message.CodeHandlerFailed || p.Code == string(codeInternal) {
			// What a handler says in an error or a panic was not written for
			// whoever is at the other end.
			p.Detail, private = "nothing was recorded; calling again with the same key tries it again", true
		}
		if notDone.Code == message.CodeStoreUnavailable {
			// The store's own words name its place, and the rows of others.
			p.Detail, private = "the store does not answer, or cannot read what it holds; try again, and see the server's log if it lasts", true
		}
		return p, a, private
	case kind == semel.KindUnknown && errors.As(err, &unknown):
		p, a = system(unknown.Code, kind)
		p.Detail = unknown.Detail
		switch unknown.Code {
		case message.CodeInDoubt:
			p.Doubt = unknown.Ref.String()
		case message.CodeDead:
			p.Dead = unknown.Ref.String()
		}
		return p, a, false
	}
	p, a = system(codeInternal, kind)
	p.Detail = "the server's log says more"
	return p, a, true
}

// system is the problem for a code of the system's own.
func system(code message.Code, kind semel.Kind) (problem, answer) {
	a, known := answers[code]
	if !known {
		code, a = codeInternal, answers[codeInternal]
	}
	p := problem{Type: problemType + string(code), Code: string(code)}
	return p.as(a, kind), a
}

func (p problem) as(a answer, kind semel.Kind) problem {
	p.Title, p.Status, p.Kind, p.Retryable = a.title, a.status, kind.String(), a.retry
	return p
}

// refuse answers a request that did not reach the App.
func (s *api) refuse(w http.ResponseWriter, code message.Code, detail string) {
	p, a := system(code, semel.KindNotDone)
	p.Detail = detail
	write(w, p, a)
}

// fail answers with an error of the App.
func (s *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	p, a, private := problemOf(err)
	if private {
		s.logFailure(r, err)
	}
	write(w, p, a)
}

// problem is the problem document for an error of the App.
func (s *api) problem(r *http.Request, err error) problem {
	p, _, private := problemOf(err)
	if private {
		s.logFailure(r, err)
	}
	return p
}

func (s *api) logFailure(r *http.Request, err error) {
	s.Logger.ErrorContext(r.Context(), "a call failed", "method", r.Method, "path", r.URL.Path, "error", err)
}

func write(w http.ResponseWriter, p problem, a answer) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if a.after != "" {
		h.Set("Retry-After", a.after)
	}
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // our own types, with JSON that was checked
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(b) // the caller is gone; the outcome is recorded
}
