package torture

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/semel-dev/semel/torture/check"
)

// operation is what one key is for.
type operation struct {
	run                      string
	key, kind, agent, action string
	to                       string // of a transfer, the other account's id
	cents                    int64
	policy, how              string       // of an effect
	parts                    []check.Part // of a transaction
	timeout                  time.Duration
}

// The agents. Those of effects are the server's own.
const (
	accountType = "account/"
	effectType  = "effects/"
	effectName  = "torture-" // and the policy
)

// account is the name of an account of this run.
func account(run string, generation, n int) string {
	return fmt.Sprintf("%s-%d-%d", run, generation, n)
}

// accountsFor is how many accounts are used at a time: enough that operations do
// not all wait for each other, few enough that operations of each meet.
func accountsFor(clients int) int { return max(4, clients/2) }

// operationsEach is how many operations an account gets before another one takes
// its place: the search for their order takes time and room that grow with the
// square of them.
const operationsEach = 4000

// maker makes the operations of one caller.
type maker struct {
	rng      *rand.Rand
	run      string
	name     string // of the caller
	accounts int
	policies []string
	span     int           // operations of this caller in one generation of accounts
	bank     float64       // how many operations are transactions, in percent
	timeout  time.Duration // of transactions
	first    bool          // of its process
	moved    int           // an account that its last transaction moved, if there was one
	made     int
}

// generation is the one of the accounts that are used now.
func (m *maker) generation() int { return m.made / m.span }

func (m *maker) account() string { return account(m.run, m.generation(), m.rng.IntN(m.accounts)) }

// next makes an operation.
func (m *maker) next() *operation {
	m.made++
	o := &operation{run: m.run, key: m.key(), agent: accountType + m.account()}
	if m.bank > 0 && chance(m.rng, m.bank) {
		m.transaction(o)
		return o
	}
	x := m.rng.IntN(100)
	switch {
	case x < 8:
		o.kind, o.key = check.OpRead, ""
	case x < 10:
		o.kind, o.action = check.OpMalformed, "credit"
	case x < 28 && len(m.policies) > 0:
		m.effect(o)
	case x < 38:
		o.kind, o.action, o.cents, o.to = check.OpTransfer, "transfer", 1+m.rng.Int64N(100), m.account()
	case x < 68:
		o.kind, o.action, o.cents = check.OpDebit, "debit", 1+m.rng.Int64N(120)
	default:
		o.kind, o.action, o.cents = check.OpCredit, "credit", 1+m.rng.Int64N(100)
	}
	return o
}

func (m *maker) effect(o *operation) {
	o.kind, o.action, o.cents = check.OpEffect, "run", 1+m.rng.Int64N(100)
	o.policy = m.policies[m.rng.IntN(len(m.policies))]
	o.agent = effectType + effectName + o.policy
	switch x := m.rng.IntN(100); {
	case x < 5:
		o.how = howLose
	case x < 9:
		o.how = howDrop
	case x < 13:
		o.how = howDecline
	case x < 30:
		o.how = howSlow
	default:
		o.how = howDone
	}
}

// key is a new one: every other carries its own time, the rest tell whose they
// are. The server finds its way by different ways for both.
func (m *maker) key() string {
	if m.made%2 == 0 {
		if id, err := uuid.NewV7(); err == nil {
			return id.String()
		}
	}
	return fmt.Sprintf("%s-%s-%d", m.run, m.name, m.made)
}

// altered is something else under the same key: the other action with the same
// payload, if there is one and chance wants it, or else another amount.
func (o *operation) altered(rng *rand.Rand) *operation {
	other := *o
	switch swap := rng.IntN(2) == 0; {
	case swap && o.kind == check.OpCredit:
		other.kind, other.action = check.OpDebit, "debit"
	case swap && o.kind == check.OpDebit:
		other.kind, other.action = check.OpCredit, "credit"
	case o.kind == check.OpTransaction:
		other.parts = o.otherParts()
	default:
		other.cents++
	}
	return &other
}

// body is what is sent.
func (o *operation) body() []byte {
	switch o.kind {
	case check.OpMalformed:
		return []byte(`{"cents":"many"}`)
	case check.OpTransfer:
		return fmt.Appendf(nil, `{"to":%q,"cents":%d}`, o.to, o.cents)
	case check.OpEffect:
		return fmt.Appendf(nil, `{"run":%q,"op":%q,"cents":%d,"how":%q}`, o.run, o.key, o.cents, o.how)
	case check.OpTransaction:
		return o.transactionBody()
	}
	return fmt.Appendf(nil, `{"cents":%d}`, o.cents)
}

// invoke is the record of a request.
func (o *operation) invoke(id, phase string, body []byte) check.Record {
	sum := sha256.Sum256(append([]byte(o.agent+"\n"+o.action+"\n"), body...))
	rec := check.Record{Type: check.Invoke, ID: id, Key: o.key, Op: o.kind, Agent: o.agent, Cents: o.cents, Policy: o.policy, Parts: o.parts,
		Print: hex.EncodeToString(sum[:8]), Phase: phase}
	if o.to != "" {
		rec.To = accountType + o.to
	}
	return rec
}
