package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The bank is accounts that are moved by transactions alone (rule 7). Its amounts
// are so large, and drawn so evenly, that no account has the same balance twice;
// that it does by chance is less likely than once in a million runs. So the balance
// that a reply tells says which transaction left it, and the one that it found
// there: all transactions have a place, and nobody need search for one.

// healing is how long after the last fault an account may be held, and a
// transaction be open.
const healing = int64(30e9)

// change is what a transaction does to one account; 0 is a read.
type change struct {
	account string
	cents   int64
}

// movement is a transaction for people.
func (o *operation) movement() string {
	var parts []string
	for _, c := range o.parts {
		if c.cents != 0 {
			parts = append(parts, fmt.Sprintf("%+d of %s", c.cents, c.account))
		}
	}
	if len(parts) == 0 {
		return fmt.Sprintf("the transaction %s, a read of %d accounts", o.key, len(o.parts))
	}
	if reads := len(o.parts) - len(parts); reads > 0 {
		parts = append(parts, fmt.Sprintf("a read of %d", reads))
	}
	return fmt.Sprintf("the transaction %s (%s)", o.key, strings.Join(parts, ", "))
}

// moves says that it changes something.
func (o *operation) moves() bool {
	return slices.ContainsFunc(o.parts, func(c change) bool { return c.cents != 0 })
}

// vault is an account of the bank, and all that was told of it.
type vault struct {
	name   string
	murky  bool                     // something is not known of it, or contradicts itself already
	left   map[int64]*operation     // who left a balance
	takers map[int64][]*operation   // who found it, and changed it
	reads  map[int64][]*operation   // who read it
	order  []*operation             // those who changed it, one after the other
	had    []int64                  // what they left, each
	found  map[*operation]foundLeft // by who changed it
}

type foundLeft struct{ found, left int64 }

// bank judges the transactions (rule 7).
func (j *judge) bank() {
	if j.h.manifest.Bank == nil {
		return
	}
	j.totals()
	vaults := j.vaults()
	for _, v := range vaults {
		j.follow(v)
	}
	j.strangers(vaults)
	j.serializable(vaults)
	for _, o := range j.h.order {
		if o.kind == OpTransaction && o.first != nil && o.first.answered == Fail {
			j.aborted(o, vaults)
		}
	}
	j.released()
}

// totals judges that whoever saw all accounts saw all of the money.
func (j *judge) totals() {
	b := j.h.manifest.Bank
	total := int64(b.Accounts) * b.Cents
	for _, o := range j.h.order {
		if o.kind != OpTransaction || len(o.parts) != b.Accounts || !o.told() {
			continue
		}
		sum := int64(0)
		for _, n := range o.first.balances {
			sum += n
		}
		if sum != total {
			j.found(CodeTotalChanged, decisionLines(o), "%s saw %d in all accounts together, and they have %d (%+d)", o, sum, total, sum-total)
		}
	}
}

// told says that it is done and told all of its balances.
func (o *operation) told() bool {
	return o.first != nil && o.first.answered == OK && o.toldBy(o.first)
}

// vaults gathers what was told of each account, by its name.
func (j *judge) vaults() map[string]*vault {
	all := make(map[string]*vault)
	for n := range j.h.manifest.Bank.Accounts {
		name := BankAccount(j.h.manifest.Run, n)
		all[name] = &vault{name: name, left: make(map[int64]*operation), takers: make(map[int64][]*operation), reads: make(map[int64][]*operation), found: make(map[*operation]foundLeft)}
	}
	for _, o := range j.h.order {
		changes := o.parts
		switch {
		case o.kind == OpTransaction:
		case all[o.agent] != nil: // it brings the first money
			changes = []change{{o.agent, o.cents}}
		default:
			continue
		}
		for i, c := range changes {
			switch v := all[c.account]; {
			case o.undecided() || o.first != nil && o.first.answered == OK && !o.told():
				v.murky = true
			case o.first == nil || o.first.answered != OK:
			case o.kind != OpTransaction:
				v.changed(o, c.cents, o.first.balance)
			case c.cents != 0:
				v.changed(o, c.cents, o.first.balances[i])
			default:
				v.reads[o.first.balances[i]] = append(v.reads[o.first.balances[i]], o)
			}
		}
	}
	return all
}

