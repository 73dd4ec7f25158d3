package server

import (
	"context"
	"net/http"
)

// resumeRetention is POST /v1/retention/resume. It may be repeated.
func (s *api) resumeRetention(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	if err := s.app.ResumeRetention(ctx); err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
