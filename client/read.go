package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// State is an agent's state.
type State struct {
	Agent   string          `json:"agent"`
	State   json.RawMessage `json:"state"`
	Version uint64          `json:"version"` // the number of steps that changed it
}

// AgentEntry is an agent in a listing.
type AgentEntry struct {
	Agent   string `json:"agent"`
	Version uint64 `json:"version"`
}

// Outcome is what is recorded of a call.
type Outcome struct {
	Agent       string          `json:"agent"`
	Key         string          `json:"key"`
	Principal   string          `json:"principal"`
	Action      string          `json:"action"`
	Status      string          `json:"status"`          // as semel.Status.String writes it: done, rejected, in_flight, in_doubt, dead, not_done or unknown
	Reply       json.RawMessage `json:"reply,omitempty"` // if it is done
	Code        string          `json:"code,omitempty"`
	Detail      string          `json:"detail,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
	Doubt       string          `json:"doubt,omitempty"`
	Dead        string          `json:"dead_letter,omitempty"`
	Fingerprint string          `json:"fingerprint,omitempty"` // of the request, in hexadecimal, see message.FingerprintOf
	FirstSeen   time.Time       `json:"first_seen,omitzero"`
	Settled     time.Time       `json:"settled,omitzero"`
	Attempts    int             `json:"attempts"`
	Expires     time.Time       `json:"expires,omitzero"` // when it may be forgotten, at the earliest
}

// Settled statuses are final; the others may change.
var settled = map[string]bool{
	message.StatusDone.String(): true, message.StatusRejected.String(): true, message.StatusUnknown.String(): true,
}

// IsSettled says whether the outcome is final.
func (o *Outcome) IsSettled() bool { return settled[o.Status] }

// Err is what a call under this key is told: nil if it is done, else an error
// of one of the three kinds.
func (o *Outcome) Err() error {
	agent, _ := parseAgent(o.Agent)
	unknown := func(code message.Code, detail, ref string) error {
		if o.Detail != "" {
			detail = o.Detail
		}
		id, _ := message.ParseID(ref)
		return &semel.UnknownError{Agent: agent, Action: o.Action, Code: code, Detail: detail, Ref: id}
	}
	switch o.Status {
	case message.StatusDone.String():
		return nil
	case message.StatusRejected.String():
		p := &Problem{Title: "Rejected", Status: http.StatusUnprocessableEntity, Code: o.Code, Detail: o.Detail, Kind: message.Rejected.String(), Data: o.Data}
		return &rejected{&semel.Rejection{Agent: agent, Action: o.Action, Code: o.Code, Detail: o.Detail}, p}
	case message.StatusNotDone.String():
		return &semel.NotDoneError{Agent: agent, Action: o.Action, Code: message.Code(o.Code), Detail: o.Detail}
	case message.StatusInFlight.String():
		return unknown(message.CodeInFlight, "it was accepted and goes on; ask again", "")
	case message.StatusInDoubt.String():
		return unknown(message.CodeInDoubt, "an effect of it may have happened, and waits for a person or a probe to say so", o.Doubt)
	case message.StatusDead.String():
		return unknown(message.CodeDead, "it failed too often, and waits among the dead letters", o.Dead)
	}
	return unknown(message.CodeOutcomeUnknown, "nobody can know whether it took effect, and it is not tried again", "")
}

// reading prepares a request that changes nothing.
func reading(path, what string) *exchange {
	return &exchange{method: http.MethodGet, path: path, nature: reads, action: what}
}

// State reads an agent's present state. The error is semel.ErrUnknownAgent if
// it does not exist.
func (c *Client) State(ctx context.Context, agent string) (State, error) {
	x := reading("", "read the state")
	name, err := parseAgent(agent)
	if err != nil {
		return State{}, x.refuse(message.CodeInvalidRequest, err.Error())
	}
	x.agent, x.path = name, agentPath(name)
	return get[State](ctx, c, x)
}

// Outcome looks up what is recorded of a call by its key. The error is of the kind unknown if nothing is recorded, semel.ErrExpired or semel.ErrUnknownKey:
// that is no proof that the call did not and will not take effect. Only
// repeating the call itself, with the same key, settles it.
func (c *Client) Outcome(ctx context.Context, agent, key string) (Outcome, error) {
	return c.OutcomeOf(ctx, agent, key, "")
}

// OutcomeOf is Outcome for a call of another principal. It needs the role read
// or operator. An empty principal is the caller.
func (c *Client) OutcomeOf(ctx context.Context, agent, key, principal string) (Outcome, error) {
	x := reading("", "look up an outcome")
	name, err := parseAgent(agent)
	if err != nil {
		return Outcome{}, x.refuse(message.CodeInvalidRequest, err.Error())
	}
	x.agent = name
	if err := message.CheckKey(key); err != nil {
		return Outcome{}, x.refuse(message.CodeKeyInvalid, err.Error())
	}
	q := url.Values{"key": {key}}
	if principal != "" {
		q.Set("principal", principal)
	}
	x.path = "/v1/outcomes/" + url.PathEscape(name.Type) + "/" + url.PathEscape(name.ID) + "?" + q.Encode()
	return get[Outcome](ctx, c, x)
}

// Wait waits until a call that was submitted is no longer in flight, or ctx
// ends. It returns what Call would. What is in doubt or a dead letter is not
// waited for: it may take a person.
//
// An outcome that cannot be looked up, for whatever reason, is of the kind
// unknown with the code in_flight: the call was accepted, and goes on without
// us. Its cause is the lookup's own error.
func (c *Client) Wait(ctx context.Context, agent, key string) (Reply, error) {
	for n := 1; ; n++ {
		o, err := c.Outcome(ctx, agent, key)
		r := Reply{Key: key, Attempts: n}
		if err != nil {
			return r, unseen(agent, err)
		}
		r.Replayed = o.IsSettled()
		if err = o.Err(); err == nil {
			if r.Body = o.Reply; r.Body == nil {
				r.Body = json.RawMessage("null")
			}
			return r, nil
		}
		if o.Status != message.StatusInFlight.String() {
			return r, err
		}
		if !sleep(ctx, min(c.opt.BackoffBase<<min(n-1, 10), c.opt.BackoffMax, 2*time.Second)) {
			return r, err
		}
	}
}

// unseen is the error for a call whose outcome could not be looked up. That the
// lookup was not done says nothing of the call: told as it is, it would invite
// the caller to make the call again under a new key.
func unseen(agent string, err error) error {
	name, _ := parseAgent(agent)
	return &semel.UnknownError{Agent: name, Code: message.CodeInFlight, Cause: err,
		Detail: "what became of the call could not be looked up (" + strings.TrimPrefix(err.Error(), "semel: ") + "), and it may go on: wait again, or repeat it with the same key"}
}

// Agents lists the agents of a type, in no particular order, page after page.
// It ends with an error, if there is one.
func (c *Client) Agents(ctx context.Context, agentType string) iter.Seq2[AgentEntry, error] {
	x := reading("/v1/agents", "list agents of type "+agentType)
	return pages[AgentEntry](ctx, c, x, url.Values{"type": {agentType}}, "agents")
}

// Keys lists what is recorded of an agent's calls: first what is not settled,
// then what was settled within the retention. It ends with an error, if there
// is one.
func (c *Client) Keys(ctx context.Context, agent string) iter.Seq2[Outcome, error] {
	x := reading("", "list outcomes")
	name, err := parseAgent(agent)
	if err != nil {
		return func(yield func(Outcome, error) bool) {
			yield(Outcome{}, x.refuse(message.CodeInvalidRequest, err.Error()))
		}
	}
	x.agent, x.path = name, agentPath(name)+"/keys"
	return pages[Outcome](ctx, c, x, url.Values{}, "keys")
}

// pages goes through a listing whose entries are in the member name.
func pages[T any](ctx context.Context, c *Client, x *exchange, q url.Values, name string) iter.Seq2[T, error] {
	q.Set("limit", strconv.Itoa(c.opt.PageSize))
	path := x.path + "?" + q.Encode()
	return func(yield func(T, error) bool) {
		var none T
		x := *x // the sequence may be gone through again, and by several at once
		for cursor := ""; ; {
			x.path = path
			if cursor != "" {
				x.path += "&" + url.Values{"cursor": {cursor}}.Encode()
			}
			var entries []T
			var next string
			page, err := get[map[string]json.RawMessage](ctx, c, &x)
			if err == nil {
				err = member(page[name], &entries)
			}
			if err == nil && page["next"] != nil {
				err = member(page["next"], &next)
			}
			if err == nil && next != "" && next == cursor {
				err = x.strange("the next page is the one before: the listing would never end", nil)
			}
			if err != nil {
				yield(none, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if cursor = next; cursor == "" {
				return
			}
		}
	}
}

// member reads one member of a page.
func member(b json.RawMessage, into any) error {
	if err := json.Unmarshal(b, into); err != nil {
		return &semel.NotDoneError{Code: CodeNotUnderstood, Detail: fmt.Sprintf("a page of the listing has another shape than this API says: %v", err), Cause: err}
	}
	return nil
}

// get reads an object.
func get[T any](ctx context.Context, c *Client, x *exchange) (T, error) {
	var v T
	a, err := c.do(ctx, x)
	if err == nil {
		err = x.decode(a, &v)
	}
	return v, err
}
