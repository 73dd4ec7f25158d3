package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/semel-dev/semel/message"
)

// What one request of a batch may carry: a server takes 1000 calls and 16 MiB.
const (
	batchCalls = 1000
	batchBytes = 15 << 20
)

// Answer is what one call of a batch was answered.
type Answer struct {
	Reply
	Err error
}

// Batch makes many calls at once and waits for all of their outcomes, which are
// in the order of the requests. Each takes effect, or not, by itself, and is
// sent again, by itself and with its own key, as Call does. More than fits
// into one request of the API goes into several, one after the other.
func (c *Client) Batch(ctx context.Context, requests []Request) []Answer {
	answers := make([]Answer, len(requests))
	calls := make([]*batched, 0, len(requests))
	for i, r := range requests {
		x, key, err := c.calling(r)
		answers[i] = Answer{Reply{Key: key}, err}
		if err != nil {
			continue
		}
		r.Key = key
		b, err := json.Marshal(wireCall(r))
		if err != nil {
			answers[i].Err = x.refuse(message.CodeInvalidRequest, err.Error())
			continue
		}
		calls = append(calls, &batched{exchange: x, wire: b, answer: &answers[i]})
	}
	for len(calls) > 0 {
		n, size := 0, 0
		for n < len(calls) && n < batchCalls && (n == 0 || size+len(calls[n].wire) < batchBytes) {
			size += len(calls[n].wire) + 1
			n++
		}
		c.batch(ctx, calls[:n])
		calls = calls[n:]
	}
	return answers
}

// batched is one call of a batch.
type batched struct {
	*exchange
	wire    []byte
	history history
	answer  *Answer
}

// batch sends calls until each has an answer that is worth returning.
func (c *Client) batch(ctx context.Context, calls []*batched) {
	for {
		results, whole := c.sendBatch(ctx, calls)
		var rest []*batched
		var wait time.Duration
		for i, b := range calls {
			err := whole
			if whole == nil {
				err = b.take(results[i])
			}
			b.answer.Attempts++
			if b.answer.Err = err; err == nil {
				continue
			}
			b.history.add(err)
			b.answer.Err = b.history.result(err)
			if w, again := c.retry(ctx, repeats, &b.history, err); again {
				rest, wait = append(rest, b), max(wait, w)
			}
		}
		if len(rest) == 0 || !sleep(ctx, wait) {
			return
		}
		calls = rest
	}
}

// sendBatch sends calls in one request.
func (c *Client) sendBatch(ctx context.Context, calls []*batched) ([]result, error) {
	x := &exchange{method: http.MethodPost, path: "/v1/calls", nature: repeats, waits: true, action: "batch"}
	x.body = append(x.body, '[')
	for i, b := range calls {
		if i > 0 {
			x.body = append(x.body, ',')
		}
		x.body = append(x.body, b.wire...)
	}
	x.body = append(x.body, ']')
	a, err := c.send(ctx, x)
	if err != nil {
		return nil, err
	}
	var results []result
	if err := x.decode(a, &results); err != nil {
		return nil, err
	}
	if len(results) != len(calls) {
		return nil, x.strange("the answer has not as many results as the batch has calls", nil)
	}
	return results, nil
}

// result is the answer to one call of a batch.
type result struct {
	Status   int             `json:"status"`
	Replayed bool            `json:"replayed"`
	Reply    json.RawMessage `json:"reply"`
	Problem  *Problem        `json:"problem"`
}

// take notes the answer to one call, and returns its failure.
func (b *batched) take(r result) error {
	b.answer.Replayed = r.Replayed
	switch {
	case r.Status == http.StatusOK && r.Problem == nil && r.Reply != nil:
		b.answer.Body = r.Reply
		return nil
	case r.Problem != nil && r.Problem.Code != "" && r.Problem.Kind != "":
		r.Problem.Status = r.Status
		return problemError(b.agent, b.action, r.Problem)
	}
	return b.strange("the result is neither a reply nor a problem", nil)
}
