package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/twopc"
)

// Participant is one part of a transaction: an agent and its action, or the name
// of a participant outside that the server knows.
type Participant struct {
	Agent       string          `json:"agent,omitempty"` // type/id
	Action      string          `json:"action,omitempty"`
	Participant string          `json:"participant,omitempty"`
	Body        json.RawMessage `json:"body,omitempty"` // nil means null
}

// Transaction asks for all of its participants, or none.
type Transaction struct {
	// Key is the idempotency key, as in Request.
	Key          string
	Participants []Participant
	Timeout      time.Duration // until it is decided; the server's own if it is 0
}

// Transact makes all parts of a transaction happen, or none, and waits for the
// decision. Its repetitions and its errors are those of Call; an abort is a
// rejection, with the code of who refused, and twopc.RefusedOf says who that was.
// The Result is empty beside an error.
func (c *Client) Transact(ctx context.Context, t Transaction) (twopc.Result, Reply, error) {
	x := &exchange{method: http.MethodPost, path: "/v1/transactions", nature: repeats, waits: true, action: "transact"}
	key, err := x.keyed(t.Key)
	if err != nil {
		return twopc.Result{}, Reply{Key: key}, err
	}
	var body struct {
		Participants []Participant `json:"participants"`
		Timeout      string        `json:"timeout,omitempty"`
	}
	if body.Participants = t.Participants; t.Timeout != 0 {
		body.Timeout = t.Timeout.String()
	}
	if x.body, err = json.Marshal(body); err != nil {
		return twopc.Result{}, Reply{Key: key}, x.refuse(message.CodeInvalidRequest, "the transaction cannot be encoded: "+err.Error())
	}
	a, err := c.do(ctx, x)
	reply, err := x.reply(key, a, err)
	var r twopc.Result
	if err == nil {
		err = x.decode(a, &r)
	}
	return r, reply, err
}

// Transactions lists those that the server knows, of a state or, if that is
// empty, all: undecided, committed, aborted, unclear, or in_doubt, which are
// those that not all have acknowledged. It ends with an error, if there is one.
func (c *Client) Transactions(ctx context.Context, state string) iter.Seq2[twopc.Info, error] {
	q := url.Values{}
	if state != "" {
		q.Set("state", state)
	}
	return pages[twopc.Info](ctx, c, reading("/v1/transactions", "list transactions"), q, "transactions")
}

// Transaction reads what is known of a transaction, by its name.
func (c *Client) Transaction(ctx context.Context, tx string) (twopc.Info, error) {
	return get[twopc.Info](ctx, c, reading("/v1/transactions/"+url.PathEscape(tx), "read transaction "+tx))
}

// FindTransaction reads what is known of the transaction of a key. Whose key it is
// says principal; empty means the caller's own.
func (c *Client) FindTransaction(ctx context.Context, key, principal string) (twopc.Info, error) {
	doc, err := get[struct {
		Transactions []twopc.Info `json:"transactions"`
	}](ctx, c, reading("/v1/transactions?"+ofKey(key, principal).Encode(), "find the transaction of key "+key))
	if err == nil && len(doc.Transactions) != 1 {
		err = &semel.NotDoneError{Action: "find the transaction of key " + key, Code: CodeNotUnderstood, Detail: fmt.Sprintf("the answer has %d transactions, and not one", len(doc.Transactions))}
	}
	if err != nil {
		return twopc.Info{}, err
	}
	return doc.Transactions[0], nil
}

// ofKey is the query for what was asked for under a key.
func ofKey(key, principal string) url.Values {
	q := url.Values{"key": {key}}
	if principal != "" {
		q.Set("principal", principal)
	}
	return q
}

// ResolveBranch has the server take note that a branch was dealt with by hand,
// which will never acknowledge the decision; nothing is done at the participant.
func (c *Client) ResolveBranch(ctx context.Context, tx, branch, why string) error {
	x := &exchange{method: http.MethodPost, path: "/v1/transactions/" + url.PathEscape(tx) + "/resolve", nature: repeats, action: "resolve a branch of " + tx, accept: []int{http.StatusNoContent}}
	var err error
	if x.body, err = json.Marshal(map[string]string{"branch": branch, "why": why}); err != nil {
		return x.refuse(message.CodeInvalidRequest, err.Error())
	}
	_, err = c.do(ctx, x)
	return err
}

// Orphan is prepared work that a sweep found at a participant.
type Orphan struct {
	Participant string    `json:"participant"`
	Tx          string    `json:"tx"`
	Branch      string    `json:"branch"`
	Handle      string    `json:"handle,omitempty"`
	Since       time.Time `json:"since,omitzero"`     // by the participant's clock
	Decision    string    `json:"decision,omitempty"` // wait, commit or abort; empty if nobody here knows
	Resolved    bool      `json:"resolved"`           // it was told, and has acknowledged
	Error       string    `json:"error,omitempty"`    // why not
}

// Sweep has the server ask its participants what they have prepared, and resolve
// what is decided. It tells all that was found. It ends with an error, if there is
// one, also if some participant could not be asked.
func (c *Client) Sweep(ctx context.Context) iter.Seq2[Orphan, error] {
	return func(yield func(Orphan, error) bool) {
		x := &exchange{method: http.MethodPost, path: "/v1/participants/sweep", nature: repeats, long: true, action: "sweep"}
		found, err := get[struct {
			Prepared []Orphan `json:"prepared"`
			Failed   string   `json:"failed"`
		}](ctx, c, x)
		for _, o := range found.Prepared {
			if !yield(o, nil) {
				return
			}
		}
		if err == nil && found.Failed != "" {
			err = &semel.NotDoneError{Action: "sweep", Code: message.CodeStoreUnavailable, Detail: found.Failed}
		}
		if err != nil {
			yield(Orphan{}, err)
		}
	}
}

// keyed gives a request its key, a fresh one if it is empty, and returns it. A key
// that no header can have is refused.
func (x *exchange) keyed(key string) (string, error) {
	if key == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return "", x.refuse(message.CodeInvalidRequest, "no key could be made: "+err.Error())
		}
		key = id.String()
	}
	if err := message.CheckKey(key); err != nil {
		return key, x.refuse(message.CodeKeyInvalid, err.Error())
	}
	header, ok := headerKey(key)
	if !ok {
		return key, x.refuse(message.CodeKeyInvalid, fmt.Sprintf("the key %q cannot be sent in a header: it begins with a quotation mark, or has spaces at an end", key))
	}
	x.key = header
	return key, nil
}
