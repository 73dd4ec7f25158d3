package twopc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// ErrForeign is the answer about a transaction that is not of this store: of
// another Semel which has the same database, or of the store that this one was
// restored from. Nobody here can know what was decided.
var ErrForeign = errors.New("twopc: the transaction is not of this store")

// inquiry is the body of the action inquire, and inquiryAnswer its reply.
type inquiry struct {
	Tx     string `json:"tx"`
	Name   string `json:"name"`
	Handle string `json:"handle,omitempty"`
}

type inquiryAnswer struct {
	Decision Decision `json:"decision"`
	Known    bool     `json:"known"`
}

func (c *Coordinator) inquire(t *transaction, s *semel.Step, in inquiry) (inquiryAnswer, error) {
	p, ok := parseTx(in.Tx)
	if !ok || p.agentID != s.Agent().ID {
		return inquiryAnswer{}, semel.Reject(CodeUnknown, "transaction %q does not belong to this agent", in.Tx)
	}
	a := inquiryAnswer{Decision: t.inquired(in.Tx, in.Name, in.Handle), Known: t.is(in.Tx)}
	t.presume(in.Tx, s.Now())
	c.carryOut(t, s, nil)
	return a, nil
}

// ours says whether a transaction was begun by this store: not before it was
// restored from a backup, and not by another one.
func (c *Coordinator) ours(tx string) bool {
	p, ok := parseTx(tx)
	return ok && p.incarnation == c.incarnation[:lenIncarnation]
}

// Decision says what is to become of something that a participant has prepared:
// Wait, Commit or Abort. Of a transaction that is not known it makes sure that
// it never will be, and says Abort; work whose handle is not the one that voted
// hears Abort too. It never guesses: of a transaction of somewhere else the
// error is ErrForeign, and any error means that nothing is known now.
func (c *Coordinator) Decision(ctx context.Context, p Prepared) (Decision, error) {
	name, ok := parseTx(p.Tx)
	if !ok || !c.ours(p.Tx) {
		return "", fmt.Errorf("%w: %q", ErrForeign, p.Tx)
	}
	tenants, err := c.tenants.find(ctx, name.tenant)
	if err != nil {
		return "", err
	}
	if len(tenants) == 0 {
		return "", &semel.NotDoneError{Action: "inquire", Code: message.CodeUnknownAgent, Detail: fmt.Sprintf(
			"the tenant of transaction %s is not known here, so nobody can say what was decided", p.Tx)}
	}
	body, err := json.Marshal(inquiry{Tx: p.Tx, Name: p.Name, Handle: p.Handle})
	if err != nil {
		return "", fmt.Errorf("twopc: ask about transaction %q: %w", p.Tx, err)
	}
	// Mostly there is one. Where there are more it is nobody's only if all say so.
	for _, tenant := range tenants {
		out, err := c.app.Do(ctx, semel.Request{Tenant: tenant, Type: Type, ID: name.agentID, Action: "inquire", Body: body})
		if err != nil {
			return "", err
		}
		var a inquiryAnswer
		if err := json.Unmarshal(out.Reply, &a); err != nil {
			return "", fmt.Errorf("twopc: the answer about transaction %s cannot be read: %w", p.Tx, err)
		}
		if a.Known {
			return a.Decision, nil
		}
	}
	return Abort, nil
}
