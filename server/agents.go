package server

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// agentDoc is an agent in a listing.
type agentDoc struct {
	Agent   string `json:"agent" doc:"type/id"`
	Version uint64 `json:"version" doc:"the number of steps that changed it"`
}

type agentsDoc struct {
	Agents []agentDoc  `json:"agents" nullable:"false"`
	Next   semel.Place `json:"next,omitempty" doc:"the cursor of the next page; without it this is the last"`
}

// agents is GET /v1/agents.
func (s *api) agents(w http.ResponseWriter, r *http.Request) {
	limit, after, err := pageOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	typ := r.URL.Query().Get("type")
	if typ == "" {
		s.refuse(w, message.CodeInvalidRequest, "say whose agents are meant: ?type=account")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	list := s.app.Agents(ctx, typ, s.tenant(r), after)
	page, next, err := collect(list, limit,
		func(e semel.AgentEntry) agentDoc { return agentDoc{plainName(e.Agent), e.Version} },
		func(e semel.AgentEntry) semel.Place { return e.Place })
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeStatus(w, http.StatusOK, agentsDoc{page, next})
}

// plainName is an agent as its own tenant writes it.
func plainName(a semel.AgentName) string { return a.Type + "/" + a.ID }

// named is the agent that a path names.
func (s *api) named(r *http.Request) semel.AgentName {
	return semel.AgentName{Tenant: s.who(r).Tenant, Type: r.PathValue("type"), ID: r.PathValue("id")}
}

// stateDoc is an agent's state.
type stateDoc struct {
	Agent   string          `json:"agent"`
	State   json.RawMessage `json:"state"`
	Version uint64          `json:"version"`
}

// state is GET /v1/agents/{type}/{id}.
func (s *api) state(w http.ResponseWriter, r *http.Request) {
	name := s.named(r)
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	state, version, err := s.app.State(ctx, name)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeStatus(w, http.StatusOK, stateDoc{plainName(name), state, version})
}

// remove is DELETE /v1/agents/{type}/{id}.
func (s *api) remove(w http.ResponseWriter, r *http.Request) {
	if route := ownRoute(r.PathValue("type")); route != "" {
		s.refuse(w, codeForbidden, "what is under way would be lost; see "+route)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	if err := s.app.Delete(ctx, s.named(r)); err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
