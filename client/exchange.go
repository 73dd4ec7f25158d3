package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// nature says what a broken connection means for a request, and whether it may
// be sent again then.
type nature uint8

const (
	reads   nature = iota // it changes nothing: not done, and sent again
	repeats               // unknown, and sent again: a repetition does nothing more
	once                  // unknown, and not sent again
)

// exchange is a request with its answer. The request may have to be sent
// several times, so it is kept as bytes.
type exchange struct {
	method string
	path   string // escaped, with the query
	body   []byte // nil for none
	key    string // as it goes into the header; empty for none
	nature nature
	prefer string // async, or empty
	waits  bool   // the server is told how long to wait
	long   bool   // the answer may take any time
	accept []int  // the statuses of success; none means 200

	agent  semel.AgentName // for errors
	action string
}

// answer is a success.
type answer struct {
	status   int
	header   http.Header
	body     []byte
	attempts int
}

// maxAnswer bounds an answer in bytes. The largest is of a batch: 1000 replies.
const maxAnswer = 256 << 20

// do sends a request until it has an answer that is worth returning.
func (c *Client) do(ctx context.Context, x *exchange) (answer, error) {
	var h history
	for {
		a, err := c.send(ctx, x)
		a.attempts = h.attempts + 1
		if err == nil {
			return a, nil
		}
		h.add(err)
		wait, again := c.retry(ctx, x.nature, &h, err)
		switch {
		case again && sleep(ctx, wait):
		case x.nature == reads:
			return a, err // earlier attempts changed nothing either
		default:
			return a, h.result(err)
		}
	}
}

// send sends a request once.
func (c *Client) send(parent context.Context, x *exchange) (a answer, err error) {
	if err := parent.Err(); err != nil {
		return a, x.broken(parent, err, false)
	}
	wait := c.waitFor(parent)
	ctx := parent
	if !x.long {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(parent, wait+c.grace)
		defer cancel()
	}
	var asked, sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) },
	})
	req, err := c.request(ctx, x)
	if err != nil {
		return a, x.refuse(message.CodeInvalidRequest, err.Error())
	}
	if x.waits {
		prefer := "wait=" + strconv.Itoa(int(wait/time.Second))
		if x.prefer != "" {
			prefer = x.prefer + ", " + prefer
		}
		req.Header.Set("Prefer", prefer)
	}
	res, err := c.http.Do(req)
	if err != nil {
		// A transport that tells us nothing of its connections may have sent
		// anything.
		return a, x.broken(parent, err, sent.Load() || !asked.Load())
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return a, x.broken(parent, fmt.Errorf("the answer was cut off: %w", err), true)
	case len(body) > maxAnswer:
		return a, x.strange(fmt.Sprintf("the answer has more than %d bytes", maxAnswer), nil)
	}
	a = answer{status: res.StatusCode, header: res.Header, body: body}
	return a, x.check(parent, res, body)
}

// request makes the HTTP request.
func (c *Client) request(ctx context.Context, x *exchange) (*http.Request, error) {
	var body io.Reader
	if x.body != nil {
		body = bytes.NewReader(x.body)
	}
	req, err := http.NewRequestWithContext(ctx, x.method, c.base+x.path, body)
	if err != nil {
		return nil, err
	}
	if x.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if x.key != "" {
		req.Header.Set("Idempotency-Key", x.key)
	}
	if c.opt.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.opt.Token)
	}
	return req, nil
}

// waitFor is how long the server is to wait for an outcome: until shortly
// before the caller gives up, so that the caller hears that it is in flight.
func (c *Client) waitFor(ctx context.Context) time.Duration {
	wait := c.patience
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	return max(wait.Truncate(time.Second), time.Second)
}

// check says whether an answer is a success.
func (x *exchange) check(ctx context.Context, res *http.Response, body []byte) error {
	ok := res.StatusCode == http.StatusOK
	if x.accept != nil {
		ok = slices.Contains(x.accept, res.StatusCode)
	}
	if !ok {
		if res.StatusCode < 300 {
			return x.strange("the answer is "+res.Status+", which this request has not", nil)
		}
		return x.failureOf(res, body)
	}
	if res.StatusCode == http.StatusNoContent {
		return nil
	}
	t, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if t != "application/json" || !json.Valid(body) {
		return x.strange("the answer is no JSON", nil)
	}
	// Such a body ends where the connection does, however that came; a number
	// that was cut in two is JSON as well.
	if res.ProtoMajor == 1 && res.ContentLength < 0 && len(res.TransferEncoding) == 0 && !res.Uncompressed {
		return x.broken(ctx, errors.New("nothing says where the answer ends, so it may be cut off"), true)
	}
	return nil
}

// broken is the error for a connection that did not bring an answer.
func (x *exchange) broken(ctx context.Context, cause error, sent bool) error {
	if sent && x.nature != reads {
		return &semel.UnknownError{Agent: x.agent, Action: x.action, Code: CodeConnectionLost, Cause: cause,
			Detail: cause.Error() + "; it may have arrived: only the same key is safe"}
	}
	code := CodeUnreachable
	if ctx.Err() != nil {
		code = message.CodeCanceled
	}
	return &semel.NotDoneError{Agent: x.agent, Action: x.action, Code: code, Detail: cause.Error(), Cause: cause}
}

// refuse is the error for a request that is not sent.
func (x *exchange) refuse(code message.Code, detail string) error {
	return &semel.NotDoneError{Agent: x.agent, Action: x.action, Code: code, Detail: detail}
}

// decode reads the body of a success.
func (x *exchange) decode(a answer, into any) error {
	if err := json.Unmarshal(a.body, into); err != nil {
		return x.strange("the answer has another shape than this API says: "+err.Error(), errors.Unwrap(err))
	}
	return nil
}