func (v *vault) changed(o *operation, cents, left int64) {
	v.found[o] = foundLeft{left - cents, left}
	v.takers[left-cents] = append(v.takers[left-cents], o)
	if v.left[left] == nil {
		v.left[left] = o
	}
}

// follow puts those who changed an account in their order. Two that found the same
// balance have not seen each other.
func (j *judge) follow(v *vault) {
	for _, balance := range slices.Sorted(maps.Keys(v.takers)) {
		if two := v.takers[balance]; len(two) > 1 {
			v.murky = true
			j.found(CodeUpdateLost, append(decisionLines(two[0]), decisionLines(two[1])...),
				"%s and %s both found %d in %s: one of them is lost, or half of it", two[0], two[1], balance, v.name)
		}
	}
	if v.murky {
		return
	}
	for balance := int64(0); len(v.takers[balance]) == 1 && len(v.order) < len(v.found); {
		o := v.takers[balance][0]
		balance = v.found[o].left
		v.order, v.had = append(v.order, o), append(v.had, balance)
	}
}

// strangers judges that every balance which was found was left by somebody: by a
// transaction that is committed, and not by half of one, or by one that was aborted.
func (j *judge) strangers(vaults map[string]*vault) {
	for _, o := range j.h.order {
		if o.kind != OpTransaction || !o.told() {
			continue
		}
		for i, c := range o.parts {
			v := vaults[c.account]
			balance := o.first.balances[i] - c.cents
			if v.murky || balance == 0 || v.left[balance] != nil {
				continue
			}
			j.found(CodeBalanceUnknown, decisionLines(o), "%s found %d in %s, which no transaction left there", o, balance, v.name)
			break
		}
	}
}

// aborted judges that a transaction had a reason to be aborted.
func (j *judge) aborted(o *operation, vaults map[string]*vault) {
	begun, r := o.begun(), o.first
	lines := append(decisionLines(o), begun.callAt)
	if r.code == codeTimeout {
		if took := r.ret - begun.call; took < j.h.manifest.Bank.Timeout-maxSkew {
			j.found(CodeRejectionFalse, lines, "%s was aborted because its time was over, after %v", o, brief(took))
		}
		return
	}
	i := slices.IndexFunc(o.parts, func(c change) bool { return c.account == r.by })
	switch {
	case r.code != codeFunds: // see decision
	case i < 0 || o.parts[i].cents >= 0:
		j.found(CodeRejectionFalse, lines, "%s was aborted for want of funds by %q, which it does not debit", o, r.by)
	case !vaults[r.by].murky && !vaults[r.by].poor(-o.parts[i].cents, begun.call, r.ret):
		j.found(CodeRejectionFalse, lines, "%s was aborted for want of funds, and %s had so much all the time", o, r.by)
	}
}

// poor says whether the account may have had less at some moment.
func (v *vault) poor(than, from, to int64) bool {
	if len(v.order) == 0 || v.order[0].first.ret >= from {
		return true // it had nothing
	}
	for i, o := range v.order {
		over := i+1 < len(v.order) && v.order[i+1].first.ret < from
		if v.had[i] < than && o.begun().call <= to && !over {
			return true
		}
	}
	return false
}

// released judges that after the last fault every account can be had soon, and no
// transaction stays open.
func (j *judge) released() {
	if !j.h.manifest.Finished {
		return
	}
	calm, last := j.h.calm()
	if i := slices.IndexFunc(j.h.listings, func(e *event) bool { return e.At >= calm-maxSkew }); i < 0 {
		j.flaw(CodeDrainMissing, lastLines(last), "nobody has listed the transactions that are not over after the last fault")
	}
	read := false
	for _, o := range j.h.order {
		i := slices.IndexFunc(o.requests, func(r *request) bool { return r.phase == PhaseLast })
		if i < 0 || o.requests[i].call < calm-maxSkew {
			continue
		}
		read = true
		switch asked := o.requests[i].call; {
		case !o.told():
			j.found(CodeAccountHeld, append(decisionLines(o), lastLines(last)...), "%s, the last one, was not done: an account is held", o)
		case o.first.ret-asked > healing:
			j.found(CodeAccountHeld, append(decisionLines(o), lastLines(last)...), "%s, the last one, took %v: an account was held", o, brief(o.first.ret-asked))
		}
	}
	if !read {
		j.flaw(CodeDrainMissing, lastLines(last), "nobody has read the whole bank after the last fault")
	}
}
