package twopc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// Info is what is known of a transaction. Its slices belong to the caller.
type Info struct {
	Tx        string          `json:"tx"`
	Principal string          `json:"principal"` // on whose behalf
	State     State           `json:"state"`
	OnePhase  bool            `json:"one_phase"` // of one agent alone
	Began     time.Time       `json:"began"`
	Deadline  time.Time       `json:"deadline,omitzero"` // for the decision
	Decided   time.Time       `json:"decided,omitzero"`
	Finished  time.Time       `json:"finished,omitzero"` // all have acknowledged
	Code      string          `json:"code,omitempty"`    // why it was aborted
	Detail    string          `json:"detail,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
	Branches  []BranchInfo    `json:"branches"` // in the order in which they were given
}

// InDoubt says that it is decided, and that not all who must have
// acknowledged it, or that somebody went the other way.
func (i *Info) InDoubt() bool {
	return (i.State == Committed || i.State == Aborted) && i.Finished.IsZero()
}

// BranchInfo is what is known of one participant's part.
type BranchInfo struct {
	Name        string          `json:"name"`                  // its number, from 1
	Agent       string          `json:"agent,omitempty"`       // type/id
	Action      string          `json:"action,omitempty"`      // of the agent
	Participant string          `json:"participant,omitempty"` // or one outside
	Vote        VoteOf          `json:"vote"`
	Handle      string          `json:"handle,omitempty"`
	Reply       json.RawMessage `json:"reply,omitempty"`
	Told        time.Time       `json:"told,omitzero"`  // of the decision, for the first time
	Acked       time.Time       `json:"acked,omitzero"` // it is over there
	Attempts    int             `json:"attempts,omitempty"`
	Error       string          `json:"error,omitempty"` // of the last attempt
	Again       time.Time       `json:"again,omitzero"`  // when the next attempt is due
	Mixed       string          `json:"mixed,omitempty"` // what it said: it was resolved against the decision
	Resolved    *Resolution     `json:"resolved,omitempty"`
}

// info is what people are shown of the state.
func (t *transaction) info() Info {
	i := Info{
		Tx: t.Tx, Principal: t.Principal, State: t.State, OnePhase: t.OnePhase, Began: t.Began, Deadline: t.Deadline,
		Decided: t.Decided, Finished: t.Finished,
	}
	if t.OnePhase {
		i.Deadline = time.Time{}
	}
	if f := t.Refusal; f != nil {
		i.Code, i.Detail, i.Data = f.Code, f.Detail, f.Data
	}
	for n := range t.Branches {
		b := &t.Branches[n]
		bi := BranchInfo{
			Name: branchName(n), Action: b.Action, Participant: b.Participant, Vote: b.Vote, Handle: b.Handle, Reply: b.Reply,
			Told: b.Told, Acked: b.Acked, Attempts: b.Attempts, Error: b.Error, Again: b.Again, Mixed: b.Hazard, Resolved: b.Resolved,
		}
		if !b.outside() {
			bi.Agent = b.subject()
		}
		i.Branches = append(i.Branches, bi)
	}
	return i
}

// Get reads what is known of a transaction. Of the options, Tenant matters. The
// error is semel.ErrUnknownAgent if nothing is known of it, or not any more.
func (c *Coordinator) Get(ctx context.Context, tx string, opts ...Option) (Info, error) {
	o := optionsOf(opts)
	p, ok := parseTx(tx)
	if !ok || p.tenant != digest(lenTenant, o.tenant) {
		return Info{}, unknownTx(tx)
	}
	t, _, err := c.agents.Get(ctx, p.agentID, semel.Tenant(o.tenant))
	switch {
	case errors.Is(err, semel.ErrUnknownAgent):
		return Info{}, unknownTx(tx)
	case err != nil:
		return Info{}, err
	case !t.is(tx):
		return Info{}, unknownTx(tx)
	}
	return t.info(), nil
}

// Find is the name of the transaction of a key of Run. Of the options, Tenant
// and As matter. The error is as that of Get.
func (c *Coordinator) Find(ctx context.Context, key string, opts ...Option) (Info, error) {
	o := optionsOf(opts)
	t, _, err := c.agents.Get(ctx, agentID(o.tenant, o.principal, key), semel.Tenant(o.tenant))
	switch {
	case errors.Is(err, semel.ErrUnknownAgent), err == nil && !t.is(t.Tx):
		return Info{}, unknownTx("of this key")
	case err != nil:
		return Info{}, err
	}
	return t.info(), nil
}

func unknownTx(tx string) error {
	return &semel.NotDoneError{Action: "read", Code: message.CodeUnknownAgent, Detail: fmt.Sprintf(
		"nothing is known of transaction %s: it never was, or all were told of it long ago", tx)}
}

// Entry is a transaction in a listing.
type Entry struct {
	Info
	Place semel.Place // behind which the listing can go on
}

// List lists the transactions of a tenant that are known, in no particular
// order: those under way, those in doubt (see Info.InDoubt), and for a while
// (Config.Keep) those that are finished. It reads all of them, one by one. It
// ends with an error, if there is one. After an entry, go on from its place;
// empty means from the beginning.
func (c *Coordinator) List(ctx context.Context, after semel.Place, opts ...Option) iter.Seq2[Entry, error] {
	o := optionsOf(opts)
	list := []semel.ListOption{semel.Tenant(o.tenant)}
	if after != "" {
		list = append(list, semel.After(after))
	}
	return func(yield func(Entry, error) bool) {
		for e, err := range c.agents.All(ctx, list...) {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			t, _, err := c.agents.Get(ctx, e.Agent.ID, semel.Tenant(o.tenant))
			switch {
			case errors.Is(err, semel.ErrUnknownAgent):
				continue // it was forgotten meanwhile
			case err != nil:
				yield(Entry{}, err)
				return
			case !t.is(t.Tx):
				continue
			}
			if !yield(Entry{Info: t.info(), Place: e.Place}, nil) {
				return
			}
		}
	}
}

// resolving is the body of the action resolve.
type resolving struct {
	Tx     string `json:"tx"`
	Branch string `json:"branch"`
	Who    string `json:"who"`
	Why    string `json:"why"`
}

func (c *Coordinator) resolve(t *transaction, s *semel.Step, in resolving) (struct{}, error) {
	switch {
	case !t.is(in.Tx):
		return struct{}{}, semel.Reject(CodeUnknown, "nothing is known of transaction %s", in.Tx)
	case in.Who == "" || in.Why == "":
		return struct{}{}, semel.Reject(CodeInvalid, "say who resolves it, and why")
	}
	orders, code, detail := t.resolve(in.Branch, Resolution{Who: text(in.Who), Why: text(in.Why), At: s.Now()})
	if code != "" {
		return struct{}{}, semel.Reject(code, "%s", detail)
	}
	c.carryOut(t, s, orders)
	return struct{}{}, nil
}

// Resolve takes note that an operator, by the name who, has dealt with a branch
// that will never acknowledge the decision, because its database is gone, or
// that was resolved the other way. It is told no more, and the reason is kept
// with the transaction; nothing is done at the participant. Of the options,
// Tenant matters. The error is a [*semel.Rejection] if there is nothing to
// resolve: the branch has acknowledged, or nothing is decided, or the branch is
// an agent, which no operator needs to deal with.
func (c *Coordinator) Resolve(ctx context.Context, tx, branch, who, why string, opts ...Option) error {
	o := optionsOf(opts)
	p, ok := parseTx(tx)
	if !ok || p.tenant != digest(lenTenant, o.tenant) {
		return unknownTx(tx)
	}
	body, err := json.Marshal(resolving{Tx: tx, Branch: branch, Who: who, Why: why})
	if err != nil {
		return notDone(message.CodeInvalidRequest, "%v", err)
	}
	_, err = c.app.Do(ctx, semel.Request{Tenant: o.tenant, Type: Type, ID: p.agentID, Action: "resolve", Body: body})
	return err
}
