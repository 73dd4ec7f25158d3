package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// Doubt is an effect that may have happened.
type Doubt struct {
	ID        string          `json:"doubt"`
	Effect    string          `json:"effect"`
	Agent     string          `json:"agent"` // who asked
	Principal string          `json:"principal"`
	Key       string          `json:"key"` // of the effect, as the outside world knows it
	Request   json.RawMessage `json:"request"`
	Attempts  int             `json:"attempts"`
	Asked     time.Time       `json:"asked"`
	Started   time.Time       `json:"started,omitzero"`
	Reason    string          `json:"reason,omitempty"`
	Seen      semel.Seen      `json:"seen"` // when this was read, for About
}

// DeadLetter is a message that was accepted and failed for good.
type DeadLetter struct {
	ID        string          `json:"dead_letter"`
	Agent     string          `json:"agent"`
	Action    string          `json:"action"`
	Principal string          `json:"principal"`
	Key       string          `json:"key,omitempty"` // empty for messages between agents
	Body      json.RawMessage `json:"body"`
	Reason    string          `json:"reason"`
	Attempts  int             `json:"attempts"`
	At        time.Time       `json:"at"`
}

// Doubts lists the effects that are in doubt. It ends with an error, if there
// is one.
func (c *Client) Doubts(ctx context.Context) iter.Seq2[Doubt, error] {
	return pages[Doubt](ctx, c, reading("/v1/doubts", "list doubts"), url.Values{}, "doubts")
}

// Doubt reads one doubt. The error is semel.ErrUnknownDoubt if there is none.
func (c *Client) Doubt(ctx context.Context, id string) (Doubt, error) {
	x := reading("/v1/doubts/"+url.PathEscape(id), "read doubt "+id)
	if err := x.checkID(id); err != nil {
		return Doubt{}, err
	}
	return get[Doubt](ctx, c, x)
}

// Resolution is how a person settles a doubt. Make one by [Done], [NotDone] or
// [Failed].
type Resolution struct {
	Resolution string          `json:"resolution"`
	Reply      json.RawMessage `json:"reply,omitempty"`
	Code       string          `json:"code,omitempty"`
	Detail     string          `json:"detail,omitempty"`
	Seen       semel.Seen      `json:"seen,omitempty"`
}

// About says which doubt was read before somebody looked at the outside world:
// that it is not done holds of the calls that were made by then. Others need not
// say it.
func (r Resolution) About(d Doubt) Resolution {
	if r.Resolution == notDone {
		r.Seen = d.Seen
	}
	return r
}

// Done says that the effect happened, with this reply; nil means null.
func Done(reply json.RawMessage) Resolution {
	if reply == nil {
		reply = json.RawMessage("null")
	}
	return Resolution{Resolution: "done", Reply: reply}
}

const notDone = "not_done"

// NotDone says that the effect did not happen. It is called again, with the
// same key. It must be About a doubt that was read before the look at the
// outside world. If a former call could still arrive then, it is
// semel.ErrTooEarly: look again when the After of its error has passed.
func NotDone() Resolution { return Resolution{Resolution: notDone} }

// Failed says that the answer of the effect is no.
func Failed(code, detail string) Resolution {
	return Resolution{Resolution: "failed", Code: code, Detail: detail}
}

// Resolved says how a doubt is settled, and who did.
type Resolved struct {
	Doubt      string `json:"doubt"`
	Resolution string `json:"resolution"`
	By         string `json:"by"`
}

// Resolve settles a doubt. The first resolution wins: the same one again
// changes nothing, and another one is semel.ErrAlreadyResolved.
func (c *Client) Resolve(ctx context.Context, id string, r Resolution) (Resolved, error) {
	x := &exchange{method: http.MethodPost, path: "/v1/doubts/" + url.PathEscape(id), nature: repeats, action: "resolve doubt " + id}
	if err := x.checkID(id); err != nil {
		return Resolved{}, err
	}
	var err error
	if x.body, err = json.Marshal(r); err != nil {
		return Resolved{}, x.refuse(message.CodeInvalidRequest, "the resolution cannot be encoded: "+err.Error())
	}
	return get[Resolved](ctx, c, x)
}

