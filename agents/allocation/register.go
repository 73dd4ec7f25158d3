package allocation

import (
	"github.com/semel-dev/semel"
)

// Type is the agent type under which pools are registered.
const Type = "pool"

// Pools are the handles of the pool's actions.
type Pools struct {
	*semel.Agent[Pool]
	Configure *semel.Action[Configure, Configured]
	Reserve   *semel.Action[Reserve, Reserved]
	Confirm   *semel.Action[Held, Reserved]
	Release   *semel.Action[Held, Reserved]
}

// Register registers the pool with an App.
func Register(app *semel.App) *Pools {
	agent := semel.NewAgent[Pool](app, Type)
	pools := &Pools{
		Agent:     agent,
		Configure: semel.On(agent, "configure", (*Pool).Configure),
		Reserve:   semel.On(agent, "reserve", (*Pool).Reserve),
		Confirm:   semel.On(agent, "confirm", (*Pool).Confirm),
		Release:   semel.On(agent, "release", (*Pool).Release),
	}
	semel.On(agent, "expire", (*Pool).Expire)
	return pools
}
