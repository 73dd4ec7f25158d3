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
	history   []*operation // without those that failed for other reasons than its balance
	state     *event
}

// states judges that the balance at the end is what the operations that are
// done leave (rule 4).
func (j *judge) states() {
	accounts := j.accounts()
	for _, a := range accounts {
		switch {
		case a.undecided != nil: // which is a violation by itself
		case a.state == nil:
			last := a.history[len(a.history)-1]
			j.found(CodeStateMissing, decisionLines(last), "the history does not say how %s ended", a.name)
		case a.state.Balance == nil || *a.state.Balance != a.fold || a.state.Pending != 0:
			j.found(CodeStateMismatch, append([]place{a.state.place}, j.suspects(a)...),
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

// suspects are the lines of an operation whose loss or repetition alone would
// explain the difference, if there is just one.
func (j *judge) suspects(a *account) []place {
	if o := suspect(a); o != nil {
		return decisionLines(o)
	}
	return nil
}

func suspicion(a *account) string {
	o := suspect(a)
	switch {
	case o == nil:
		return ""
	case value(a.state.Balance)-a.fold == delta(o, a.name):
		return ": as if " + o.String() + " was done twice"
	}
	return ": as if " + o.String() + " was lost"
}

func suspect(a *account) (only *operation) {
	off := value(a.state.Balance) - a.fold
	for _, o := range a.history {
		if d := delta(o, a.name); d != 0 && (d == off || d == -off) {
			if only != nil {
				return nil
			}
			only = o
		}
	}
	return only
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
	}
	return d
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
		case OpCredit, OpDebit, OpTransfer, OpRead:
		default:
			continue
		}
		names := []string{o.agent}
		if o.kind == OpTransfer && o.to != o.agent {
			names = append(names, o.to)
		}
		for _, name := range names {
			a := of(name)
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
