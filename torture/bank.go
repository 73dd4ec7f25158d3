package torture

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/semel-dev/semel/torture/check"
)

// The bank is accounts that have their first money from one credit each, and are
// moved by transactions alone from then on. The amounts are large, so that a balance
// says what came before: see the checker's rule 7.
const (
	bankAccounts = 100 // no transaction has more participants
	bankCents    = int64(1e16)
	largestMove  = int64(1e15)
	// hotAccounts have every fourth transaction among them, so that they meet.
	hotAccounts = 8
	// bankTimeout is a transaction's to be decided. It is longer than any fault lasts,
	// so that one which is over without a decision tells of a deadlock. A round of
	// faults of a cluster has one after the other.
	bankTimeout    = 30 * time.Second
	clusterTimeout = 2 * time.Minute
	// atOnce is how many transactions a client sends at once at the end, where the
	// others go in batches.
	atOnce = 16
)

// transaction makes one of the bank.
func (m *maker) transaction(o *operation) {
	o.kind, o.agent, o.timeout = check.OpTransaction, "", m.timeout
	accounts := m.rng.Perm(bankAccounts)
	if m.rng.IntN(4) == 0 {
		accounts = append(m.rng.Perm(hotAccounts), accounts...)
		accounts = distinct(accounts)
	}
	move := func(most int64, moves ...int64) {
		cents := 1 + m.rng.Int64N(most)
		for i, sign := range moves {
			o.parts = append(o.parts, check.Part{Account: accounts[i], Cents: sign * cents})
		}
	}
	switch x := m.rng.IntN(100); {
	case x < 1 || m.first: // there is one, however little is played
		m.first = false
		for _, n := range m.rng.Perm(bankAccounts) {
			o.parts = append(o.parts, check.Part{Account: n})
		}
	case x < 10: // one alone is asked without a vote; what was answered a moment ago must be there
		o.parts = []check.Part{{Account: m.moved}}
	case x < 14:
		move(1, make([]int64, 2+m.rng.IntN(6))...)
	case x < 18: // nobody has so much
		move(1, -1, 1)
		more := bankAccounts * bankCents
		o.parts[0].Cents, o.parts[1].Cents = o.parts[0].Cents-more, o.parts[1].Cents+more
	case x < 24: // few have
		move(2*bankCents, -1, 1)
	case x < 34:
		move(largestMove, -1, 1, 0)
	case x < 44:
		move(largestMove, -2, 1, 1)
	default:
		move(largestMove, -1, 1)
	}
	m.moved = o.parts[0].Account
	m.rng.Shuffle(len(o.parts), func(i, k int) { o.parts[i], o.parts[k] = o.parts[k], o.parts[i] })
}

// distinct is a list without what was in it before.
func distinct(list []int) (all []int) {
	seen := make(map[int]bool, len(list))
	for _, n := range list {
		if !seen[n] {
			seen[n] = true
			all = append(all, n)
		}
	}
	return all
}

// otherParts is another transaction, that would not change the total either: of
// twice the amounts, or if there is none, of other accounts.
func (o *operation) otherParts() []check.Part {
	other := slices.Clone(o.parts)
	moves := false
	for i := range other {
		other[i].Cents *= 2
		moves = moves || other[i].Cents != 0
	}
	switch {
	case moves:
	case len(other) > 1:
		other = other[1:]
	default:
		other[0].Account = (other[0].Account + 1) % bankAccounts
	}
	return other
}

// transactionBody is what is sent of one.
func (o *operation) transactionBody() []byte {
	type participant struct {
		Agent  string          `json:"agent"`
		Action string          `json:"action"`
		Body   json.RawMessage `json:"body"`
	}
	var doc struct {
		Participants []participant `json:"participants"`
		Timeout      string        `json:"timeout"`
	}
	doc.Timeout = o.timeout.String()
	for _, p := range o.parts {
		one := participant{check.BankAccount(o.run, p.Account), "balance", json.RawMessage(`{}`)}
		switch {
		case p.Cents > 0:
			one.Action, one.Body = "credit", fmt.Appendf(nil, `{"cents":%d}`, p.Cents)
		case p.Cents < 0:
			one.Action, one.Body = "debit", fmt.Appendf(nil, `{"cents":%d}`, -p.Cents)
		}
		doc.Participants = append(doc.Participants, one)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err) // it is of our own making
	}
	return b
}

// transactionReply takes the balances from the reply of a transaction.
func transactionReply(body []byte, rec *check.Record) error {
	var r struct {
		Replies []struct {
			Cents *int64 `json:"cents"`
		} `json:"replies"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return err
	}
	for _, one := range r.Replies {
		if one.Cents == nil {
			return errors.New("a part has no balance")
		}
		rec.Balances = append(rec.Balances, *one.Cents)
	}
	return nil
}

// refusedBy is who refused a transaction.
func refusedBy(data json.RawMessage) string {
	var r struct {
		At string `json:"at"`
	}
	_ = json.Unmarshal(data, &r) // then it does not say
	return r.At
}

// fund brings the money into the bank.
func (l *loader) fund(ctx context.Context) {
	var all []*operation
	for n := range bankAccounts {
		o := &operation{run: l.Run, key: fmt.Sprintf("%s-fund-%d", l.Run, n), kind: check.OpCredit, action: "credit", cents: bankCents}
		o.agent = check.BankAccount(l.Run, n)
		all = append(all, o)
	}
	l.decide(ctx, all, check.PhaseLoad, func(o *operation) { l.keep(&l.decided, o) })
}

// readAll reads all accounts in one transaction, at the end: none must be held.
func (l *loader) readAll(ctx context.Context) {
	o := &operation{run: l.Run, key: l.Run + "-last", kind: check.OpTransaction, timeout: l.Timeout}
	for n := range bankAccounts {
		o.parts = append(o.parts, check.Part{Account: n})
	}
	l.decide(ctx, []*operation{o}, check.PhaseLast, func(o *operation) {
		l.decide(ctx, []*operation{o}, check.PhaseAgain, func(*operation) {})
	})
}

// oneByOne sends transactions, which no batch takes, some at once.
func (l *loader) oneByOne(ctx context.Context, all []*operation, phase string) []check.Record {
	answers := make([]check.Record, len(all))
	var some sync.WaitGroup
	turn := make(chan struct{}, atOnce)
	for i, o := range all {
		turn <- struct{}{}
		some.Go(func() {
			defer func() { <-turn }()
			answers[i] = l.send(ctx, o, phase, waitFor)
		})
	}
	some.Wait()
	return answers
}

// sorted puts the operations that go one by one behind the others.
func sorted(all []*operation) []*operation {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b *operation) int { return cmp.Compare(a.alone(), b.alone()) })
	return all
}

// alone is 1 for an operation that no batch takes, else 0.
func (o *operation) alone() int {
	if o.kind == check.OpTransaction {
		return 1
	}
	return 0
}

// together sends the first of a sorted list in one request, or those that go one by
// one, and says how many that were.
func (l *loader) together(ctx context.Context, rest []*operation, phase string) (answers []check.Record) {
	n := 1
	for n < min(len(rest), lastBatch) && rest[n].alone() == rest[0].alone() {
		n++
	}
	if rest[0].alone() == 1 {
		return l.oneByOne(ctx, rest[:n], phase)
	}
	return l.batch(ctx, rest[:n], phase)
}
