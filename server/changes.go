package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

const (
	eventStream = "text/event-stream"
	// heartbeat is how often a stream says that it lives, when nothing changes.
	heartbeat = 15 * time.Second
	// eventTime is how long one event may take to be written: a reader that is
	// slower is cut off, and goes on from its last position.
	eventTime = 30 * time.Second
)

// changes is GET /v1/changes: the agents of a type that change, as server-sent
// events (WHATWG HTML, section 9.2), from a position on.
func (s *api) changes(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	typ, from := q.Get("type"), q.Get("from")
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		from = last // where a connection that broke had come to
	}
	if typ == "" {
		s.refuse(w, message.CodeInvalidRequest, "say whose agents are meant: ?type=account")
		return
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", eventStream)
		return
	}
	if s.followers.Add(1) > int64(s.Followers) {
		s.followers.Add(-1)
		s.refuse(w, message.CodeOverloaded, "too many follow changes already; try again later")
		return
	}
	defer s.followers.Add(-1)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	events := &events{to: w, control: http.NewResponseController(w)}
	end := sync.OnceFunc(events.beat(cancel, s.Stopping, func() bool { return s.still(r) }))
	defer end()
	query := semel.ChangesQuery{Tenant: s.who(r).Tenant, Type: typ, From: semel.Position(from)}
	for goOn := true; goOn; {
		goOn = false
		for c, err := range s.app.Changes(ctx, query) {
			if err != nil && c.Position != "" {
				// This agent's state cannot be read; the others' can. A reader
				// that came again would stand at the same place for ever.
				s.logFailure(r, err)
				query.From, goOn = c.Position, true
				break
			}
			if err != nil {
				end() // the answer is one thing, and written by one of us
				if !events.begun() {
					s.fail(w, r, err)
				}
				return
			}
			if events.change(c) != nil { // the reader is gone, or the stream ended: it comes again
				return
			}
		}
	}
}

// events writes a stream. The feed and the heartbeat take turns.
type events struct {
	mu      sync.Mutex
	to      http.ResponseWriter
	control *http.ResponseController
	started bool
}

func (e *events) begun() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.started
}

// write writes one event, and the header before the first.
func (e *events) write(text string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.started {
		e.started = true
		h := e.to.Header()
		h.Set("Content-Type", eventStream)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no") // nginx would hold events back
		e.to.WriteHeader(http.StatusOK)
	}
	_ = e.control.SetWriteDeadline(time.Now().Add(eventTime)) // fails only where there is none
	if _, err := e.to.Write([]byte(text)); err != nil {
		return err
	}
	return e.control.Flush()
}

// beat begins the stream soon, so that a reader knows that it stands, and keeps
// it alive. The function that it returns ends that. A stream that cannot be
// written to, that is to stop, or whose reader may not read any more, is
// canceled.
func (e *events) beat(cancel context.CancelFunc, stopping <-chan struct{}, allowed func() bool) (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() { // it waits, so that the feed need not
		defer close(ended)
		tick := time.NewTimer(heartbeat / 100)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-stopping:
				cancel()
				return
			case <-tick.C:
				if !allowed() || e.write(":\n\n") != nil {
					cancel()
					return
				}
				tick.Reset(heartbeat)
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// changeDoc is the data of an event.
type changeDoc struct {
	Agent   string          `json:"agent"`
	Version uint64          `json:"version,omitempty"`
	State   json.RawMessage `json:"state,omitempty"`
}

// change writes a change as an event.
func (e *events) change(c semel.Change) error {
	name, doc := "change", changeDoc{Agent: plainName(c.Agent), Version: c.Version, State: c.State}
	switch {
	case c.Reset:
		return e.write(fmt.Sprintf("id: %s\nevent: reset\ndata: {}\n\n", c.Position))
	case c.Deleted:
		name, doc.Version, doc.State = "deleted", 0, nil
	}
	b, err := json.Marshal(doc) // on one line, whatever the state's JSON was
	if err != nil {
		return errors.Join(errUnwritable, err)
	}
	return e.write(fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", c.Position, name, b))
}

var errUnwritable = errors.New("the change cannot be written as JSON")
