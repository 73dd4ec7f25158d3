package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/saga"
)

// sagaHeader says, of a saga that is started, its id.
const sagaHeader = "Semel-Saga"

// startSaga is POST /v1/sagas/{saga}: the name of a definition. It is a call, of
// the saga: its outcome is how the saga ends.
func (s *api) startSaga(w http.ResponseWriter, r *http.Request) {
	key, given, err := keyOf(r.Header)
	switch {
	case err != nil:
		s.refuse(w, message.CodeKeyInvalid, err.Error())
		return
	case !given:
		s.refuse(w, message.CodeKeyRequired, "a saga is started exactly once per key: send the header Idempotency-Key, with a value that a retry of this request will have again")
		return
	}
	body, code, err := s.body(w, r, s.MaxBody)
	if err == nil {
		code, err = message.CodeInvalidRequest, message.CheckJSON(body)
	}
	if err != nil {
		s.refuse(w, code, err.Error())
		return
	}
	who := s.who(r)
	req, id, err := s.Sagas.Request(r.PathValue("saga"), key, body, semel.Tenant(who.Tenant), semel.As(who.Name))
	if err != nil {
		s.failSaga(w, r, err)
		return
	}
	w.Header().Set(sagaHeader, id)
	s.answerCall(w, r, req, message.ExactlyOnce, r.Header.Get(keyHeader))
}

// definitionDoc is a saga that can be started.
type definitionDoc struct {
	Name     string   `json:"name"`
	Versions []int    `json:"versions" nullable:"false" doc:"new sagas begin with the last"`
	Steps    []string `json:"steps" nullable:"false" doc:"of the last version"`
}

type sagasDoc struct {
	Sagas       []saga.View     `json:"sagas" nullable:"false"`
	Definitions []definitionDoc `json:"definitions,omitempty" doc:"without a name: what can be started"`
	Next        semel.Place     `json:"next,omitempty" doc:"the cursor of the next page; without it this is the last"`
}

