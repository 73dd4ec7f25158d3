package demo

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/client"
)

// Doubt is one that a person settled.
type Doubt struct {
	Payment    string `json:"payment"`
	Cents      int64  `json:"cents"`
	Effect     string `json:"effect"`
	Key        string `json:"key"`    // as the provider knows it
	Reason     string `json:"reason"` // why it is in doubt
	Ledger     string `json:"ledger"` // what the provider's ledger says
	Resolution string `json:"resolution"`
}

// person settles the doubts until every payment has its final answer: what
// somebody does who may look into the provider's ledger.
func (d *stage) person(ctx context.Context, payments []*payment) ([]Doubt, error) {
	var settled []Doubt
	for {
		c, err := d.client(ctx)
		if err != nil {
			return settled, err
		}
		for doubt, err := range c.Doubts(ctx) {
			if err != nil {
				return settled, err
			}
			one, err := d.resolve(ctx, c, doubt)
			if errors.Is(err, semel.ErrTooEarly) {
				continue // a former call may still arrive: it is looked up again
			}
			if err != nil {
				return settled, err
			}
			settled = append(settled, one)
		}
		open, err := d.askAgain(ctx, payments)
		if err != nil || open == 0 {
			return settled, err
		}
		if !sleep(ctx, 5*pause) {
			return settled, ctx.Err()
		}
	}
}

// resolve looks for the doubt's key in the provider's ledger, and says what is
// there.
func (d *stage) resolve(ctx context.Context, c *client.Client, doubt client.Doubt) (Doubt, error) {
	var asked Charge
	if err := json.Unmarshal(doubt.Request, &asked); err != nil {
		return Doubt{}, err
	}
	one := Doubt{Payment: asked.Invoice, Cents: asked.Cents, Effect: doubt.Effect, Key: doubt.Key, Reason: doubt.Reason,
		Ledger: "no such key", Resolution: "not_done"}
	ledger, err := d.provider.charges(ctx)
	if err != nil {
		return one, err
	}
	word := client.NotDone()
	for _, charge := range ledger {
		if charge.Key != doubt.Key {
			continue
		}
		one.Ledger, one.Resolution = "charged, "+charge.Receipt, "done"
		receipt, err := json.Marshal(charge)
		if err != nil {
			return one, err
		}
		word = client.Done(receipt)
		break
	}
	_, err = c.Resolve(ctx, doubt.ID, word.About(doubt))
	if errors.Is(err, semel.ErrAlreadyResolved) || errors.Is(err, semel.ErrUnknownDoubt) {
		err, one.Resolution = nil, "found settled" // a probe was faster
	}
	return one, err
}

// askAgain has every client without a final answer ask again, and returns how
// many payments are still in doubt.
func (d *stage) askAgain(ctx context.Context, payments []*payment) (open int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, p := range payments {
		for i := range p.clients {
			if c := &p.clients[i]; c.final == nil {
				all.Go(func() {
					if err := d.settle(ctx, p, c, taps{}); err != nil {
						cancel(err)
					}
				})
			}
		}
	}
	all.Wait()
	for _, p := range payments {
		for i := range p.clients {
			if p.clients[i].final == nil {
				open++
				break
			}
		}
	}
	return open, context.Cause(ctx)
}
