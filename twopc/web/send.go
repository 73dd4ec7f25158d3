package web

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/semel-dev/semel/internal/outbound"
)

// Config of who is called. Its headers are secrets, and no error repeats them.
type Config struct {
	// URL of the participant, to which "/prepare" and so on is added. It has neither
	// user nor query nor fragment.
	URL string
	// Header goes with every request: an Authorization, for example.
	Header http.Header
	// AllowPrivate allows addresses that are not public: loopback, private networks,
	// a cloud's metadata. They are refused when they are connected, otherwise.
	AllowPrivate bool
	// TLS configures https; may be nil.
	TLS *tls.Config
	// Timeout of one call. The default is 30 s.
	Timeout time.Duration
	// MaxReply is the longest answer, in bytes. The default is 1 MiB.
	MaxReply int64
}

// caller makes calls: each on a connection of its own, so that it is certain whether
// anything was sent on it.
type caller struct {
	Config
	url       *url.URL
	transport *http.Transport
}

func newCaller(c Config) (*caller, error) {
	u, err := outbound.ParseURL(c.URL)
	if err == nil && (u.RawQuery != "" || u.ForceQuery) {
		err = errors.New("it has a query; send what is in it in a header")
	}
	if err != nil {
		return nil, fmt.Errorf("web: the URL: %w", err)
	}
	for _, own := range []string{"Idempotency-Key", "Host", "Content-Type", "Content-Length", "Transfer-Encoding", "Connection"} {
		if c.Header.Get(own) != "" {
			return nil, fmt.Errorf("web: the header %s is set by Semel; remove it", own)
		}
	}
	u.Path = cmp.Or(u.Path, "/") // or JoinPath makes a path that does not begin with one
	c.Timeout, c.MaxReply = cmp.Or(c.Timeout, 30*time.Second), cmp.Or(c.MaxReply, maxMessage)
	c.Header = c.Header.Clone()
	return &caller{Config: c, url: u, transport: outbound.NewTransport(c.AllowPrivate, c.TLS)}, nil
}

// notSentError says that not one byte was sent.
type notSentError struct{ cause error }

func (e *notSentError) Error() string { return "nothing was sent: " + e.cause.Error() }
func (e *notSentError) Unwrap() error { return e.cause }

// answer is a whole one.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)) }

// is says whether the answer claims to be of a media type.
func (a answer) is(want string) bool {
	t, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	return err == nil && t == want
}

// problem is the answer's problem document. Without a code it is not one of the
// contract, but of somebody on the way.
func (a answer) problem() (p problem, ok bool) {
	ok = a.is("application/problem+json") && json.Unmarshal(a.body, &p) == nil && p.Code != ""
	return p, ok
}

// send makes one call. A *notSentError is certain; any other error is not.
func (c *caller) send(ctx context.Context, method string, to *url.URL, key string, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	conn, err := c.transport.NewClientConn(ctx, to.Scheme, outbound.Address(to))
	if err == nil && ctx.Err() != nil {
		err = errors.Join(ctx.Err(), conn.Close())
	}
	if err != nil {
		return answer{}, &notSentError{fmt.Errorf("no connection to %s: %w", outbound.Address(to), err)}
	}
	defer func() { _ = conn.Close() }()
	r := &http.Request{Method: method, URL: to, Host: to.Host, Header: c.header(ctx, key), Close: true, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if body != nil {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	resp, err := conn.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return answer{}, fmt.Errorf("the request was sent, and no answer came: %w", c.lost(ctx, err))
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, c.MaxReply+1))
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("the answer was %s, and did not come completely: %w", a, c.lost(ctx, err))
	case int64(len(a.body)) > c.MaxReply:
		return answer{}, fmt.Errorf("the answer was %s, and has more than %d bytes", a, c.MaxReply)
	}
	return a, nil
}

var traceContext propagation.TraceContext

func (c *caller) header(ctx context.Context, key string) http.Header {
	h := http.Header{"User-Agent": {"semel"}, "Accept-Encoding": {"identity"}}
	for name, values := range c.Header {
		h[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	if key != "" {
		h["Idempotency-Key"], h["Content-Type"] = []string{key}, []string{"application/json"}
	}
	traceContext.Inject(ctx, propagation.HeaderCarrier(h)) // nothing, if nobody traces
	return h
}

func (c *caller) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("the call's time is over: %w", ctx.Err())
	}
	return outbound.Lost(err)
}
