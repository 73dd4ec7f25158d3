package server

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// deadDoc is a message that was accepted and failed for good.
type deadDoc struct {
	Dead      string          `json:"dead_letter"`
	Agent     string          `json:"agent"`
	Action    string          `json:"action"`
	Principal string          `json:"principal"`
	Key       string          `json:"key,omitempty" doc:"none for messages between agents"`
	Body      json.RawMessage `json:"body"`
	Reason    string          `json:"reason" doc:"of the last failure"`
	Attempts  int             `json:"attempts"`
	At        *time.Time      `json:"at,omitempty"`
}

func (d deadDoc) weight() int { return len(d.Body) + len(d.Reason) }

func deadDocOf(d semel.DeadLetter) deadDoc {
	return deadDoc{
		Dead: d.ID.String(), Agent: plainName(d.Agent), Action: d.Action, Principal: d.Principal, Key: d.Key,
		Body: d.Body, Reason: d.Reason, Attempts: d.Attempts, At: instant(d.At),
	}
}

type deadsDoc struct {
	Dead []deadDoc   `json:"dead_letters" nullable:"false"`
	Next semel.Place `json:"next,omitempty" doc:"the cursor of the next page; without it this is the last"`
}

// deadLetters is GET /v1/dead.
func (s *api) deadLetters(w http.ResponseWriter, r *http.Request) {
	limit, after, err := pageOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	page, next, err := collect(s.app.DeadLetters(ctx, s.tenant(r), after), limit, deadDocOf,
		func(d semel.DeadLetter) semel.Place { return d.Place })
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeStatus(w, http.StatusOK, deadsDoc{page, next})
}

// deadLetter is GET /v1/dead/{id}.
func (s *api) deadLetter(w http.ResponseWriter, r *http.Request) {
	id, ok := s.id(w, r, message.CodeUnknownDead)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	d, err := s.app.DeadLetter(ctx, id, s.tenant(r))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeStatus(w, http.StatusOK, deadDocOf(d))
}

// retryDead is POST /v1/dead/{id}/retry.
func (s *api) retryDead(w http.ResponseWriter, r *http.Request) {
	s.settleDead(w, r, s.app.RetryDead)
}

// discardDead is POST /v1/dead/{id}/discard.
func (s *api) discardDead(w http.ResponseWriter, r *http.Request) {
	id, ok := message.ParseID(r.PathValue("id"))
	if ok {
		ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
		defer cancel()
		if d, err := s.app.DeadLetter(ctx, id, s.tenant(r)); err == nil && ownRoute(d.Agent.Type) != "" {
			s.refuse(w, codeForbidden, "the message belongs to a transaction or a saga, which would wait for it for ever: mend what made it fail, and retry it")
			return
		}
	}
	s.settleDead(w, r, s.app.DiscardDead)
}

func (s *api) settleDead(w http.ResponseWriter, r *http.Request, do func(context.Context, semel.ID, ...semel.ListOption) error) {
	id, ok := s.id(w, r, message.CodeUnknownDead)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	if err := do(ctx, id, s.tenant(r)); err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
