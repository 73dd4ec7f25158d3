package server

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// outcomeDoc is what is recorded of a call.
type outcomeDoc struct {
	Agent       string          `json:"agent"`
	Key         string          `json:"key"`
	Principal   string          `json:"principal"`
	Action      string          `json:"action"`
	Status      string          `json:"status" enum:"done,rejected,unknown,in_flight,in_doubt,dead,not_done"`
	Reply       json.RawMessage `json:"reply,omitempty" doc:"if it is done"`
	Code        string          `json:"code,omitempty" doc:"of a rejection"`
	Detail      string          `json:"detail,omitempty"`
	Data        json.RawMessage `json:"data,omitempty" doc:"of a rejection, for programs"`
	Doubt       string          `json:"doubt,omitempty" doc:"the effect that is in doubt"`
	Dead        string          `json:"dead_letter,omitempty"`
	Fingerprint string          `json:"fingerprint" doc:"SHA-256 of the request's agent, action and canonical body, in hexadecimal"`
	FirstSeen   *time.Time      `json:"first_seen,omitempty"`
	Settled     *time.Time      `json:"settled,omitempty"`
	Attempts    int             `json:"attempts"`
	Expires     *time.Time      `json:"expires,omitempty" doc:"the earliest time at which it may be forgotten; what is not settled is not"`
}

func (d outcomeDoc) weight() int { return len(d.Reply) + len(d.Detail) }

func (s *api) outcomeDoc(name semel.AgentName, principal, key string, o semel.Outcome) outcomeDoc {
	doc := outcomeDoc{
		Agent: plainName(name), Key: key, Principal: principal, Action: o.Action, Status: o.Status.String(),
		Reply: o.Reply, Code: o.Code, Detail: o.Detail, Data: o.Data, Fingerprint: o.Fingerprint.String(),
		FirstSeen: instant(o.FirstSeen), Settled: instant(o.Settled), Attempts: o.Attempts,
	}
	switch o.Status {
	case message.StatusInDoubt:
		doc.Doubt = o.Ref.String()
	case message.StatusDead:
		doc.Dead = o.Ref.String()
	}
	if !o.Settled.IsZero() {
		doc.Expires = instant(o.Settled.Add(s.app.Retention()))
	}
	return doc
}

// outcome is GET /v1/outcomes/{type}/{id}?key=K.
func (s *api) outcome(w http.ResponseWriter, r *http.Request) {
	who, name, q := s.who(r), s.named(r), r.URL.Query()
	key, principal := q.Get("key"), q.Get("principal")
	switch {
	case key == "":
		s.refuse(w, message.CodeKeyRequired, "say which key is meant: ?key=K")
		return
	case principal == "":
		principal = who.Name
	case principal != who.Name && !who.Roles.Has(RoleRead):
		s.refuse(w, codeForbidden, "outcomes of another principal's keys need the role read")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	o, err := s.app.Outcome(ctx, name, key, semel.As(principal))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeStatus(w, http.StatusOK, s.outcomeDoc(name, principal, key, o))
}

type keysDoc struct {
	Keys []outcomeDoc `json:"keys" nullable:"false"`
	Next semel.Place  `json:"next,omitempty" doc:"the cursor of the next page; without it this is the last"`
}

// keys is GET /v1/agents/{type}/{id}/keys.
func (s *api) keys(w http.ResponseWriter, r *http.Request) {
	limit, after, err := pageOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	name := s.named(r)
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	page, next, err := collect(s.app.Outcomes(ctx, name, after), limit,
		func(e semel.OutcomeEntry) outcomeDoc { return s.outcomeDoc(name, e.Principal, e.Key, e.Outcome) },
		func(e semel.OutcomeEntry) semel.Place { return e.Place })
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeStatus(w, http.StatusOK, keysDoc{page, next})
}
