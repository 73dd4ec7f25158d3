// Package httpsink delivers the messages of an outbox to an HTTP endpoint as
// CloudEvents 1.0 in binary mode: the body as it is, the rest in headers.
//
// A receiver deduplicates by ce-source and ce-id, which a repeated delivery has in
// common, or by Idempotency-Key, which says both in one word.
package httpsink

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/semel-dev/semel/outbox"
)

// Config of an endpoint.
type Config struct {
	// URL is where messages are POSTed.
	URL string
	// Source is the CloudEvents source, a URI reference that stands for the
	// sender for all time: "/billing/outbox". With the message's id it is by
	// which receivers know a message.
	Source string
	// Type is the CloudEvents type of messages that have none. The default is
	// "semel.message".
	Type string
	// Header goes with every request: an Authorization, for example.
	Header http.Header
	// Timeout of one request. The default is 10 s.
	Timeout time.Duration
	// Parallel is how many requests are under way for one batch. The default is 8.
	Parallel int
	// Client sends. The default follows no redirects and keeps connections.
	// One that retries by itself, or follows redirects, may break the order.
	Client *http.Client
}

// New makes the sink.
func New(c Config) (outbox.Sink, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("httpsink: %q is no http or https URL", c.URL)
	case c.Source == "":
		return nil, errors.New("httpsink: a source is needed, or two senders' messages may pass for one")
	case strings.ContainsFunc(c.Source, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, fmt.Errorf("httpsink: the source %q is no URI reference", c.Source)
	}
	e := &endpoint{Config: c}
	e.Type, e.Timeout, e.Parallel = cmp.Or(c.Type, "semel.message"), cmp.Or(c.Timeout, 10*time.Second), cmp.Or(c.Parallel, 8)
	if e.Client == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 64
		e.Client = &http.Client{Transport: t}
	}
	e.Client = &http.Client{
		Transport: e.Client.Transport, Jar: e.Client.Jar, Timeout: e.Client.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return outbox.ByKey(e.Parallel, e.deliver), nil
}

type endpoint struct{ Config }

// deliver sends one message.
func (e *endpoint) deliver(ctx context.Context, m outbox.Message) outbox.Result {
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(m.Body))
	if err != nil {
		return outbox.Result{Verdict: outbox.NotDone, Err: err}
	}
	// net/http repeats a request by itself on a connection that turns out to be
	// closed, if it has an Idempotency-Key: that is at-least-once, like the rest.
	e.header(req.Header, &m)
	resp, err := e.Client.Do(req)
	if err != nil {
		return failure(err)
	}
	defer func() { _ = resp.Body.Close() }()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 512))
	if err == nil {
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection is used again
	}
	return judge(resp, said, time.Now())
}

// failure is a request without an answer.
func failure(err error) outbox.Result {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return outbox.Result{Verdict: outbox.NotDone, Err: err}
	}
	return outbox.Result{Verdict: outbox.Unknown, Err: err}
}

// judge says what an answer means for the message.
//
//   - 2xx: done.
//   - 400, 411, 413, 414, 415, 422, 431: this message is refused, whenever it
//     comes. 409 is not among them: a receiver that has the key under way says it.
//   - 429, 503: not done, later.
//   - 5xx, 408, 409, 425: unknown.
//   - All else (401, 403, 404, 410, redirects) is about the endpoint and not about
//     the message: not done, until somebody mends it.
func judge(resp *http.Response, said []byte, now time.Time) outbox.Result {
	r := outbox.Result{Err: fmt.Errorf("%s: %q", resp.Status, said), After: after(resp.Header.Get("Retry-After"), now)}
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return outbox.Result{Verdict: outbox.Done}
	case code == 400, code == 411, code == 413, code == 414, code == 415, code == 422, code == 431:
		r.Verdict = outbox.Refused
	case code == 429, code == 503:
		r.Verdict = outbox.NotDone
	case code >= 500, code == 408, code == 409, code == 425:
		r.Verdict = outbox.Unknown
	default:
		r.Verdict = outbox.NotDone
	}
	return r
}

const mostAfter = time.Hour

// after reads a Retry-After, in seconds or as a date.
func after(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, mostAfter)
	}
	if t, err := http.ParseTime(s); err == nil {
		return min(max(t.Sub(now), 0), mostAfter)
	}
	return 0
}

// Key is the Idempotency-Key of a message: the id, if that and the source are
// short and plain, else a hash of both.
func Key(source, id string) string {
	plain := func(s string) bool {
		return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
	}
	if key := source + "#" + id; len(key) <= 255 && plain(key) {
		return key
	}
	h := sha256.Sum256([]byte(strconv.Itoa(len(source)) + ":" + source + id))
	return hex.EncodeToString(h[:])
}
