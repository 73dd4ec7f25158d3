package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/semel-dev/semel"
)

// A call that was accepted goes on, whatever keeps us from looking: a lookup that
// was not done must not be told as a call that was not done.
func TestWaitThatCannotLook(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		answer func() (*http.Response, error)
		cause  error
	}{
		"unreachable": {t.Context(), func() (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, io.ErrUnexpectedEOF},
		"canceled":    {canceled, nil, semel.ErrCanceled},
		"forbidden": {t.Context(), func() (*http.Response, error) {
			return respond(403, problemBody(403, "forbidden", "not_done", false)), nil
		}, nil},
		"closed": {t.Context(), func() (*http.Response, error) {
			return respond(503, problemBody(503, "closed", "not_done", true)), nil
		}, semel.ErrClosed},
		"unknown key": {t.Context(), func() (*http.Response, error) {
			return respond(404, problemBody(404, "unknown_key", "unknown", true)), nil
		}, semel.ErrUnknownKey},
		"a firewall": {t.Context(), func() (*http.Response, error) {
			return respond(404, "<html>", "Content-Type", "text/html"), nil
		}, nil},
		"another shape": {t.Context(), func() (*http.Response, error) { return respond(200, `[]`), nil }, nil},
	} {
		cl := scripted(t, Options{Retries: -1}, func(n int, _ *http.Request, _ string) (*http.Response, error) {
			if n == 1 {
				return respond(202, `{"status":"in_flight"}`), nil
			}
			return c.answer()
		})
		ticket, err := cl.Submit(t.Context(), credit("alice", "k"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = cl.Wait(c.ctx, ticket.Agent, ticket.Key)
		var cause *semel.NotDoneError
		if semel.KindOf(err) != semel.KindUnknown || !errors.Is(err, semel.ErrInFlight) || c.cause != nil && !errors.Is(err, c.cause) ||
			name != "unknown key" && !errors.As(err, &cause) {
			t.Errorf("%s: kind %v, %v", name, semel.KindOf(err), err)
		}
	}
}
