package ledger

import (
	"math"

	"github.com/semel-dev/semel"
)

// The codes of the account's rejections.
const (
	CodeAlreadyOpen       = "already_open"
	CodeInsufficientFunds = "insufficient_funds"
	CodeInvalidAccount    = "invalid_account"
	CodeInvalidAmount     = "invalid_amount"
	CodeOverflow          = "overflow"
)

// Account is the state of an account.
type Account struct {
	Cents   int64 `json:"cents"`   // the balance
	Pending int64 `json:"pending"` // debited for transfers whose credit has not been answered
	Opened  bool  `json:"opened"`
}

// Open is the body of open: the first balance.
type Open struct {
	Cents int64 `json:"cents"`
}

// Amount is the body of credit and debit.
type Amount struct {
	Cents int64 `json:"cents"`
}

// Balance is the reply of open, credit and debit: what is left.
type Balance struct {
	Cents int64 `json:"cents"`
}

// Open opens the account, once.
func (a *Account) Open(_ *semel.Step, in Open) (Balance, error) {
	if a.Opened {
		return Balance{}, semel.Reject(CodeAlreadyOpen, "the account is open already")
	}
	if in.Cents < 0 {
		return Balance{}, semel.Reject(CodeInvalidAmount, "the first balance is %d; it must not be negative", in.Cents)
	}
	if err := a.add(in.Cents); err != nil {
		return Balance{}, err
	}
	a.Opened = true
	return Balance{Cents: a.Cents}, nil
}

// Credit adds to the balance.
func (a *Account) Credit(_ *semel.Step, in Amount) (Balance, error) {
	if err := positive(in.Cents); err != nil {
		return Balance{}, err
	}
	if err := a.add(in.Cents); err != nil {
		return Balance{}, err
	}
	return Balance{Cents: a.Cents}, nil
}

// Debit takes from the balance.
func (a *Account) Debit(_ *semel.Step, in Amount) (Balance, error) {
	if err := a.take(in.Cents); err != nil {
		return Balance{}, err
	}
	return Balance{Cents: a.Cents}, nil
}

// Balance tells the balance. As a part of a transaction it is a read that is
// consistent with the others of the transaction; alone, reading the state does as well.
func (a *Account) Balance(*semel.Step, struct{}) (Balance, error) {
	return Balance{Cents: a.Cents}, nil
}

// room is how much can be added: what is pending may come back.
func (a *Account) room() int64 { return math.MaxInt64 - a.Cents - max(a.Pending, 0) }

func (a *Account) add(cents int64) error {
	if room := a.room(); cents > room {
		return semel.Reject(CodeOverflow, "the account has room for %d more, not for %d", room, cents)
	}
	a.Cents += cents
	return nil
}

func (a *Account) take(cents int64) error {
	if err := positive(cents); err != nil {
		return err
	}
	if cents > a.Cents {
		return semel.Reject(CodeInsufficientFunds, "the balance is %d, less than %d", a.Cents, cents)
	}
	a.Cents -= cents
	return nil
}

func positive(cents int64) error {
	if cents <= 0 {
		return semel.Reject(CodeInvalidAmount, "the amount is %d; it must be positive", cents)
	}
	return nil
}
