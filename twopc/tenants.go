package twopc

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// A transaction's name has only a hash of its tenant, and a participant knows
// only the name. So who asks about it needs to know whose it is: an agent of the
// default tenant remembers, for each hash, the tenants that have it. It is
// written once for each tenant, before its first transaction.
type tenants struct {
	agents *semel.Agent[tenantNames]
	add    *semel.Action[string, struct{}]
	known  sync.Map // tenants that are remembered, as far as this process knows
}

// tenantNames are the tenants with one hash: nearly always one.
type tenantNames struct {
	Names []string `json:"names,omitempty"`
}

const tenantType = "transaction-tenant"

func (ts *tenants) register(app *semel.App) {
	ts.agents = semel.NewAgent[tenantNames](app, tenantType)
	ts.add = semel.On(ts.agents, "add", func(n *tenantNames, _ *semel.Step, name string) (struct{}, error) {
		if !slices.Contains(n.Names, name) {
			n.Names = append(n.Names, name)
		}
		return struct{}{}, nil
	}, semel.AtLeastOnce)
}

// know remembers a tenant.
func (ts *tenants) know(ctx context.Context, tenant string) error {
	if _, known := ts.known.Load(tenant); known || tenant == message.DefaultTenant {
		return nil
	}
	if err := (semel.AgentName{Tenant: tenant, Type: Type, ID: "x"}).Validate(); err != nil {
		return notDone(message.CodeInvalidRequest, "%v", err)
	}
	if _, err := ts.add.Call(ctx, digest(lenTenant, tenant), tenant); err != nil {
		// Whatever became of it, no transaction was begun.
		return &semel.NotDoneError{Action: "run", Code: message.CodeStoreUnavailable, Detail: "the tenant cannot be remembered: " + err.Error(), Cause: err}
	}
	ts.known.Store(tenant, true)
	return nil
}

// find is the tenants with a hash.
func (ts *tenants) find(ctx context.Context, hash string) ([]string, error) {
	if hash == digest(lenTenant, message.DefaultTenant) {
		return []string{message.DefaultTenant}, nil
	}
	n, _, err := ts.agents.Get(ctx, hash)
	if errors.Is(err, semel.ErrUnknownAgent) {
		return nil, nil
	}
	return n.Names, err
}
