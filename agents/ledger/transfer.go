package ledger

import (
	"fmt"

	"github.com/semel-dev/semel"
)

// Transfer is the body of transfer.
type Transfer struct {
	To    string `json:"to"` // the id of the other account
	Cents int64  `json:"cents"`
}

// Transferred is the reply of transfer: what is left when it is complete.
type Transferred struct {
	To    string `json:"to"`
	Cents int64  `json:"cents"`
}

// The steps refer to each other by name: a handler cannot use a variable whose
// initialization needs the handler.
var (
	credit      = semel.RefTo[Amount, Balance](Type, "credit")
	transferred = semel.ContinuationTo[Transfer, Balance]("transferred")
)

// Transfer debits here and has the other account credited; it replies when that
// has answered.
func (a *Account) Transfer(s *semel.Step, in Transfer) (Transferred, error) {
	self := s.Agent()
	other := self
	other.ID = in.To
	if err := other.Validate(); err != nil {
		return Transferred{}, semel.Reject(CodeInvalidAccount, "%v", err)
	}
	if err := a.take(in.Cents); err != nil {
		return Transferred{}, err
	}
	if other == self {
		// It changes nothing; and asking ourselves would need room for the
		// amount twice.
		a.Cents += in.Cents
		return Transferred{To: in.To, Cents: a.Cents}, nil
	}
	a.Pending += in.Cents
	credit.Ask(s, in.To, Amount{Cents: in.Cents}, transferred.With(in))
	return semel.Defer[Transferred]()
}

// Transferred receives the other account's answer.
func (a *Account) Transferred(_ *semel.Step, in Transfer, answer semel.Result[Balance]) (Transferred, error) {
	if answer.Unknown() {
		// The amount stays pending: to refund it could double it.
		return Transferred{}, answer.Err()
	}
	// Less is pending only if the account was deleted meanwhile, and this is
	// another one, which never sent the amount.
	a.Pending -= min(a.Pending, in.Cents)
	if answer.Done() {
		return Transferred{To: in.To, Cents: a.Cents}, nil
	}
	if room := a.room(); in.Cents > room {
		// Again only after a deletion: otherwise add left room for it. No
		// answer may forget the amount; as a dead letter it waits for room.
		return Transferred{}, fmt.Errorf("the refund of %d finds room for %d only, since the account was deleted and filled up again: make room, then retry the dead letter", in.Cents, room)
	}
	a.Cents += in.Cents
	return Transferred{}, semel.Reject(answer.Code, "%s refused the credit: %s", in.To, answer.Detail).Keep()
}
