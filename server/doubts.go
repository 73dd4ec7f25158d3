package server

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// doubtDoc is an effect that may have happened.
type doubtDoc struct {
	Doubt     string          `json:"doubt"`
	Effect    string          `json:"effect"`
	Agent     string          `json:"agent" doc:"who asked for it"`
	Principal string          `json:"principal"`
	Key       string          `json:"key" doc:"under which the outside world saw it"`
	Request   json.RawMessage `json:"request"`
	Attempts  int             `json:"attempts"`
	Asked     *time.Time      `json:"asked,omitempty"`
	Started   *time.Time      `json:"started,omitempty" doc:"when it was called last"`
	Reason    string          `json:"reason,omitempty" doc:"why the last attempt did not settle it"`
	Seen      semel.Seen      `json:"seen" doc:"when this was read: give it back with not_done"`
}

func (d doubtDoc) weight() int { return len(d.Request) + len(d.Reason) }

func doubtDocOf(e semel.PendingEffect) doubtDoc {
	return doubtDoc{
		Doubt: e.ID.String(), Effect: e.Effect, Agent: plainName(e.Agent), Principal: e.Principal, Key: e.ID.String(),
		Request: e.Request, Attempts: e.Attempts, Asked: instant(e.AskedAt), Started: instant(e.StartedAt), Reason: e.Reason,
		Seen: e.Seen,
	}
}

type doubtsDoc struct {
	Doubts []doubtDoc  `json:"doubts" nullable:"false"`
	Next   semel.Place `json:"next,omitempty" doc:"the cursor of the next page; without it this is the last"`
}

// doubts is GET /v1/doubts.
func (s *api) doubts(w http.ResponseWriter, r *http.Request) {
	limit, after, err := pageOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	page, next, err := collect(s.app.Doubts(ctx, s.tenant(r), after), limit, doubtDocOf,
		func(e semel.PendingEffect) semel.Place { return e.Place })
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeStatus(w, http.StatusOK, doubtsDoc{page, next})
}

// doubt is GET /v1/doubts/{id}.
func (s *api) doubt(w http.ResponseWriter, r *http.Request) {
	id, ok := s.id(w, r, message.CodeUnknownDoubt)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	e, err := s.app.Doubt(ctx, id, s.tenant(r))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeStatus(w, http.StatusOK, doubtDocOf(e))
}

// resolutionDoc is how a person settles a doubt.
type resolutionDoc struct {
	Resolution string          `json:"resolution" enum:"done,not_done,failed"`
	Reply      json.RawMessage `json:"reply,omitempty" doc:"with done: what the effect would have answered; null if it is left out"`
	Code       string          `json:"code,omitempty" doc:"with failed: for programs"`
	Detail     string          `json:"detail,omitempty" doc:"with failed: for people"`
	Seen       semel.Seen      `json:"seen,omitempty" doc:"with not_done: the doubt's own, as it was read before the look at the outside world"`
}

func (d resolutionDoc) resolution() (semel.Resolution, string) {
	failed := d.Code != "" || d.Detail != ""
	switch {
	case d.Resolution == "done" && !failed && d.Seen == "":
		if len(d.Reply) == 0 {
			d.Reply = json.RawMessage("null")
		}
		return semel.ResolveDone(d.Reply), ""
	case d.Resolution == "not_done" && !failed && d.Reply == nil && d.Seen != "":
		return semel.ResolveNotDone().About(semel.PendingEffect{Seen: d.Seen}), ""
	case d.Resolution == "not_done" && d.Seen == "":
		return semel.Resolution{}, "not_done needs seen: read the doubt, then look at the outside world, and give back the doubt's seen"
	case d.Resolution == "failed" && d.Reply == nil && d.Seen == "":
		return semel.ResolveFailed(d.Code, d.Detail), ""
	}
	return semel.Resolution{}, `a resolution is "done", with a reply, "not_done", with the doubt's seen, or "failed", with a code and a detail; nothing else may be in it`
}

// resolvedDoc says who settled a doubt.
type resolvedDoc struct {
	Doubt      string `json:"doubt"`
	Resolution string `json:"resolution"`
	By         string `json:"by"`
}

// resolve is POST /v1/doubts/{id}.
func (s *api) resolve(w http.ResponseWriter, r *http.Request) {
	id, ok := s.id(w, r, message.CodeUnknownDoubt)
	var doc resolutionDoc
	if !ok || !s.document(w, r, s.MaxBody, &doc) {
		return
	}
	resolution, wrong := doc.resolution()
	if wrong != "" {
		s.refuse(w, message.CodeInvalidRequest, wrong)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	by, err := s.app.Resolve(ctx, id, resolution, s.who(r).Name, s.tenant(r))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeStatus(w, http.StatusOK, resolvedDoc{id.String(), doc.Resolution, by})
}

// id is the identity in a path. It answers the request itself, and reports
// false, if that is none: then nothing has it.
func (s *api) id(w http.ResponseWriter, r *http.Request, unknown message.Code) (semel.ID, bool) {
	id, ok := message.ParseID(r.PathValue("id"))
	if !ok {
		s.refuse(w, unknown, "there is none with this id, which is 32 hexadecimal digits")
	}
	return id, ok
}
