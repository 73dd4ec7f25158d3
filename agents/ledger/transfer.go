package ledger

import (
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
	a.Pending -= in.Cents
	if answer.Done() {
		return Transferred{To: in.To, Cents: a.Cents}, nil
	}
	a.Cents += in.Cents // add left room for it
	return Transferred{}, semel.Reject(answer.Code, "%s refused the credit: %s", in.To, answer.Detail).Keep()
}
