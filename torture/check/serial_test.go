package check

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// drawn is a random run of a bank that keeps its promise: transactions overlap, and
// each takes effect at one moment between its request and its answer.
type drawn struct {
	j       *judge
	moments []int64 // of each of the operations
}

const drawnAccounts, drawnCents = 4, int64(1e16)

func draw(rng *rand.Rand, n int) *drawn {
	d := &drawn{j: &judge{report: &Report{Broken: make(map[string]int)}, flaws: make(map[string]int)}}
	d.j.h = &history{manifest: Manifest{Run: "t", Bank: &Bank{Accounts: drawnAccounts, Cents: drawnCents}}}
	add := func(o *operation, call, moment, ret int64) {
		o.requests = []*request{{op: o, call: call, ret: ret, answered: OK}}
		o.first = o.requests[0]
		d.j.h.order, d.moments = append(d.j.h.order, o), append(d.moments, moment)
	}
	for k := range drawnAccounts {
		add(&operation{kind: OpCredit, agent: BankAccount("t", k), cents: drawnCents}, 0, 1, 2)
	}
	for i := range n {
		call := 10 + rng.Int64N(int64(10*n))
		moment := call + 1 + rng.Int64N(40)
		o := &operation{kind: OpTransaction, key: fmt.Sprint(i)}
		for _, k := range rng.Perm(drawnAccounts)[:2+rng.IntN(3)] {
			o.parts = append(o.parts, change{BankAccount("t", k), 0})
		}
		if rng.IntN(3) > 0 {
			cents := 1 + rng.Int64N(1e12)
			o.parts[0].cents, o.parts[1].cents = -cents, cents
		}
		add(o, call, moment, moment+1+rng.Int64N(40))
	}
	return d
}

// play tells each operation what its moment gives.
func (d *drawn) play() {
	order := make([]int, len(d.moments))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(d.moments[a] - d.moments[b]) })
	has := make(map[string]int64)
	for _, i := range order {
		o := d.j.h.order[i]
		if o.kind == OpCredit {
			has[o.agent] += o.cents
			o.first.told, o.first.balance = true, has[o.agent]
			continue
		}
		o.first.balances = nil
		for _, c := range o.parts {
			has[c.account] += c.cents
			o.first.balances = append(o.first.balances, has[c.account])
		}
	}
}

// What a bank tells that keeps its promise is never called a violation, however its
// transactions overlap; and what one tells that took effect before it was asked
// for, or after it was answered, is one if anybody could know.
func TestSerializable(t *testing.T) {
	t.Parallel()
	seen := 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		d := draw(rng, 20+rng.IntN(80))
		d.play()
		if d.j.bank(); len(d.j.report.Broken) > 0 {
			t.Fatalf("seed %d: %v: %s", seed, d.j.report.Broken, d.j.report.Violations[0].Message)
		}
		i := drawnAccounts + rng.IntN(len(d.moments)-drawnAccounts)
		told := slices.Clone(d.j.h.order[i].first.balances)
		if d.moments[i] = d.j.h.order[i].first.ret + 200; rng.IntN(2) == 0 {
			d.moments[i] = max(d.j.h.order[i].first.call-200, 3)
		}
		d.play()
		if slices.Equal(told, d.j.h.order[i].first.balances) {
			continue // nobody was in between
		}
		if d.j.bank(); d.j.report.Broken[CodeNotSerializable] > 0 {
			seen++
			if v := d.j.report.Violations[0]; len(v.places) < 4 {
				t.Errorf("seed %d: %s shows only %v", seed, v.Message, v.places)
			}
		}
	}
	if seen < 150 {
		t.Errorf("only %d of 300 were found", seen)
	}
}
