package webeffect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/semel-dev/semel/internal/outbound"
)

// notSentError says that not one byte of the request was sent. Only what makes
// the connection may return it.
type notSentError struct{ cause error }

func (e *notSentError) Error() string { return e.cause.Error() }

func (e *endpoint) request(method string, u *url.URL, h http.Header, body []byte) *http.Request {
	r := &http.Request{Method: method, URL: u, Host: u.Host, Header: h, Close: true, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if len(body) > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return r
}

// send makes a connection, sends the request on it, and reads the answer. The
// error is a *notSentError until the connection stands, and never after: what
// was handed to the connection may have arrived, whatever it says.
func (e *endpoint) send(ctx context.Context, r *http.Request) (answer, error) {
	to := outbound.Address(r.URL)
	conn, err := e.client.NewClientConn(ctx, r.URL.Scheme, to)
	if err != nil {
		return answer{}, &notSentError{e.noConnection(ctx, to, err)}
	}
	defer conn.Close()
	if ctx.Err() != nil {
		return answer{}, &notSentError{e.noConnection(ctx, to, ctx.Err())}
	}
	resp, err := conn.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return answer{}, fmt.Errorf("the request was sent, and no answer came: %w", e.lost(ctx, err))
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode}
	if !a.done() && !a.rejected() {
		return a, nil // its body decides nothing
	}
	if a.body, err = e.read(ctx, resp); err != nil {
		return answer{}, fmt.Errorf("the provider answered %s, and the body of its answer is not known: %w", a, err)
	}
	return a, nil
}

// read reads the body, or says why it is not known completely.
func (e *endpoint) read(ctx context.Context, resp *http.Response) ([]byte, error) {
	limit := e.spec.MaxReply
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("it has more than %d bytes; raise max_reply", limit)
	case err != nil:
		return nil, e.lost(ctx, err)
	case untilClose(resp) && isJSON(resp.Header) && !selfDelimiting(body):
		return nil, errors.New("it ends with the connection, and is not a whole JSON value: it may have been cut off")
	}
	return body, nil
}

// untilClose says that nothing but the end of the connection ends the body.
func untilClose(resp *http.Response) bool {
	return resp.ContentLength < 0 && len(resp.TransferEncoding) == 0
}

// noConnection words why no connection was made. Such errors name an address or
// a certificate, and nothing of the request.
func (e *endpoint) noConnection(ctx context.Context, to string, err error) error {
	var private *outbound.PrivateError
	switch {
	case errors.As(err, &private):
		return fmt.Errorf("no connection to %s: %w", to, private)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no connection to %s within %v", to, e.spec.Timeout)
	case ctx.Err() != nil:
		return fmt.Errorf("no connection to %s before the program ended", to)
	}
	return fmt.Errorf("no connection to %s: %w", to, err)
}

// lost words why an answer did not come, or not completely. It must not repeat
// err: net/http quotes what it cannot read, and an endpoint may echo a header
// with a secret, or the query.
func (e *endpoint) lost(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("the %v for the call were over", e.spec.Timeout)
	case ctx.Err() != nil:
		return errors.New("the program ended the call")
	}
	return outbound.Lost(err)
}
