package ledger

import (
	"github.com/semel-dev/semel"
)

// Type is the agent type under which accounts are registered.
const Type = "account"

// Accounts are the handles of the account's actions.
type Accounts struct {
	*semel.Agent[Account]
	Open     *semel.Action[Open, Balance]
	Credit   *semel.Action[Amount, Balance]
	Debit    *semel.Action[Amount, Balance]
	Balance  *semel.Action[struct{}, Balance]
	Transfer *semel.Action[Transfer, Transferred]
}

// Register registers the account with an App.
func Register(app *semel.App) *Accounts {
	agent := semel.NewAgent[Account](app, Type)
	accounts := &Accounts{
		Agent:    agent,
		Open:     semel.On(agent, "open", (*Account).Open),
		Credit:   semel.On(agent, "credit", (*Account).Credit),
		Debit:    semel.On(agent, "debit", (*Account).Debit),
		Balance:  semel.On(agent, "balance", (*Account).Balance),
		Transfer: semel.On(agent, "transfer", (*Account).Transfer),
	}
	semel.Then(agent, "transferred", (*Account).Transferred)
	return accounts
}
