package semeltest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/internal/engine"
)

// KeyHeader is the header of a request that has its idempotency key.
const KeyHeader = "Idempotency-Key"

// Transport reaches the service by HTTP without a network: it is the Transport
// of the http.Client that an effect's function uses, and handler is the
// provider. A request is a call as Call makes it, with the key of its
// Idempotency-Key header and its body. An answer below 400 means that the service
// did what it was told, 4xx that it refuses, once and for all, and anything else
// that it did nothing. GET and HEAD only ask: they are probes, and handler may
// answer them by Service.Happened.
//
// The lives of a program share no handler, so what it is to remember, beyond
// what the service does, it must find in the World.
func (s *Service) Transport(handler http.Handler) http.RoundTripper {
	return &transport{s, handler}
}

type transport struct {
	service *Service
	handler http.Handler
}

// reply is an answer of the provider, which may be given more than once.
type reply struct {
	code   int
	header http.Header
	body   []byte
}

// bodyOf is a body as it is recorded: JSON as it is, anything else as a text.
func bodyOf(b []byte) any {
	if json.Valid(b) {
		return json.RawMessage(b)
	}
	return string(b)
}

// failed is a reply that is no success: it travels as an error.
type failed struct{ *reply }

func (f failed) Error() string { return fmt.Sprintf("the provider answered %d", f.code) }

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		defer req.Body.Close()
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	serve := func() *reply {
		w := httptest.NewRecorder()
		r := req.Clone(req.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
		t.handler.ServeHTTP(w, r)
		return &reply{w.Code, w.Header(), w.Body.Bytes()}
	}
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		a, err := t.service.ask(req, serve)
		if err != nil {
			return nil, err
		}
		return a.response(req), nil
	}
	a, err := send(req.Context(), t.service, request{req.Header.Get(KeyHeader), req.Method + " " + req.URL.String(), bodyOf(body)}, func() (*reply, error) {
		a := serve()
		switch {
		case a.code < 400:
			return a, nil
		case a.code < 500:
			no := semel.Reject(fmt.Sprint(a.code), "the provider refused")
			return nil, errors.Join(no, failed{a})
		}
		return nil, failed{a}
	})
	var f failed
	if errors.As(err, &f) {
		a, err = f.reply, nil
	}
	if err != nil {
		return nil, err
	}
	return a.response(req), nil
}

// ask is a request that changes nothing.
func (s *Service) ask(req *http.Request, serve func() *reply) (*reply, error) {
	run := engine.RunningIn(req.Context())
	if !s.pass(run, "before %s was probed") {
		return nil, errDown
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	a := serve()
	lost := s.asked(run)
	if !s.pass(run, "after %s was probed, before the answer was recorded") {
		return nil, errDown
	}
	if lost {
		return nil, errLost
	}
	return a, nil
}

// asked notes a request that changes nothing, and says whether its answer gets
// lost, as a probe's may.
func (s *Service) asked(run *engine.Running) (lost bool) {
	if run == nil {
		return false
	}
	l := s.world.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.effects[run.Job.Name] = true
	if !run.Job.Probe {
		return false
	}
	e := l.open(s, run, "")
	e.Probes++
	return s.losesProbe(run, e)
}

func (a *reply) response(req *http.Request) *http.Response {
	return &http.Response{
		Status: fmt.Sprintf("%d %s", a.code, http.StatusText(a.code)), StatusCode: a.code,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: a.header.Clone(),
		Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: req,
	}
}
