package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/semel-dev/semel/torture/check"
)

// send makes one request, and writes down what became of it.
func (l *loader) send(ctx context.Context, o *operation, phase, prefer string) check.Record {
	id := fmt.Sprintf("%d.%d", l.Number, l.ids.Add(1))
	body := o.body()
	req, err := l.request(ctx, o, body, prefer)
	if err != nil {
		panic(err) // all of it is of our own making
	}
	l.rec.write(o.invoke(id, phase, body))
	rec := l.exchange(o, req)
	if rec.Type == check.OK && !rec.Replayed && o.kind != check.OpRead && l.aimed.CompareAndSwap(true, false) {
		_ = l.talk.say("hit") // if nobody listens, nobody is killed
	}
	rec.ID, rec.At = id, l.rec.now()
	l.rec.write(rec)
	return rec
}

func (l *loader) request(ctx context.Context, o *operation, body []byte, prefer string) (req *http.Request, err error) {
	switch o.kind {
	case check.OpRead:
		return l.newRequest(ctx, http.MethodGet, "/v1/agents/"+o.agent, nil)
	case check.OpEffect:
		req, err = l.newRequest(ctx, http.MethodPost, "/v1/effects/"+effectName+o.policy, body)
	case check.OpTransaction:
		req, err = l.newRequest(ctx, http.MethodPost, "/v1/transactions", body)
	default:
		req, err = l.newRequest(ctx, http.MethodPost, "/v1/agents/"+o.agent+"/"+o.action, body)
	}
	if err == nil {
		req.Header.Set("Idempotency-Key", `"`+o.key+`"`)
		req.Header.Set("Prefer", prefer)
	}
	return req, err
}

func (l *loader) newRequest(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	req, err := newRequest(ctx, method, l.URL+path, body)
	if err == nil && l.Token != "" {
		req.Header.Set("Authorization", "Bearer "+l.Token)
	}
	return req, err
}

// exchange sends a request and reads its answer.
func (l *loader) exchange(o *operation, req *http.Request) check.Record {
	status, header, body, err := do(l.client, req)
	if err != nil {
		return lostReply()
	}
	if o.kind == check.OpRead && status == http.StatusNotFound {
		zero := int64(0)
		return check.Record{Type: check.OK, Status: status, Balance: &zero} // nobody has touched it yet
	}
	return answered(o, status, body, header.Get("Idempotent-Replayed") == "true", header.Get("Semel-Asked-Again") == "true")
}

var errTooLong = errors.New("the answer is too long")

// do sends a request and reads the whole answer.
func do(c *http.Client, req *http.Request) (int, http.Header, []byte, error) {
	res, err := c.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, longestBody+1))
	if err == nil && len(body) > longestBody {
		err = errTooLong
	}
	return res.StatusCode, res.Header, body, err
}
