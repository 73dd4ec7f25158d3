package server

import (
	"net/http"
	"time"
)

// preparedDoc is prepared work that was found at a participant.
type preparedDoc struct {
	Participant string     `json:"participant"`
	Tx          string     `json:"tx"`
	Branch      string     `json:"branch"`
	Handle      string     `json:"handle,omitempty"`
	Since       *time.Time `json:"since,omitempty" doc:"by the participant's clock"`
	Decision    string     `json:"decision,omitempty" enum:"wait,commit,abort" doc:"left out if nobody here knows"`
	Resolved    bool       `json:"resolved" doc:"the participant was told, and has acknowledged"`
	Error       string     `json:"error,omitempty" doc:"why not"`
}

// sweepDoc is what a sweep found.
type sweepDoc struct {
	Prepared []preparedDoc `json:"prepared" nullable:"false"`
	Failed   string        `json:"failed,omitempty" doc:"which participants could not be asked, and why"`
}

// sweep is POST /v1/participants/sweep.
func (s *api) sweep(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := s.patience(w, r, preferenceOf(r.Header))
	defer cancel()
	found, err := s.Transactions.Sweep(ctx)
	doc := sweepDoc{Prepared: make([]preparedDoc, 0, len(found))}
	for _, o := range found {
		d := preparedDoc{
			Participant: o.Participant, Tx: o.Tx, Branch: o.Name, Handle: o.Handle, Since: instant(o.Since),
			Decision: string(o.Decision), Resolved: o.Resolved,
		}
		if o.Err != nil {
			d.Error = o.Err.Error()
		}
		doc.Prepared = append(doc.Prepared, d)
	}
	if err != nil {
		s.logFailure(r, err)
		doc.Failed = err.Error()
	}
	writeStatus(w, http.StatusOK, doc)
}