// DeadLetters lists the messages that failed for good. It ends with an error,
// if there is one.
func (c *Client) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return pages[DeadLetter](ctx, c, reading("/v1/dead", "list dead letters"), url.Values{}, "dead_letters")
}

// DeadLetter reads one dead letter. The error is semel.ErrUnknownDead if there
// is none.
func (c *Client) DeadLetter(ctx context.Context, id string) (DeadLetter, error) {
	x := reading("/v1/dead/"+url.PathEscape(id), "read dead letter "+id)
	if err := x.checkID(id); err != nil {
		return DeadLetter{}, err
	}
	return get[DeadLetter](ctx, c, x)
}

// RetryDead takes a message back from the dead letters and tries it again, as
// often as a new one. If the connection breaks, the request is not sent again:
// look whether the letter is still there.
func (c *Client) RetryDead(ctx context.Context, id string) error {
	return c.dead(ctx, id, "retry")
}

// DiscardDead gives a dead letter up. If the connection breaks, the request is
// not sent again: look whether the letter is still there.
func (c *Client) DiscardDead(ctx context.Context, id string) error {
	return c.dead(ctx, id, "discard")
}

// dead is sent once: a letter that was retried may have died again, and the
// second request would act on that.
func (c *Client) dead(ctx context.Context, id, verb string) error {
	x := &exchange{method: http.MethodPost, path: "/v1/dead/" + url.PathEscape(id) + "/" + verb, nature: once,
		action: verb + " dead letter " + id, accept: []int{http.StatusNoContent}}
	if err := x.checkID(id); err != nil {
		return err
	}
	_, err := c.do(ctx, x)
	return err
}

// ResumeRetention says that the server's clock is right after it leapt (the
// alarm clock_jump): forgetting old outcomes goes on.
func (c *Client) ResumeRetention(ctx context.Context) error {
	_, err := c.do(ctx, &exchange{method: http.MethodPost, path: "/v1/retention/resume", nature: repeats,
		action: "resume retention", accept: []int{http.StatusNoContent}})
	return err
}

func (x *exchange) checkID(id string) error {
	if _, ok := message.ParseID(id); !ok {
		return x.refuse(message.CodeInvalidRequest, "an id has 32 hexadecimal digits; copy it from the listing")
	}
	return nil
}

// Delete deletes an agent's state. The outcomes of its calls stay recorded. If
// the connection breaks, the request is not sent again: a call may have made
// the agent anew meanwhile.
func (c *Client) Delete(ctx context.Context, agent string) error {
	x := &exchange{method: http.MethodDelete, nature: once, action: "delete", accept: []int{http.StatusNoContent}}
	name, err := parseAgent(agent)
	if err != nil {
		return x.refuse(message.CodeInvalidRequest, err.Error())
	}
	x.agent, x.path = name, agentPath(name)
	_, err = c.do(ctx, x)
	return err
}

// Backup has the server copy its store, while it is in use, into the directory
// of that name below its configured one. It takes as long as it takes; ctx ends
// the waiting. If the connection breaks, the request is not sent again: a copy
// may be under way.
func (c *Client) Backup(ctx context.Context, name string) error {
	x := &exchange{method: http.MethodPost, path: "/v1/backups", nature: once, long: true, action: "back up to " + name,
		accept: []int{http.StatusCreated}}
	var err error
	if x.body, err = json.Marshal(map[string]string{"name": name}); err != nil {
		return err
	}
	_, err = c.do(ctx, x)
	return err
}

// Ready says whether the server takes calls, and if not, why not. It asks once.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.send(ctx, reading("/readyz", "ask whether it is ready"))
	return err
}
