package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/twopc"
)

// Participant is one over HTTP, as its coordinator sees it. It is safe for concurrent use.
type Participant struct{ c *caller }

var _ twopc.Participant = (*Participant)(nil)

// New makes a participant of a URL.
func New(c Config) (*Participant, error) {
	caller, err := newCaller(c)
	if err != nil {
		return nil, err
	}
	return &Participant{caller}, nil
}

// Prepare implements [twopc.Participant].
func (p *Participant) Prepare(ctx context.Context, b twopc.Branch) (twopc.Vote, error) {
	if err := b.Validate(); err != nil {
		return twopc.Vote{}, semel.Reject("invalid_branch", "%v", err)
	}
	if len(b.Body) > 0 && !json.Valid(b.Body) {
		return twopc.Vote{}, semel.Reject(codeInvalid, "the body is no JSON")
	}
	a, err := p.post(ctx, "prepare", request{Tx: b.Tx, Branch: b.Name, Body: b.Body})
	if err != nil {
		return twopc.Vote{}, err
	}
	doc, problem := a.problem()
	var v vote
	switch {
	case problem && (a.status == http.StatusConflict || a.status == http.StatusUnprocessableEntity):
		return twopc.Vote{}, rejection(doc)
	case a.status != http.StatusOK || !a.is("application/json"):
		return twopc.Vote{}, a.unclear()
	case json.Unmarshal(a.body, &v) != nil || checkHandle(v.Handle) != nil:
		return twopc.Vote{}, errors.New("the participant answered 200 to prepare, and its body is no vote")
	}
	switch v.Vote {
	case "yes":
		return twopc.Vote{Handle: v.Handle, Reply: v.Reply}, nil
	case "read_only":
		return twopc.Vote{ReadOnly: true, Reply: v.Reply}, nil
	}
	return twopc.Vote{}, errors.New(`the participant's vote is neither "yes" nor "read_only"`)
}

// Commit implements [twopc.Participant].
func (p *Participant) Commit(ctx context.Context, b twopc.Prepared) error {
	return p.resolve(ctx, "commit", b)
}

// Abort implements [twopc.Participant].
func (p *Participant) Abort(ctx context.Context, b twopc.Prepared) error {
	return p.resolve(ctx, "abort", b)
}

func (p *Participant) resolve(ctx context.Context, call string, b twopc.Prepared) error {
	if err := check(b.Tx, b.Name, b.Handle); err != nil {
		return semel.NotDone(err)
	}
	a, err := p.post(ctx, call, request{Tx: b.Tx, Branch: b.Name, Handle: b.Handle})
	if err != nil {
		return err
	}
	doc, problem := a.problem()
	switch {
	case a.status == http.StatusOK, a.status == http.StatusNoContent:
		return nil
	case problem && a.status == http.StatusConflict && doc.Code == twopc.CodeResolvedOtherwise:
		return rejection(doc)
	}
	return a.unclear()
}

// post makes a call of a branch. What is not done is told as that.
func (p *Participant) post(ctx context.Context, call string, r request) (answer, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return answer{}, semel.NotDone(err)
	}
	a, err := p.c.send(ctx, http.MethodPost, p.c.url.JoinPath(call), r.key(), body)
	var notSent *notSentError
	if errors.As(err, &notSent) {
		return answer{}, semel.NotDone(notSent)
	}
	if err != nil {
		return answer{}, err
	}
	if doc, ok := a.problem(); ok && doc.Code == codeNotDone && (a.status == http.StatusServiceUnavailable || a.status == http.StatusTooManyRequests) {
		return answer{}, semel.NotDone(fmt.Errorf("the participant did nothing: %s", doc.Detail))
	}
	return a, nil
}

func rejection(p problem) *semel.Rejection {
	r := semel.Reject(p.Code, "%s", p.Detail)
	if len(p.Data) > 0 {
		r = r.With(p.Data)
	}
	return r
}

// unclear repeats nothing of the answer: a body of somebody on the way may repeat
// what was sent.
func (a answer) unclear() error {
	return fmt.Errorf("the participant answered %s, which does not tell what became of the call", a)
}

// Recover implements [twopc.Participant].
func (p *Participant) Recover(ctx context.Context) ([]twopc.Prepared, error) {
	a, err := p.c.send(ctx, http.MethodGet, p.c.url.JoinPath("prepared"), "", nil)
	if err != nil {
		return nil, err
	}
	var list preparedList
	if a.status != http.StatusOK || !a.is("application/json") || json.Unmarshal(a.body, &list) != nil {
		return nil, fmt.Errorf("the participant answered %s, and no list, when it was asked what is prepared", a)
	}
	var all []twopc.Prepared
	var odd []error
	for _, one := range list.Prepared {
		if err := check(one.Tx, one.Branch, one.Handle); err != nil {
			odd = append(odd, fmt.Errorf("the participant lists what is no branch of a transaction: %w", err))
			continue
		}
		all = append(all, twopc.Prepared{Tx: one.Tx, Name: one.Branch, Handle: one.Handle, Since: one.Since})
	}
	return all, errors.Join(odd...)
}

// Ask asks a coordinator, the Semel at the URL, what it decided about a branch that
// was prepared. Only an answer is a decision: after an error, wait and ask again.
func Ask(ctx context.Context, coordinator Config, b twopc.Prepared) (Decision, error) {
	if err := check(b.Tx, b.Name, b.Handle); err != nil {
		return "", err
	}
	c, err := newCaller(coordinator)
	if err != nil {
		return "", err
	}
	to := c.url.JoinPath("v1", "transactions", b.Tx, "decision")
	to.RawQuery = url.Values{"branch": {b.Name}, "handle": {b.Handle}}.Encode()
	a, err := c.send(ctx, http.MethodGet, to, "", nil)
	if err != nil {
		return "", err
	}
	var d decision
	if a.status == http.StatusOK && a.is("application/json") && json.Unmarshal(a.body, &d) == nil {
		switch d.Decision {
		case Wait, Commit, Abort:
			return d.Decision, nil
		}
	}
	return "", fmt.Errorf("the coordinator answered %s, and no decision", a)
}
