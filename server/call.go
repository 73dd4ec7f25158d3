package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// call is POST /v1/agents/{type}/{id}/{action}. What can be wrong is looked at
// in the order of the contract: route, key, syntax, what is recorded, shape.
func (s *api) call(w http.ResponseWriter, r *http.Request) {
	req := semel.Request{Type: r.PathValue("type"), ID: r.PathValue("id"), Action: r.PathValue("action")}
	info, err := s.app.Action(req.Type, req.Action)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	key, given, err := keyOf(r.Header)
	switch {
	case err != nil:
		s.refuse(w, message.CodeKeyInvalid, err.Error())
		return
	case given:
		req.Key = key
		w.Header().Set(keyHeader, r.Header.Get(keyHeader))
	case info.NeedsKey():
		s.refuse(w, message.CodeKeyRequired, "this action takes effect exactly once per key: send the header Idempotency-Key, with a value that a retry of this request will have again")
		return
	}
	body, code, err := s.body(w, r)
	if err != nil {
		s.refuse(w, code, err.Error())
		return
	}
	req.Body = body
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	o, err := s.app.Do(ctx, req)
	if o.Replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, o.Reply)
}

// body reads the request's body, or says why it is not taken.
func (s *api) body(w http.ResponseWriter, r *http.Request) ([]byte, message.Code, error) {
	if ct := r.Header.Get("Content-Type"); ct != "" && !isJSON(ct) {
		return nil, codeUnsupportedMedia, fmt.Errorf("the body is %q; send application/json", ct)
	}
	if ce := r.Header.Get("Content-Encoding"); ce != "" && !strings.EqualFold(ce, "identity") {
		return nil, codeUnsupportedMedia, fmt.Errorf("the body is encoded as %q; send it as it is", ce)
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, message.CodeTooLarge, fmt.Errorf("the body has more than %d bytes", s.MaxBody)
	case err != nil:
		return nil, codeIncomplete, errors.New("the body did not arrive completely, or not in time; send the request again with the same key")
	}
	return b, "", nil
}

func isJSON(contentType string) bool {
	t, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	return err == nil && t == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8"))
}

func writeJSON(w http.ResponseWriter, b []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(b) // the caller is gone; the outcome is recorded
}
