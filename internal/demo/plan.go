package demo

import (
	"fmt"
	"math/rand/v2"
)

// Way is how a payment moves money.
type Way string

// The ways of a payment.
const (
	Debit Way = "debit"        // from an account that Semel keeps
	Ask   Way = "charge-ask"   // by the provider; in doubt, a person settles it
	Probe Way = "charge-probe" // by the provider, which can be asked whether it did
)

// Instant is when the server is killed, as seen from one payment.
type Instant string

// The instants, in the order of a payment's way.
const (
	NotKilled Instant = ""
	Before    Instant = "before the commit"
	Random    Instant = "at a random moment"
	Arrived   Instant = "on arrival, before the charge"
	Charged   Instant = "after the charge, before its record"
	After     Instant = "after the commit, before the reply"
)

// fates are what a run of at least so many payments has each of. The order is
// by how much they show, for shorter runs.
var fates = []struct {
	way  Way
	kill Instant
}{
	{Debit, Before}, {Debit, After}, {Ask, Charged}, {Probe, Charged},
	{Ask, Arrived}, {Probe, Arrived}, {Probe, After}, {Debit, Random},
}

// clients is how many clients submit each payment at once, with one key.
const clients = 4

// payment is one payment and what became of it.
type payment struct {
	id    string // its number on the invoice, and the idempotency key
	way   Way
	cents int64
	kill  Instant
	delay float64 // of a kill at a random moment: the part of maxDelay

	clients [clients]caller
}

// maxCents bounds a payment; the account is opened with as much for each.
const maxCents = 10_000

// plan makes the payments of each round. Every round has one payment for whose
// sake the server is killed; the others are in the way.
func plan(n int, seed uint64) (rounds [][]*payment) {
	rng := rand.New(rand.NewPCG(seed, 0))
	rounds = make([][]*payment, min(n, max(len(fates), n/10)))
	ways := []Way{Debit, Ask, Probe}
	for i := range n {
		p := &payment{way: ways[rng.IntN(len(ways))], cents: 100 + rng.Int64N(maxCents-100), delay: rng.Float64()}
		if i < len(rounds) {
			p.way, p.kill = fates[i%len(fates)].way, fates[i%len(fates)].kill
		}
		rounds[i%len(rounds)] = append(rounds[i%len(rounds)], p)
	}
	next, width := 0, len(fmt.Sprint(n))
	for _, r := range rounds {
		for _, p := range r {
			next++
			p.id = fmt.Sprintf("pay-%0*d", width, next)
		}
	}
	return rounds
}
