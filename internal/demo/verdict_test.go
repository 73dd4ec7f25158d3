package demo

import (
	"fmt"
	"strings"
	"testing"
)

// paid is a payment as it should be: all clients have the same answer.
func paid(id string, way Way, body string) *payment {
	p := &payment{id: id, way: way, cents: 500}
	for i := range p.clients {
		p.clients[i] = caller{requests: 1, final: &reply{status: 200, body: []byte(body), replayed: i > 0}}
	}
	return p
}

const receipt = `{"receipt":"ch-001","invoice":"c","cents":500,"key":"k"}`

// evidence is a run of a debit and a charge in which nothing is wrong.
type evidence struct {
	debit, charge *payment
	ledger        []Charge
	balance       int64
}

// The judge is judged: by a history without fault, and by doctored ones.
func TestVerdict(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		doctor func(*evidence)
		want   string // in the only violation; none if it is empty
	}{
		{"nothing wrong", func(*evidence) {}, ""},
		{"charged twice", func(e *evidence) {
			e.ledger = append(e.ledger, Charge{Receipt: "ch-002", Invoice: "c", Cents: 500, Key: "another"})
		}, "c was charged 2 times"},
		{"lost", func(e *evidence) { e.ledger = nil }, "c was charged 0 times"},
		{"another amount", func(e *evidence) { e.ledger[0].Cents = 501 }, "c was charged 501 cents, not 500"},
		{"another receipt", func(e *evidence) { e.ledger[0].Receipt = "ch-009" }, "the ledger has ch-009"},
		{"a charge that nobody asked for", func(e *evidence) {
			e.ledger = append(e.ledger, Charge{Receipt: "ch-002", Invoice: "x", Cents: 1, Key: "x"})
		}, `"x" was charged 1 times`},
		{"a debit that was charged", func(e *evidence) {
			e.ledger = append(e.ledger, Charge{Receipt: "ch-002", Invoice: "d", Cents: 500, Key: "x"})
		}, "d is a debit"},
		{"debited twice", func(e *evidence) { e.balance -= 500 }, "the balance of account/shop is 0"},
		{"a debit that was lost", func(e *evidence) { e.balance += 500 }, "the balance of account/shop is 1000"},
		{"clients that disagree", func(e *evidence) {
			e.debit.clients[2].final.body = []byte(`{"cents":0}`)
		}, "one client was answered"},
		{"a client without an answer", func(e *evidence) { e.charge.clients[1].final = nil }, "no final answer"},
		{"a client that was refused", func(e *evidence) {
			e.debit.clients[3].final.status = 422
		}, "never told that it is done: 422"},
		{"a reply that the kill changed", func(e *evidence) {
			e.debit.clients[1].held = []byte(`{"cents":1}`)
		}, `the reply was {"cents":1}`},
		{"a reply that was made again", func(e *evidence) {
			e.debit.clients[0].held = e.debit.clients[0].final.body
		}, "replayed: false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := &evidence{debit: paid("d", Debit, `{"cents":500}`), charge: paid("c", Ask, receipt), balance: 500,
				ledger: []Charge{{Receipt: "ch-001", Invoice: "c", Cents: 500, Key: "k"}}}
			c.doctor(e)
			r := &Report{Clients: clients}
			r.Account.Opened = 1000
			r.weigh([]*payment{e.debit, e.charge}, e.ledger, e.balance)
			if c.want == "" {
				if !r.Clean() {
					t.Errorf("violations of a run without fault: %q", r.Violations)
				}
				return
			}
			if r.Clean() || len(r.Violations) != 1 || !strings.Contains(r.Violations[0], c.want) {
				t.Errorf("verdict %s, violations %q; want one with %q", r.Verdict, r.Violations, c.want)
			}
		})
	}
}

// Every run of eight or more payments has every instant, and a seed repeats it.
func TestPlan(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 7, 8, 9, 24, 100, MaxPayments} {
		rounds := plan(n, 5)
		ids, kills := make(map[string]bool), make(map[string]bool)
		for _, r := range rounds {
			for i, p := range r {
				if ids[p.id] = true; (p.kill != NotKilled) != (i == 0) {
					t.Errorf("%d payments: %s, which is number %d of its round, has the kill %q", n, p.id, i, p.kill)
				}
				if p.cents <= 0 || p.cents >= maxCents {
					t.Errorf("%s has %d cents", p.id, p.cents)
				}
				kills[fmt.Sprint(p.way, p.kill)] = true
			}
		}
		if len(ids) != n {
			t.Errorf("%d payments have %d ids", n, len(ids))
		}
		for i, f := range fates {
			if i < n && !kills[fmt.Sprint(f.way, f.kill)] {
				t.Errorf("%d payments: no %s is killed %s", n, f.way, f.kill)
			}
		}
		again := plan(n, 5)
		for i, r := range rounds {
			for j, p := range r {
				if q := again[i][j]; q.id != p.id || q.way != p.way || q.cents != p.cents || q.delay != p.delay {
					t.Errorf("the same seed made %+v, and then %+v", p, q)
				}
			}
		}
	}
}
