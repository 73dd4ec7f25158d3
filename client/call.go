package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// Request is a call.
type Request struct {
	Agent  string // type/id, such as account/alice
	Action string
	// Key is the idempotency key: the same for every repetition, also after a
	// crash, and another one for another call. Empty means a fresh one, a UUID
	// of version 7.
	Key string
	// Body is JSON; nil means null. A repetition must have the same one. It
	// must not be changed before the call returns.
	Body json.RawMessage
}

// Reply is what a call was answered.
type Reply struct {
	Key      string          // of the call, also if it was made for it
	Body     json.RawMessage // the recorded reply, byte for byte; nil beside an error
	Replayed bool            // the outcome was recorded before this request; also beside an error
	Attempts int             // how often it was sent
}

// Call asks for an action and waits for its outcome until ctx ends. It is sent
// as often as it takes, with the same key, see Options.Retries; as long as it
// is in flight, without limit. The error is of one of the three kinds (see the
// package documentation), and Reply.Key is set beside it. An action that takes
// effect at least once ignores keys, so that each of the attempts may run.
func (c *Client) Call(ctx context.Context, r Request) (Reply, error) {
	x, key, err := c.calling(r)
	if err != nil {
		return Reply{Key: key}, err
	}
	a, err := c.do(ctx, x)
	return x.reply(key, a, err)
}

// CallJSON is Call for a body and a reply that are Go values. A reply that does
// not fit Out is an error of the kind unknown, semel.ErrReplyMisfit: the call
// is done, and Reply.Body has what it said.
func CallJSON[Out any](ctx context.Context, c *Client, r Request, body any) (Out, Reply, error) {
	var out Out
	b, err := json.Marshal(body)
	if err != nil {
		agent, _ := parseAgent(r.Agent)
		return out, Reply{Key: r.Key}, &semel.NotDoneError{Agent: agent, Action: r.Action, Code: message.CodeInvalidRequest,
			Detail: fmt.Sprintf("the body cannot be encoded: %v", err), Cause: err}
	}
	r.Body = b
	reply, err := c.Call(ctx, r)
	if err != nil {
		return out, reply, err
	}
	if err := json.Unmarshal(reply.Body, &out); err != nil {
		agent, _ := parseAgent(r.Agent)
		return out, reply, &semel.UnknownError{Agent: agent, Action: r.Action, Code: message.CodeReplyMisfit, Cause: err,
			Detail: fmt.Sprintf("the recorded reply does not fit %T: %v", out, err)}
	}
	return out, reply, nil
}

// Effect calls a configured effect by its name. Its errors and its repetitions
// are those of Call; a rejection by the effect's provider has the code
// rejected_by_provider, and Problem.Data says what the provider answered.
func (c *Client) Effect(ctx context.Context, name, key string, body json.RawMessage) (Reply, error) {
	r := Request{Agent: effects + "/" + name, Action: run, Key: key, Body: body}
	x, key, err := c.calling(r)
	if err != nil {
		return Reply{Key: key}, err
	}
	if x.key != "" {
		x.path = "/v1/effects/" + url.PathEscape(name)
	}
	a, err := c.do(ctx, x)
	return x.reply(key, a, err)
}

// Configured effects are agents of a reserved type, each with one action.
const (
	effects = "effects"
	run     = "run"
)

// Ticket says what became of a call that was handed over.
type Ticket struct {
	Agent, Key string
	// Settled: the outcome was recorded already, and Reply has it. Otherwise
	// the call is durably accepted and goes on; Wait for it.
	Settled bool
	Reply   Reply
	Outcome string // if not settled: the path under which the server tells the outcome
}

// Submit hands a call over and returns when the server has durably accepted it.
// That is no outcome. If one is recorded under the key already, it is the
// result: a reply in the ticket, or a rejection as the error. Repetitions and
// other errors are those of Call.
func (c *Client) Submit(ctx context.Context, r Request) (Ticket, error) {
	x, key, err := c.calling(r)
	t := Ticket{Agent: r.Agent, Key: key}
	if err != nil {
		return t, err
	}
	x.prefer, x.accept = "respond-async", []int{http.StatusOK, http.StatusAccepted}
	a, err := c.do(ctx, x)
	if err == nil && a.status == http.StatusAccepted {
		var body struct {
			Outcome string `json:"outcome"`
		}
		err = x.decode(a, &body)
		t.Outcome = body.Outcome
		return t, err
	}
	t.Reply, err = x.reply(key, a, err)
	t.Settled = err == nil
	return t, err
}

// calling prepares a call, and gives it a key if it has none.
func (c *Client) calling(r Request) (*exchange, string, error) {
	x := &exchange{method: http.MethodPost, nature: repeats, waits: true, action: r.Action, body: r.Body}
	var err error
	if x.agent, err = parseAgent(r.Agent); err != nil {
		return nil, r.Key, x.refuse(message.CodeInvalidRequest, err.Error())
	}
	if err := message.CheckName("action", r.Action); err != nil {
		return nil, r.Key, x.refuse(message.CodeInvalidRequest, err.Error())
	}
	if err := message.CheckJSON(r.Body); err != nil {
		return nil, r.Key, x.refuse(message.CodeInvalidRequest, err.Error())
	}
	if r.Key == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, "", x.refuse(message.CodeInvalidRequest, "no key could be made: "+err.Error())
		}
		r.Key = id.String()
	}
	if err := message.CheckKey(r.Key); err != nil {
		return nil, r.Key, x.refuse(message.CodeKeyInvalid, err.Error())
	}
	if header, ok := headerKey(r.Key); ok {
		x.key = header
		x.path = agentPath(x.agent) + "/" + url.PathEscape(r.Action)
		return x, r.Key, nil
	}
	x.path = "/v1/calls"
	if x.body, err = json.Marshal(wireCall(r)); err != nil {
		return nil, r.Key, x.refuse(message.CodeInvalidRequest, err.Error())
	}
	return x, r.Key, nil
}

// headerKey spells a key for the header: as a string of RFC 8941, or bare if it
// is not ASCII. Some can be spelled in neither way.
func headerKey(key string) (string, bool) {
	ascii := true
	for i := range len(key) {
		ascii = ascii && key[i] >= 0x20 && key[i] <= 0x7e
	}
	if ascii {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`, true
	}
	// A space at an end is lost in a header.
	return key, key[0] != '"' && strings.TrimSpace(key) == key
}

// wireCall is the object form of a call.
type wireCall struct {
	Agent  string          `json:"agent"`
	Action string          `json:"action"`
	Key    string          `json:"key,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
}

// reply is what a call returns.
func (x *exchange) reply(key string, a answer, err error) (Reply, error) {
	r := Reply{Key: key, Attempts: a.attempts, Replayed: a.header.Get("Idempotent-Replayed") == "true"}
	if err == nil {
		r.Body = a.body
	}
	return r, err
}

// parseAgent reads type/id. The id may have slashes, the type has none.
func parseAgent(s string) (semel.AgentName, error) {
	typ, id, ok := strings.Cut(s, "/")
	if !ok {
		return semel.AgentName{}, fmt.Errorf("the agent %q is not of the form type/id", s)
	}
	a := semel.AgentName{Tenant: message.DefaultTenant, Type: typ, ID: id} // the token decides the tenant
	return a, a.Validate()
}

// agentPath is where the server has an agent.
func agentPath(a semel.AgentName) string {
	return "/v1/agents/" + url.PathEscape(a.Type) + "/" + url.PathEscape(a.ID)
}
