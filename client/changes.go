package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/semel-dev/semel/message"
)

// The events of the change feed.
const (
	EventChange  = "change"  // the agent has a new state
	EventDeleted = "deleted" // the agent was deleted
	// EventReset: changes may have been missed. Read the agents once, then go on.
	EventReset = "reset"
)

// Change is an event of the change feed.
type Change struct {
	Event    string          `json:"event"`
	Position string          `json:"position,omitempty"` // to go on after this event, see ChangesFrom
	Agent    string          `json:"agent,omitempty"`
	Version  uint64          `json:"version,omitempty"`
	State    json.RawMessage `json:"state,omitempty"`
}

// Changes tells the newest durable state of each agent of a type that changes,
// from now on, until ctx ends. Several changes may come as one, and one may
// come twice; what comes later of an agent is never older, so write each over
// what you have. A connection that breaks is made again, as often in a row as
// Options.Retries says, and goes on where it was; if it broke before there was a
// position, an EventReset tells so. The sequence ends with an error that says
// why; at the end of ctx, with that of ctx as its cause.
func (c *Client) Changes(ctx context.Context, agentType string) iter.Seq2[Change, error] {
	return c.ChangesFrom(ctx, agentType, "")
}

// FromStart is the position of the oldest change that the server remembers.
const FromStart = "start"

// ChangesFrom is Changes from a position on: [FromStart], or Change.Position.
func (c *Client) ChangesFrom(ctx context.Context, agentType, position string) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		f := &feed{client: c, typ: agentType, from: position, retry: c.opt.BackoffBase}
		var h history
		for {
			connected, err := f.follow(ctx, yield)
			if errors.Is(err, errStopped) {
				return
			}
			if connected {
				h.failures = 0
			}
			wait, again := c.retry(ctx, reads, &h, err)
			if !again || !sleep(ctx, max(wait, min(f.retry, c.opt.BackoffMax))) {
				if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
					err = f.exchange().broken(ctx, ctx.Err(), false)
				}
				yield(Change{}, err)
				return
			}
			if connected && f.last == "" && f.from == "" && !yield(Change{Event: EventReset}, nil) {
				return
			}
		}
	}
}

// feed is a change feed over all of its connections.
type feed struct {
	client    *Client
	typ, from string
	last      string        // the last position that was told
	retry     time.Duration // what the server asked to wait before connecting again
}

// errStopped says that the caller has enough.
var errStopped = errors.New("stopped")

func (f *feed) exchange() *exchange {
	q := url.Values{"type": {f.typ}}
	if f.from != "" && f.last == "" {
		q.Set("from", f.from)
	}
	return reading("/v1/changes?"+q.Encode(), "follow changes of type "+f.typ)
}

// follow tells events until the connection ends, which is an error always. It
// says whether there was a connection.
func (f *feed) follow(parent context.Context, yield func(Change, error) bool) (connected bool, err error) {
	x := f.exchange()
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	// A server that is silent for longer than its comments come is gone,
	// whether or not the network says so.
	silent := fmt.Errorf("nothing came for %v", f.client.idle)
	watch := time.AfterFunc(f.client.idle, func() { cancel(silent) })
	defer watch.Stop()
	broken := func(err error) error {
		if errors.Is(context.Cause(ctx), silent) {
			err = silent
		}
		return x.broken(parent, err, true)
	}
	req, err := f.client.request(ctx, x)
	if err != nil {
		return false, x.refuse(message.CodeInvalidRequest, err.Error())
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-cache")
	if f.last != "" {
		req.Header.Set("Last-Event-ID", f.last)
	}
	res, err := f.client.http.Do(req)
	if err != nil {
		return false, broken(err)
	}
	defer res.Body.Close()
	if t, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); res.StatusCode != http.StatusOK || t != "text/event-stream" {
		if res.StatusCode == http.StatusOK {
			return false, x.strange("the answer is not a stream of events", nil)
		}
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		if err != nil {
			return false, broken(err)
		}
		return false, x.failureOf(res, body)
	}
	events := newEventReader(res.Body, func() { watch.Reset(f.client.idle) })
	events.id = f.last
	for {
		e, err := events.next()
		if err != nil {
			return true, broken(err)
		}
		change, err := f.change(e)
		if err != nil {
			return true, x.strange(err.Error(), err)
		}
		if f.last = e.id; events.retry > 0 {
			f.retry = events.retry
		}
		watch.Stop() // the caller may take its time
		if !yield(change, nil) {
			return true, errStopped
		}
		watch.Reset(f.client.idle)
	}
}

// change reads an event.
func (f *feed) change(e event) (Change, error) {
	c := Change{Event: e.name, Position: e.id}
	switch e.name {
	case EventChange, EventDeleted:
		if err := json.Unmarshal(e.data, &c); err != nil {
			return c, fmt.Errorf("an event has another shape than this API says: %w", err)
		}
		c.Event, c.Position = e.name, e.id
	}
	return c, nil // one that this client does not know yet is told as it is
}
