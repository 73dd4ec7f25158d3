package webeffect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/propagation"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/internal/outbound"
)

// endpoint is one configured effect. It is only read once it is made.
type endpoint struct {
	spec   Spec
	url    *url.URL
	header http.Header
	client *http.Transport
}

func newEndpoint(spec Spec, opts *Options) (*endpoint, error) {
	u, err := outbound.ParseURL(spec.URL)
	if err != nil {
		return nil, err
	}
	e := &endpoint{spec: spec, url: u, header: make(http.Header), client: outbound.NewTransport(spec.AllowPrivate, opts.TLS)}
	e.header.Set("User-Agent", "semel")
	e.header.Set("Accept-Encoding", "identity")
	for name, value := range spec.Headers {
		e.header.Set(name, value)
	}
	return e, nil
}

// traceContext carries the trace that a call belongs to over to the provider.
var traceContext propagation.TraceContext

// call is the effect: it sends the request, once, and says what became of it.
func (e *endpoint) call(ctx context.Context, c semel.EffectCall, body json.RawMessage) (json.RawMessage, error) {
	if string(body) == "null" {
		body = nil // no body and null are the same call, and must send the same
	}
	h := e.header.Clone()
	h["Idempotency-Key"] = []string{c.Key}
	if len(body) > 0 && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	traceContext.Inject(ctx, propagation.HeaderCarrier(h)) // nothing, if nobody traces
	a, err := e.send(ctx, e.request(e.spec.Method, e.url, h, body))
	var notSent *notSentError
	switch {
	case errors.As(err, &notSent):
		return nil, semel.NotDone(notSent)
	case err != nil:
		return nil, err
	case a.done():
		return asJSON(a.body), nil
	case a.rejected() && !(e.spec.Policy == policyKeyed && c.Attempt > 1 && a.keyless()):
		return nil, semel.Reject(CodeRejected, "the provider answered %s", a).With(refusal(a.status, a.body))
	}
	return nil, a.unclear()
}

// probe asks whether the call was done. Whatever is no clear answer must be an
// ordinary error, that nobody could tell: NotDone would say that the call was
// not done, and have it made again.
func (e *endpoint) probe(ctx context.Context, c semel.EffectCall, _ json.RawMessage) (json.RawMessage, error) {
	u, err := outbound.ParseURL(strings.ReplaceAll(e.spec.ProbeURL, keyPlaceholder, url.QueryEscape(c.Key)))
	if err != nil {
		return nil, fmt.Errorf("the probe's URL cannot be made: %w", err)
	}
	h := e.header.Clone()
	traceContext.Inject(ctx, propagation.HeaderCarrier(h))
	a, err := e.send(ctx, e.request(http.MethodGet, u, h, nil))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the probe could not tell: %w", err)
	case a.status == http.StatusOK:
		return asJSON(a.body), nil
	case a.status == http.StatusNotFound:
		return nil, semel.NotDone(errors.New("the probe was answered 404 Not Found: the provider does not know the call"))
	}
	return nil, fmt.Errorf("the probe could not tell: the provider answered %s to it", a)
}

// answer is what the endpoint said, completely.
type answer struct {
	status int
	body   []byte // of those that are done or rejected
}

func (a answer) String() string {
	if text := http.StatusText(a.status); text != "" {
		return fmt.Sprintf("%d %s", a.status, text)
	}
	return fmt.Sprint(a.status)
}

func (a answer) done() bool { return a.status >= 200 && a.status <= 299 }

// rejected says that the answer is a decided no. The four others of the class
// are about time, not about the request: the call may have had its effect, or
// another one with its key may be under way.
func (a answer) rejected() bool {
	switch a.status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return a.status >= 400 && a.status <= 499
}

// keyless says that the answer may be one that a front door gives without looking
// at the key: the token has expired, a firewall or a deployment is in the way.
// About the first attempt it is a decided no all the same, since nothing else was
// sent. After an earlier one, which may have taken effect, it tells nothing of
// that one; what the provider decided under the same key does.
func (a answer) keyless() bool {
	switch a.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusProxyAuthRequired:
		return true
	}
	return false
}

// unclear is the error for an answer that does not tell whether the call had its
// effect. It repeats nothing that the endpoint wrote, which may repeat what we
// sent.
func (a answer) unclear() error {
	if a.status >= 300 && a.status <= 399 {
		return fmt.Errorf("the provider answered %s; redirects are not followed: set url to where it points", a)
	}
	return fmt.Errorf("the provider answered %s, which does not tell whether the call took effect", a)
}
