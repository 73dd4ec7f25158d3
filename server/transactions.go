package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/twopc"
)

// transactionDoc asks for a transaction: all of its participants, or none.
type transactionDoc struct {
	Participants []participantDoc `json:"participants" minItems:"1" maxItems:"100" nullable:"false"`
	Timeout      string           `json:"timeout,omitempty" doc:"until it is decided, as in 30s, 10ms to 24h; the server's own if it is left out" example:"30s"`
}

// participantDoc is an agent with an action, or a participant outside.
type participantDoc struct {
	Agent       string          `json:"agent,omitempty" doc:"type/id, the id as it is" pattern:"^[^/]+/.+$"`
	Action      string          `json:"action,omitempty" doc:"of the agent"`
	Participant string          `json:"participant,omitempty" doc:"or the name of a participant that is configured"`
	Body        json.RawMessage `json:"body,omitempty" doc:"null if it is left out"`
}

// part is the participant as the coordinator takes it.
func (s *api) part(d participantDoc) (twopc.Part, error) {
	typ, id, ok := strings.Cut(d.Agent, "/")
	switch {
	case d.Participant != "" && d.Agent == "" && d.Action == "":
		return s.Transactions.With(d.Participant, orNull(d.Body)), nil
	case ownRoute(typ) != "":
		return twopc.Part{}, fmt.Errorf("agents of type %q take no part in transactions", typ)
	case d.Participant == "" && ok && d.Action != "":
		return twopc.Act(typ, id, d.Action, d.Body), nil
	case d.Participant == "" && d.Agent != "" && !ok:
		return twopc.Part{}, fmt.Errorf("agent is %q; write it as type/id", d.Agent)
	}
	return twopc.Part{}, errors.New("a participant has an agent and an action, or the name of a participant that is configured")
}

func orNull(b json.RawMessage) json.RawMessage {
	if len(b) == 0 {
		return json.RawMessage("null")
	}
	return b
}

