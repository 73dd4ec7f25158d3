package server

import (
	"errors"
	"net/http"

	"github.com/semel-dev/semel/message"
)

// healthDoc says that all is well; all else is a problem document.
type healthDoc struct {
	Status string `json:"status" enum:"ok"`
}

// live is GET /livez: the process answers.
func (s *api) live(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, []byte(`{"status":"ok"}`))
}

// ready is GET /readyz: calls are taken.
func (s *api) ready(w http.ResponseWriter, _ *http.Request) {
	err := s.app.Ready()
	select {
	case <-s.Stopping:
		err = errors.New("the server is about to stop")
	default:
	}
	if err != nil {
		detail := "calls are not taken"
		if s.open() { // else this may be anybody, and the reason names the store's place
			detail += ": " + err.Error()
		}
		s.refuse(w, message.CodeClosed, detail)
		return
	}
	writeJSON(w, []byte(`{"status":"ok"}`))
}
