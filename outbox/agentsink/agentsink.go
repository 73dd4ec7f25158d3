// Package agentsink delivers the messages of an outbox to the agents of an engine
// in the same process: each becomes a message with a key that is made of its id,
// so a repeated delivery finds what the first one did. What the engine has
// accepted is durable there, and is the engine's to finish.
package agentsink

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/outbox"
)

// Submitter is what is needed of a *semel.App.
type Submitter interface {
	SubmitAll(ctx context.Context, requests []semel.Request) []error
}

// Route says which action of which agent a message is for. Its Key is ignored. An
// error makes the message a dead letter.
type Route func(m outbox.Message) (semel.Request, error)

// ByTopic is the Route of topics like "account/debit": an agent's type and an
// action. The agent's id is the message's key, and the body is its JSON.
func ByTopic(m outbox.Message) (semel.Request, error) {
	agent, action, found := strings.Cut(m.Topic, "/")
	if !found || m.Key == "" {
		return semel.Request{}, fmt.Errorf("the topic %q is not an agent's type and an action, or there is no key for the agent's id", m.Topic)
	}
	return semel.Request{Type: agent, Action: action, ID: m.Key, Body: m.Body}, nil
}

// New makes the sink. source sets the ids of different outboxes apart; it must
// never change, or messages that are delivered again are new ones. If route is
// nil it is ByTopic.
func New(app Submitter, source string, route Route) (outbox.Sink, error) {
	if app == nil || source == "" {
		return nil, errors.New("agentsink: an App and a source are needed")
	}
	if route == nil {
		route = ByTopic
	}
	s := &sink{app, source, route}
	return outbox.SinkFunc(s.deliver), nil
}

type sink struct {
	app    Submitter
	source string
	route  Route
}

// deliver submits the first messages of all keys at once, then the second ones of
// those whose first one was accepted, and so on.
func (s *sink) deliver(ctx context.Context, messages []outbox.Message) []outbox.Result {
	results := make([]outbox.Result, len(messages))
	runs := outbox.Runs(messages)
	for len(runs) > 0 && ctx.Err() == nil {
		var requests []semel.Request
		var at []int // the message of each request
		for _, run := range runs {
			i := run[0]
			r, err := s.route(messages[i])
			if err != nil {
				results[i] = outbox.Result{Verdict: outbox.Refused, Err: err}
				continue
			}
			if r.Principal == "" {
				r.Principal = s.source
			}
			r.Key = Key(s.source, messages[i].ID)
			requests, at = append(requests, r), append(at, i)
		}
		for j, err := range s.app.SubmitAll(ctx, requests) {
			results[at[j]] = judge(err)
		}
		var rest [][2]int
		for _, run := range runs {
			if v := results[run[0]].Verdict; (v == outbox.Done || v == outbox.Refused) && run[0]+1 < run[1] {
				rest = append(rest, [2]int{run[0] + 1, run[1]})
			}
		}
		runs = rest
	}
	return results
}

// Key is the key under which a message is submitted. It carries no time: were it
// a UUIDv7 as such, an engine would refuse as expired what waited here for longer
// than the engine's retention. A relay repeats a delivery within its lease and
// its backoff, not after days.
func Key(source, id string) string {
	h := sha256.Sum256([]byte(fmt.Sprintf("%d:%s%s", len(source), source, id)))
	return "outbox-" + hex.EncodeToString(h[:16])
}

// judge says what an engine's answer means.
func judge(err error) outbox.Result {
	if err == nil {
		return outbox.Result{Verdict: outbox.Done}
	}
	r := outbox.Result{Verdict: outbox.Unknown, Err: err}
	var not *semel.NotDoneError
	if errors.As(err, &not) {
		r.After = not.After
		r.Verdict = outbox.NotDone
		if never(not.Code) {
			r.Verdict = outbox.Refused
		}
	}
	return r
}

// never says that the same message will not be taken another time either. An
// agent or an action that is not known may be, by the program's next version.
func never(code message.Code) bool {
	switch code {
	case message.CodeConflict, message.CodeInvalidRequest, message.CodeKeyInvalid, message.CodeTooLarge:
		return true
	}
	return false
}
