package check

import (
	"slices"
	"strings"
)

// account is everything that touched one account.
type account struct {
	name      string
	fold      int64 // what is left by all that is done
	undecided *operation
	named     *operation   // the first that names it
	history   []*operation // without those that failed for other reasons than its balance
	state     *event
	bank      bool // it is moved by transactions
}

// states judges that the balance at the end is what the operations that are
// done leave (rule 4).
func (j *judge) states() {
	calm, last := j.h.calm()
	for _, a := range j.accounts() {
		switch {
		case a.undecided != nil: // which is a violation by itself
		case a.state == nil && !j.h.manifest.Finished: // it was not asked for any more
		case a.state == nil:
			j.flaw(CodeStateMissing, decisionLines(a.named), "the history does not say how %s ended", a.name)
		case a.state.At < calm-maxSkew:
			j.flaw(CodeStateMissing, lastLines(a.state, last), "the history does not say how %s ended: it was looked at before the last fault", a.name)
		case a.state.Balance == nil || *a.state.Balance != a.fold || a.state.Pending != 0:
			j.found(CodeStateMismatch, append([]place{a.state.place}, suspects(a)...),
				"%s ended with %d cents and %d pending; what is done leaves %d%s", a.name, value(a.state.Balance), a.state.Pending, a.fold, suspicion(a))
		}
	}
}

func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// suspects are the lines of the operations whose loss or repetition alone would
// explain the difference, or if there are none, of the last ones that are done.
func suspects(a *account) (lines []place) {
	few := suspected(a)
	if len(few) == 0 {
		few = slices.Clone(a.history)
		few = slices.DeleteFunc(few, func(o *operation) bool { return delta(o, a.name) == 0 })
	}
	for _, o := range few[max(0, len(few)-shown):] {
		lines = append(lines, decisionLines(o)...)
	}
	return lines
}

func suspicion(a *account) string {
	few := suspected(a)
	switch {
	case len(few) != 1:
		return ""
	case value(a.state.Balance)-a.fold == delta(few[0], a.name):
		return ": as if " + few[0].String() + " was done twice"
	}
	return ": as if " + few[0].String() + " was lost"
}

func suspected(a *account) (all []*operation) {
	off := value(a.state.Balance) - a.fold
	for _, o := range a.history {
		if d := delta(o, a.name); d != 0 && (d == off || d == -off) {
			all = append(all, o)
		}
	}
	return all
}

// delta is what an operation that is done adds to an account.
func delta(o *operation, name string) (d int64) {
	if o.first == nil || o.first.answered != OK {
		return 0
	}
	switch o.kind {
	case OpCredit:
		return o.cents
	case OpDebit:
		return -o.cents
	case OpTransfer:
		if o.agent == name {
			d -= o.cents
		}
		if o.to == name {
			d += o.cents
		}
	case OpTransaction:
		for _, c := range o.parts {
			if c.account == name {
				d += c.cents
			}
		}
	}
	return d
}

// accounts are the names of those that it touches.
func (o *operation) accounts() []string {
	switch {
	case o.kind == OpTransaction:
		names := make([]string, 0, len(o.parts))
		for _, c := range o.parts {
			names = append(names, c.account)
		}
		return names
	case o.kind == OpTransfer && o.to != o.agent:
		return []string{o.agent, o.to}
	}
	return []string{o.agent}
}

// accounts are all that an operation or a final state names, by name.
func (j *judge) accounts() []*account {
	by := make(map[string]*account)
	of := func(name string) *account {
		if by[name] == nil {
			by[name] = &account{name: name}
		}
		return by[name]
	}
	for _, o := range j.h.order {
		switch o.kind {
		case OpCredit, OpDebit, OpTransfer, OpRead, OpTransaction:
		default:
			continue
		}
		for _, name := range o.accounts() {
			a := of(name)
			a.bank = a.bank || o.kind == OpTransaction
			if a.named == nil {
				a.named = o
			}
			if o.undecided() && o.kind != OpRead {
				a.undecided = o
			}
			if o.first != nil {
				a.history = append(a.history, o)
				a.fold += delta(o, name)
			}
		}
	}
	for _, e := range j.h.states {
		of(e.Agent).state = e
	}
	all := make([]*account, 0, len(by))
	for _, a := range by {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *account) int { return strings.Compare(a.name, b.name) })
	return all
}
