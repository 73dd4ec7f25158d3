package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/twopc"
)

// The agent type whose agents are the configured effects, and their action.
const (
	effectsType  = "effects"
	effectAction = "run"
)

// call is POST /v1/agents/{type}/{id}/{action}. What can be wrong is looked at
// in the order of the contract: route, key, syntax, what is recorded, shape.
func (s *api) call(w http.ResponseWriter, r *http.Request) {
	s.callHeader(w, r, semel.Request{Type: r.PathValue("type"), ID: r.PathValue("id"), Action: r.PathValue("action")})
}

// callEffect is POST /v1/effects/{name}.
func (s *api) callEffect(w http.ResponseWriter, r *http.Request) {
	s.callHeader(w, r, semel.Request{Type: effectsType, ID: r.PathValue("name"), Action: effectAction})
}

// callHeader makes the call that a request asks for with its key in a header
// and its body as the call's.
func (s *api) callHeader(w http.ResponseWriter, r *http.Request, req semel.Request) {
	who := s.who(r)
	req.Tenant, req.Principal = who.Tenant, who.Name
	key, given, invalid := keyOf(r.Header)
	if invalid == nil {
		req.Key = key
	}
	info, err := s.action(r, &req)
	switch {
	case err != nil:
		s.fail(w, r, err)
		return
	case invalid != nil:
		s.refuse(w, message.CodeKeyInvalid, invalid.Error())
		return
	case !given && info.NeedsKey():
		s.refuse(w, message.CodeKeyRequired, "this action takes effect exactly once per key: send the header Idempotency-Key, with a value that a retry of this request will have again")
		return
	}
	body, code, err := s.body(w, r, s.MaxBody)
	if err != nil {
		s.refuse(w, code, err.Error())
		return
	}
	req.Body = body
	s.answerCall(w, r, req, info.Guarantee, r.Header.Get(keyHeader))
}

// action finds what a request asks for. An effect that is not configured any
// more has its old calls all the same: "unknown" would say that they were not
// done.
func (s *api) action(r *http.Request, req *semel.Request) (semel.ActionInfo, error) {
	if route := ownRoute(req.Type); route != "" {
		return semel.ActionInfo{}, &semel.NotDoneError{Code: codeForbidden, Detail: fmt.Sprintf("agents of type %q are not called by their actions; use %s", req.Type, route)}
	}
	if req.Type == effectsType && !slices.Contains(s.Effects, req.ID) {
		if known, err := s.recorded(r, req); err != nil || !known {
			return semel.ActionInfo{}, cmp.Or(err, error(&semel.NotDoneError{Code: message.CodeUnknownEffect, Detail: fmt.Sprintf("there is no effect %q in the configuration", req.ID)}))
		}
	}
	return s.app.Action(req.Type, req.Action)
}

// ownRoute is where that is done which agents of a type do that have routes of
// their own, or empty. Their actions trust whoever calls them: who may call agents
// may not settle a transaction, and nobody may in another's name.
func ownRoute(typ string) string {
	switch {
	case twopc.Reserved(typ):
		return "/v1/transactions"
	case saga.Reserved(typ):
		return "/v1/sagas"
	}
	return ""
}

// recorded says whether a request's key has an outcome, or will have one.
func (s *api) recorded(r *http.Request, req *semel.Request) (bool, error) {
	if req.Key == "" {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	_, err := s.app.Outcome(ctx, req.Agent(), req.Key, semel.As(req.Principal))
	switch {
	case errors.Is(err, semel.ErrUnknownKey), errors.Is(err, semel.ErrUnknownAgentType), errors.Is(err, semel.ErrInvalidRequest):
		return false, nil
	}
	return err == nil, err
}

// answerCall makes a call and answers with what became of it. The key is
// echoed as it came.
func (s *api) answerCall(w http.ResponseWriter, r *http.Request, req semel.Request, guarantee semel.Guarantee, echo string) {
	if echo != "" {
		w.Header().Set(keyHeader, echo)
	}
	began := time.Now()
	prefer := preferenceOf(r.Header)
	ctx, cancel := s.patience(w, r, prefer)
	defer cancel()
	var o semel.Outcome
	var err error
	if prefer.async {
		w.Header().Set("Preference-Applied", "respond-async")
		if o, err = s.app.Submit(ctx, req); err == nil && o.Status == message.StatusInFlight {
			s.metrics.observe(guarantee, outcomeLabel(nil), time.Since(began).Seconds())
			s.accepted(w, req, guarantee)
			return
		}
		if err == nil {
			err = o.Err(req.Agent(), req.Action)
		}
	} else {
		o, err = s.app.Do(ctx, req)
	}
	s.metrics.observe(guarantee, outcomeLabel(err), time.Since(began).Seconds())
	if o.Replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	if o.AskedAgain {
		w.Header().Set(askedAgainHeader, "true")
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, o.Reply)
}

// outcomeLabel is how a call's end is counted.
func outcomeLabel(err error) string {
	if err == nil {
		return "done"
	}
	return semel.KindOf(err).String()
}

// accepted answers for a call that is durably accepted: it says where its
// outcome will be, and is none.
func (s *api) accepted(w http.ResponseWriter, req semel.Request, guarantee semel.Guarantee) {
	doc := acceptedDoc{Status: message.StatusInFlight.String()}
	if req.Key != "" && guarantee != message.AtLeastOnce { // of that no outcome is recorded
		doc.Outcome = "/v1/outcomes/" + url.PathEscape(req.Type) + "/" + url.PathEscape(req.ID) + "?key=" + url.QueryEscape(req.Key)
		w.Header().Set("Location", doc.Outcome)
	}
	writeStatus(w, http.StatusAccepted, doc)
}

// acceptedDoc is the body of a 202.
type acceptedDoc struct {
	Status  string `json:"status" enum:"in_flight"`
	Outcome string `json:"outcome,omitempty" doc:"where the outcome will be; there is none for a call without a key"`
}

// body reads the request's body, or says why it is not taken.
func (s *api) body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, message.Code, error) {
	if ct := r.Header.Get("Content-Type"); ct != "" && !isJSON(ct) {
		return nil, codeUnsupportedMedia, fmt.Errorf("the body is %q; send application/json", ct)
	}
	if ce := r.Header.Get("Content-Encoding"); ce != "" && !strings.EqualFold(ce, "identity") {
		w.Header().Set("Connection", "close") // or net/http reads what of it has come
		return nil, codeUnsupportedMedia, fmt.Errorf("the body is encoded as %q; send it as it is", ce)
	}
	b, err := s.arriving.read(r.Context(), http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, message.CodeTooLarge, fmt.Errorf("the body has more than %d bytes", limit)
	case errors.Is(err, errNoRoom):
		w.Header().Set("Connection", "close")
		return nil, message.CodeOverloaded, err
	case err != nil:
		return nil, codeIncomplete, errors.New("the body did not arrive completely, or not in time; send the request again with the same key")
	}
	return b, "", nil
}

func isJSON(contentType string) bool {
	if contentType == "application/json" {
		return true // nearly always, and cheaper
	}
	t, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	return err == nil && t == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8"))
}
