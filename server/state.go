package server

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/semel-dev/semel"
)

// state is GET /v1/agents/{type}/{id}.
func (s *api) state(w http.ResponseWriter, r *http.Request) {
	name := semel.AgentName{Type: r.PathValue("type"), ID: r.PathValue("id")}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	state, version, err := s.app.State(ctx, name)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	b, err := json.Marshal(struct {
		Agent   string          `json:"agent"`
		State   json.RawMessage `json:"state"`
		Version uint64          `json:"version"`
	}{name.String(), state, version})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, b)
}