// sagas is GET /v1/sagas?name=NAME.
func (s *api) sagas(w http.ResponseWriter, r *http.Request) {
	limit, after, err := pageOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	q, who := r.URL.Query(), s.who(r)
	name := q.Get("name")
	switch {
	case name == "" && (q.Has("key") || q.Has("principal")):
		if _, _, ok := s.keyOfQuery(w, r); ok {
			s.refuse(w, message.CodeInvalidRequest, "a key is of a definition: ?name=NAME&key=K")
		}
		return
	case name == "":
		doc := sagasDoc{Sagas: []saga.View{}}
		for _, d := range s.Sagas.Definitions() {
			doc.Definitions = append(doc.Definitions, definitionDoc{d.Name, d.Versions, d.Steps})
		}
		writeStatus(w, http.StatusOK, doc)
		return
	}
	var phases []saga.Phase
	for _, p := range q["phase"] {
		if !slices.Contains(saga.Phases, saga.Phase(p)) {
			s.refuse(w, message.CodeInvalidRequest, fmt.Sprintf("phase is %q; the phases are %v", p, saga.Phases))
			return
		}
		phases = append(phases, saga.Phase(p))
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	switch {
	case q.Has("key") || q.Has("principal"):
		s.sagaOfKey(ctx, w, r, name)
		return
	case !who.Roles.Has(RoleRead):
		s.refuse(w, codeForbidden, "to list sagas needs the role read; ?name=NAME&key=K finds one of the caller's own")
		return
	}
	page, next, err := collect(s.Sagas.List(ctx, name, phases, semel.Tenant(who.Tenant), after), limit,
		func(e saga.Entry) saga.View { return e.View }, func(e saga.Entry) semel.Place { return e.Place })
	if err != nil {
		s.failSaga(w, r, err)
		return
	}
	writeStatus(w, http.StatusOK, sagasDoc{Sagas: page, Next: next})
}

// sagaOfKey answers with the saga of a definition that was started with a key.
func (s *api) sagaOfKey(ctx context.Context, w http.ResponseWriter, r *http.Request, name string) {
	key, principal, ok := s.keyOfQuery(w, r)
	if !ok {
		return
	}
	of := semel.Tenant(s.who(r).Tenant)
	var v saga.View
	_, id, err := s.Sagas.Request(name, key, nil, of, semel.As(principal))
	if err == nil {
		v, err = s.Sagas.Get(ctx, id, of)
	}
	if err != nil {
		s.failSaga(w, r, err)
		return
	}
	writeStatus(w, http.StatusOK, sagasDoc{Sagas: []saga.View{v}})
}

// saga is GET /v1/sagas/{saga}: the id of a saga.
func (s *api) saga(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	v, err := s.Sagas.Get(ctx, r.PathValue("saga"), semel.Tenant(s.who(r).Tenant))
	if err == nil {
		err = s.mayKnow(r, RoleRead, v)
	}
	if err != nil {
		s.failSaga(w, r, err)
		return
	}
	writeStatus(w, http.StatusOK, v)
}

// mayKnow says whether somebody without the role may know of a saga: who started it
// may. Ids are no secrets, because they are made of what names are made of.
func (s *api) mayKnow(r *http.Request, role Roles, v saga.View) error {
	if who := s.who(r); v.Principal == who.Name || who.Roles.Has(role) {
		return nil
	}
	return &semel.NotDoneError{Code: message.CodeUnknownAgent, Detail: fmt.Sprintf("there is no saga %q: it was never started, or was forgotten after its end", v.ID)}
}

// whyDoc is why somebody gives an order.
type whyDoc struct {
	Why string `json:"why,omitempty"`
}

// phaseDoc is where a saga stands after an order.
type phaseDoc struct {
	Phase saga.Phase `json:"phase"`
}

// cancelSaga is POST /v1/sagas/{saga}/cancel.
func (s *api) cancelSaga(w http.ResponseWriter, r *http.Request) {
	var doc whyDoc
	if !s.document(w, r, s.MaxBody, &doc) {
		return
	}
	s.order(w, r, func(ctx context.Context, id, who string, tenant semel.CallOption) (saga.Phase, error) {
		v, err := s.Sagas.Get(ctx, id, tenant)
		if err == nil {
			err = s.mayKnow(r, RoleOperator, v)
		}
		if err != nil {
			return "", err
		}
		return s.Sagas.Cancel(ctx, id, who, doc.Why, tenant)
	})
}

// resumeSaga is POST /v1/sagas/{saga}/resume.
func (s *api) resumeSaga(w http.ResponseWriter, r *http.Request) {
	s.order(w, r, func(ctx context.Context, id, who string, tenant semel.CallOption) (saga.Phase, error) {
		return s.Sagas.Resume(ctx, id, who, tenant)
	})
}

// stepDoc is what somebody says of a step at which a saga is parked.
type stepDoc struct {
	Step  string          `json:"step" minLength:"1"`
	Fact  saga.Fact       `json:"fact" enum:"happened,did_not_happen" doc:"happened also means: it was done by hand"`
	Why   string          `json:"why,omitempty"`
	Reply json.RawMessage `json:"reply,omitempty" doc:"of what happened, if the saga's state needs it"`
}

// settleStep is POST /v1/sagas/{saga}/settle.
func (s *api) settleStep(w http.ResponseWriter, r *http.Request) {
	var doc stepDoc
	if !s.document(w, r, s.MaxBody, &doc) {
		return
	}
	s.order(w, r, func(ctx context.Context, id, who string, tenant semel.CallOption) (saga.Phase, error) {
		return s.Sagas.Settle(ctx, id, saga.Settlement{Step: doc.Step, Fact: doc.Fact, Who: who, Why: doc.Why, Reply: doc.Reply}, tenant)
	})
}

// order carries out what somebody wants of a saga.
func (s *api) order(w http.ResponseWriter, r *http.Request, do func(ctx context.Context, id, who string, tenant semel.CallOption) (saga.Phase, error)) {
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	who := s.who(r)
	phase, err := do(ctx, r.PathValue("saga"), who.Name, semel.Tenant(who.Tenant))
	if err != nil {
		s.failSaga(w, r, err)
		return
	}
	writeStatus(w, http.StatusOK, phaseDoc{phase})
}

// failSaga answers for a saga, or a definition, that is not there.
func (s *api) failSaga(w http.ResponseWriter, r *http.Request, err error) {
	var no *semel.NotDoneError
	if errors.As(err, &no) && (no.Code == message.CodeUnknownAgent || no.Code == message.CodeUnknownAgentType) {
		s.refuse(w, codeUnknownSaga, no.Detail)
		return
	}
	s.fail(w, r, err)
}