// transact is POST /v1/transactions.
func (s *api) transact(w http.ResponseWriter, r *http.Request) {
	key, given, err := keyOf(r.Header)
	switch {
	case err != nil:
		s.refuse(w, message.CodeKeyInvalid, err.Error())
		return
	case !given:
		s.refuse(w, message.CodeKeyRequired, "a transaction takes effect exactly once per key: send the header Idempotency-Key, with a value that a retry of this request will have again")
		return
	}
	var doc transactionDoc
	if !s.document(w, r, s.MaxBody, &doc) {
		return
	}
	who := s.who(r)
	opts := []twopc.Option{twopc.Tenant(who.Tenant), twopc.As(who.Name)}
	if doc.Timeout != "" {
		d, err := time.ParseDuration(doc.Timeout)
		if err != nil || d <= 0 {
			s.refuse(w, message.CodeInvalidRequest, fmt.Sprintf("timeout is %q; write it as in 30s", doc.Timeout))
			return
		}
		opts = append(opts, twopc.Within(d))
	}
	var parts []twopc.Part
	for i, p := range doc.Participants {
		part, err := s.part(p)
		if err != nil {
			s.refuse(w, message.CodeInvalidRequest, fmt.Sprintf("participants[%d]: %v", i, err))
			return
		}
		parts = append(parts, part)
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	req, err := s.Transactions.Request(ctx, key, parts, opts...)
	if err == nil {
		err = s.participantsAre(r, &doc, req)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.answerCall(w, r, req, message.ExactlyOnce, r.Header.Get(keyHeader))
}

// participantsAre looks whether there are all actions that a transaction asks for:
// as a vote, "unknown" would be recorded under the key. What is recorded already
// is answered as it is, also if there is such an action no more.
func (s *api) participantsAre(r *http.Request, doc *transactionDoc, req semel.Request) error {
	for i, p := range doc.Participants {
		typ, _, agent := strings.Cut(p.Agent, "/")
		if !agent {
			continue
		}
		_, err := s.app.Action(typ, p.Action)
		if err == nil {
			continue
		}
		if known, failed := s.recorded(r, &req); failed != nil || known {
			return failed
		}
		var no *semel.NotDoneError
		if errors.As(err, &no) {
			return &semel.NotDoneError{Action: no.Action, Code: no.Code, Detail: fmt.Sprintf("participants[%d]: %s", i, no.Detail), Cause: err}
		}
		return err
	}
	return nil
}

// transactionsDoc is a page of transactions.
type transactionsDoc struct {
	Transactions []twopc.Info `json:"transactions" nullable:"false"`
	Next         semel.Place  `json:"next,omitempty" doc:"the cursor of the next page; without it this is the last"`
}

// transactionStates are what a listing can be bound to.
var transactionStates = []string{string(twopc.Undecided), string(twopc.Committed), string(twopc.Aborted), string(twopc.Unclear), "in_doubt"}

// keyOfQuery is the key that a query asks for, and whose it is. It answers the
// request itself, and reports false, if that is nothing the caller may ask for.
func (s *api) keyOfQuery(w http.ResponseWriter, r *http.Request) (key, principal string, ok bool) {
	q, who := r.URL.Query(), s.who(r)
	if key, principal = q.Get("key"), q.Get("principal"); principal == "" {
		principal = who.Name
	}
	if err := message.CheckKey(key); err != nil {
		s.refuse(w, message.CodeKeyInvalid, err.Error())
		return "", "", false
	}
	if q.Get("cursor") != "" {
		s.refuse(w, message.CodeInvalidRequest, "of a key there is one, which has no next page: leave the cursor out")
		return "", "", false
	}
	if principal != who.Name && !who.Roles.Has(RoleRead) {
		s.refuse(w, codeForbidden, "what was asked for under another principal's keys needs the role read")
		return "", "", false
	}
	return key, principal, true
}

// transactions is GET /v1/transactions.
func (s *api) transactions(w http.ResponseWriter, r *http.Request) {
	limit, _, err := pageOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	q, who := r.URL.Query(), s.who(r)
	only := q.Get("state")
	switch {
	case only != "" && !slices.Contains(transactionStates, only):
		s.refuse(w, message.CodeInvalidRequest, fmt.Sprintf("state is %q; the states are %s", only, strings.Join(transactionStates, ", ")))
		return
	case q.Has("key") || q.Has("principal"):
		if key, principal, ok := s.keyOfQuery(w, r); ok {
			info, err := s.Transactions.Find(ctx, key, twopc.Tenant(who.Tenant), twopc.As(principal))
			if err != nil {
				s.failTransaction(w, r, err)
				return
			}
			writeStatus(w, http.StatusOK, transactionsDoc{Transactions: []twopc.Info{info}})
		}
		return
	case !who.Roles.Has(RoleRead):
		s.refuse(w, codeForbidden, "to list transactions needs the role read; ?key=K finds one of the caller's own")
		return
	}
	all := s.Transactions.List(ctx, semel.Place(r.URL.Query().Get("cursor")), twopc.Tenant(who.Tenant))
	page, next, err := collect(chosen(all, func(e twopc.Entry) bool {
		return only == "" || only == string(e.State) || only == "in_doubt" && e.InDoubt()
	}), limit, func(e twopc.Entry) twopc.Info { return e.Info }, func(e twopc.Entry) semel.Place { return e.Place })
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeStatus(w, http.StatusOK, transactionsDoc{page, next})
}

// transaction is GET /v1/transactions/{tx}.
func (s *api) transaction(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	who := s.who(r)
	info, err := s.Transactions.Get(ctx, r.PathValue("tx"), twopc.Tenant(who.Tenant))
	if err != nil {
		s.failTransaction(w, r, err)
		return
	}
	if info.Principal != who.Name && !who.Roles.Has(RoleRead) {
		s.failTransaction(w, r, semel.ErrUnknownAgent) // as if it had never been
		return
	}
	writeStatus(w, http.StatusOK, info)
}

// decisionDoc is what a participant hears that asks.
type decisionDoc struct {
	Decision twopc.Decision `json:"decision" enum:"wait,commit,abort"`
}

// decision is GET /v1/transactions/{tx}/decision?branch=NAME&handle=HANDLE. That
// it makes an abort durable, of a transaction that nobody knows, changes nothing
// for anybody else.
func (s *api) decision(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	q := r.URL.Query()
	if !twopc.Owns(r.PathValue("tx"), twopc.Tenant(s.who(r).Tenant)) {
		s.failTransaction(w, r, twopc.ErrForeign)
		return
	}
	d, err := s.Transactions.Decision(ctx, twopc.Prepared{Tx: r.PathValue("tx"), Name: q.Get("branch"), Handle: q.Get("handle")})
	if err != nil {
		s.failTransaction(w, r, err)
		return
	}
	writeStatus(w, http.StatusOK, decisionDoc{d})
}

// settlementDoc is how an operator ends a branch that cannot end by itself.
type settlementDoc struct {
	Branch string `json:"branch" minLength:"1" doc:"its name in the transaction"`
	Why    string `json:"why" minLength:"1" doc:"what was found out, and done, at the participant"`
}

// settleBranch is POST /v1/transactions/{tx}/resolve.
func (s *api) settleBranch(w http.ResponseWriter, r *http.Request) {
	var doc settlementDoc
	if !s.document(w, r, s.MaxBody, &doc) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	who := s.who(r)
	if err := s.Transactions.Resolve(ctx, r.PathValue("tx"), doc.Branch, who.Name, doc.Why, twopc.Tenant(who.Tenant)); err != nil {
		s.failTransaction(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// failTransaction answers for a transaction that is not there.
func (s *api) failTransaction(w http.ResponseWriter, r *http.Request, err error) {
	var no *semel.Rejection
	if errors.Is(err, semel.ErrUnknownAgent) || errors.Is(err, twopc.ErrForeign) || errors.As(err, &no) && no.Code == twopc.CodeUnknown {
		s.refuse(w, codeUnknownTransaction, "nothing is known of this transaction: it never was, all were told of it long ago, or it is another store's")
		return
	}
	s.fail(w, r, err)
}
