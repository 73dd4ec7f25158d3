package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// maxBatch bounds the calls of a batch.
const maxBatch = 1000

// callDoc is a call in the body of POST /v1/calls.
type callDoc struct {
	Agent  string          `json:"agent" doc:"type/id, the id as it is" pattern:"^[^/]+/.+$"`
	Action string          `json:"action" minLength:"1"`
	Key    *string         `json:"key,omitempty" minLength:"1" maxLength:"255" doc:"the idempotency key; left out only for actions that take effect at least once"`
	Body   json.RawMessage `json:"body,omitempty" doc:"the action's body; null if it is left out"`
}

// answerDoc is what a batch says of one call.
type answerDoc struct {
	Status   int             `json:"status" doc:"as the status of the call alone would be"`
	Replayed bool            `json:"replayed" doc:"the outcome was recorded before"`
	Again    bool            `json:"asked_again,omitempty" doc:"nodes were asked more than once: what is replayed may be of this call itself"`
	Reply    json.RawMessage `json:"reply,omitempty"`
	Problem  *problem        `json:"problem,omitempty"`
}

// calls is POST /v1/calls: the object form of one call, or an array of them.
func (s *api) calls(w http.ResponseWriter, r *http.Request) {
	b, code, err := s.body(w, r, 16*s.MaxBody)
	if err != nil {
		s.refuse(w, code, err.Error())
		return
	}
	if rest := bytes.TrimLeft(b, " \t\r\n"); len(rest) > 0 && rest[0] == '[' {
		s.batch(w, r, b)
		return
	}
	if int64(len(b)) > s.MaxBody+callRoom {
		s.refuse(w, message.CodeTooLarge, fmt.Sprintf("the body has more than %d bytes", s.MaxBody+callRoom))
		return
	}
	var doc callDoc
	if err := readDocument(b, &doc); err != nil {
		s.refuse(w, message.CodeInvalidRequest, err.Error())
		return
	}
	req, info, err := s.request(r, doc)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if key, given, err := keyOf(r.Header); given && (err != nil || key != req.Key) {
		s.refuse(w, message.CodeKeyInvalid, "the key in the header is not the one in the body; send one of them")
		return
	}
	s.answerCall(w, r, req, info.Guarantee, r.Header.Get(keyHeader))
}

// callRoom is what an object form may have around its body.
const callRoom = 8 << 10

// batch makes many calls at once. Each takes effect, or not, by itself.
func (s *api) batch(w http.ResponseWriter, r *http.Request, b []byte) {
	if r.Header.Get(keyHeader) != "" {
		s.refuse(w, message.CodeKeyInvalid, "a batch has the key of each call in its body, and none in the header")
		return
	}
	docs, err := readBatch(b)
	if err != nil {
		code := message.CodeInvalidRequest
		if errors.Is(err, errLongBatch) {
			code = message.CodeTooLarge
		}
		s.refuse(w, code, err.Error())
		return
	}
	answers := make([]answerDoc, len(docs))
	requests, index, guarantees := make([]semel.Request, 0, len(docs)), make([]int, 0, len(docs)), make([]semel.Guarantee, 0, len(docs))
	began := time.Now()
	ctx, cancel := s.patience(w, r, preferenceOf(r.Header))
	defer cancel()
	asked := r.WithContext(ctx) // what is looked up first counts as waiting
	for i, doc := range docs {
		req, info, err := s.request(asked, doc)
		if err != nil {
			answers[i] = s.tell(r, semel.Answer{Err: err})
			continue
		}
		requests, index, guarantees = append(requests, req), append(index, i), append(guarantees, info.Guarantee)
	}
	for i, a := range s.app.CallAll(ctx, requests) {
		answers[index[i]] = s.tell(r, a)
		s.metrics.observe(guarantees[i], outcomeLabel(a.Err), time.Since(began).Seconds())
	}
	writeStatus(w, http.StatusOK, answers)
}

var errLongBatch = fmt.Errorf("the batch has too many calls; at most %d are allowed", maxBatch)

// readBatch reads calls one by one, so that a body of nothing but brackets costs
// no more than it weighs.
func readBatch(b []byte) (docs []callDoc, err error) {
	if err := message.CheckJSON(b); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	for d.More() {
		if len(docs) == maxBatch {
			return nil, errLongBatch
		}
		var one json.RawMessage
		if err := d.Decode(&one); err != nil {
			return nil, err
		}
		var doc callDoc
		if err := readDocument(one, &doc); err != nil {
			return nil, fmt.Errorf("call %d: %w", len(docs), err)
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

// tell makes one call's answer a document.
func (s *api) tell(r *http.Request, a semel.Answer) answerDoc {
	if a.Err == nil {
		return answerDoc{Status: http.StatusOK, Replayed: a.Replayed, Again: a.AskedAgain, Reply: a.Reply}
	}
	p := s.problem(r, a.Err)
	return answerDoc{Status: p.Status, Replayed: a.Replayed, Again: a.AskedAgain, Problem: &p}
}

// request makes the call of a document.
func (s *api) request(r *http.Request, doc callDoc) (semel.Request, semel.ActionInfo, error) {
	typ, id, ok := strings.Cut(doc.Agent, "/")
	if !ok {
		return semel.Request{}, semel.ActionInfo{}, &semel.NotDoneError{Code: message.CodeInvalidRequest, Detail: fmt.Sprintf("agent is %q; write it as type/id", doc.Agent)}
	}
	who := s.who(r)
	req := semel.Request{Tenant: who.Tenant, Principal: who.Name, Type: typ, ID: id, Action: doc.Action, Body: doc.Body}
	var invalid error
	if doc.Key != nil {
		if invalid = message.CheckKey(*doc.Key); invalid == nil {
			req.Key = *doc.Key
		}
	}
	info, err := s.action(r, &req)
	switch {
	case err != nil:
		return req, info, err
	case invalid != nil:
		return req, info, &semel.NotDoneError{Code: message.CodeKeyInvalid, Detail: invalid.Error()}
	case doc.Key == nil && info.NeedsKey():
		return req, info, &semel.NotDoneError{Code: message.CodeKeyRequired, Detail: `this action takes effect exactly once per key: give the call a "key" that its retry will have again`}
	}
	return req, info, nil
}
