package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// judge gathers what is to be believed: the provider's ledger, the answers that
// the clients got, and the account's balance. That no doubt is left it asks the
// server.
func (d *stage) judge(ctx context.Context, r *Report, payments []*payment) error {
	if _, err := d.provider.charges(ctx); err != nil { // when it answers, what it was sent is in the file
		return err
	}
	ledger, err := readBook(d.provider.ledger)
	if err != nil {
		return err
	}
	c, err := d.client(ctx)
	if err != nil {
		return err
	}
	state, err := c.State(ctx, account)
	if err != nil {
		return err
	}
	var balance struct {
		Cents int64 `json:"cents"`
	}
	if err := json.Unmarshal(state.State, &balance); err != nil {
		return err
	}
	for doubt, err := range c.Doubts(ctx) {
		if err != nil {
			return err
		}
		r.violated("the doubt %s is not settled", doubt.ID)
	}
	r.weigh(payments, ledger, balance.Cents)
	return nil
}

// weigh fills in what became of every payment, and finds what must not be.
func (r *Report) weigh(payments []*payment, ledger []Charge, balance int64) {
	r.Account.Balance, r.Kills = balance, len(r.Story)
	charges := make(map[string][]Charge)
	for _, charge := range ledger {
		r.Provider.Charges++
		r.Provider.Cents += charge.Cents
		charges[charge.Invoice] = append(charges[charge.Invoice], charge)
	}
	for _, p := range payments {
		r.Payments = append(r.Payments, r.payment(p, charges[p.id]))
		delete(charges, p.id)
	}
	for _, invoice := range slices.Sorted(maps.Keys(charges)) {
		r.violated("%q was charged %d times, and nobody asked for it", invoice, len(charges[invoice]))
	}
	if want := r.Account.Opened - r.Account.Debited; r.Account.Balance != want {
		r.violated("the balance of %s is %d; the acknowledged debits leave %d", account, r.Account.Balance, want)
	}
	if r.Verdict = "clean"; len(r.Violations) > 0 {
		r.Verdict = "violated"
	}
}

// payment judges one payment by the lines of the ledger with its invoice.
func (r *Report) payment(p *payment, charges []Charge) Payment {
	out := Payment{ID: p.id, Way: p.way, Cents: p.cents, Killed: p.kill, Doubted: p.doubted(), Charged: len(charges)}
	acknowledged := 0
	var first *reply
	for i := range p.clients {
		c := &p.clients[i]
		out.Requests += c.requests
		out.CutOff += c.lost
		f := c.final
		if f == nil || f.status != http.StatusOK {
			r.violated("%s: a client was never told that it is done: %s", p.id, f)
			continue
		}
		acknowledged++
		if f.replayed {
			out.Replayed++
		}
		if first == nil {
			first = f
		}
		if !bytes.Equal(f.body, first.body) {
			r.violated("%s: one client was answered %s, another one %s", p.id, first.body, f.body)
		}
		if c.held != nil && (!bytes.Equal(f.body, c.held) || !f.replayed) {
			r.violated("%s: the reply was %s, and after the kill it is %s (replayed: %v)", p.id, c.held, f.body, f.replayed)
		}
	}
	if p.way == Debit {
		if len(charges) > 0 {
			r.violated("%s is a debit, and the provider charged it", p.id)
		}
		if acknowledged > 0 {
			r.Account.Debits++
			r.Account.Debited += p.cents
		}
		return out
	}
	if len(charges) != 1 {
		r.violated("%s was charged %d times", p.id, len(charges))
		return out
	}
	switch got := charges[0]; {
	case got.Cents != p.cents:
		r.violated("%s was charged %d cents, not %d", p.id, got.Cents, p.cents)
	case first != nil && first.receipt() != got:
		r.violated("%s: the clients have the receipt %s; the ledger has %s", p.id, first.body, got.Receipt)
	default:
		out.Receipt = got.Receipt
	}
	return out
}

func (r *reply) String() string {
	if r == nil {
		return "no final answer"
	}
	return fmt.Sprintf("%d %s", r.status, r.body)
}
