package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// searchTime bounds the search for an order of one account's operations. That
// it was too short is a failure: nothing is proved then.
const searchTime = 2 * time.Minute

// balance is the state of the model of an account: what it has, and what is
// under way to others.
type balance struct{ cents, pending int64 }

// step is what an operation does to one account at one moment. A transfer does
// two things to its sender: it takes, and when the other account has answered it
// tells what is left then.
type step struct {
	op    *operation
	takes int64 // from the balance
	moves int64 // from the balance to what is pending; negative when it has arrived
	tells bool  // the reply has the balance
	read  int64 // which is this one
	poor  bool  // it was refused because there was less than takes or moves
}

var model = porcupine.Model{
	Init: func() any { return balance{} },
	Step: func(state, input, _ any) (bool, any) {
		b, s := state.(balance), input.(*step)
		if s.poor {
			return s.takes+s.moves > b.cents, b
		}
		b.cents -= s.takes
		if s.moves > 0 {
			b.cents -= s.moves
		}
		b.pending += s.moves
		return b.cents >= 0 && b.pending >= 0 && (!s.tells || b.cents == s.read), b
	},
	Equal: func(a, b any) bool { return a == b },
}

// linearizable judges that the replies of each account are those of some order
// of its operations (rule 4).
func (j *judge) linearizable() {
	for _, a := range j.accounts() {
		if a.undecided != nil || a.bank {
			continue // of the bank see serial.go; of the others, it may or may not be in there, and is a violation by itself
		}
		history := a.steps()
		switch porcupine.CheckOperationsTimeout(model, history, searchTime) {
		case porcupine.Ok:
		case porcupine.Unknown:
			j.found(CodeUnclear, decisionLines(a.history[0]), "no order of the %d operations of %s was found in %v, and that there is none was not proved", len(history), a.name, searchTime)
		default:
			j.disorder(a, history)
		}
	}
}

// steps are the account's part of its operations.
func (a *account) steps() (all []porcupine.Operation) {
	add := func(o *operation, s step) {
		s.op = o
		all = append(all, porcupine.Operation{Input: &s, Call: o.begun().call, Return: o.first.ret})
	}
	for _, o := range a.history {
		first := o.first
		s := step{tells: first.told, read: first.balance}
		refused := first.answered == Fail
		if refused && first.code != codeFunds {
			continue // for a reason that is not the balance
		}
		switch {
		case o.kind == OpRead:
			add(o, s)
		case o.kind == OpCredit && !refused:
			s.takes = -o.cents
			add(o, s)
		case o.kind == OpDebit:
			s.takes, s.poor = o.cents, refused
			add(o, s)
		case o.kind == OpTransfer && refused:
			if o.agent == a.name {
				add(o, step{moves: o.cents, poor: true})
			}
		case o.kind == OpTransfer && o.agent == o.to:
			add(o, s) // it changes nothing
		case o.kind == OpTransfer && o.agent == a.name:
			add(o, step{moves: o.cents})
			s.moves = -o.cents
			add(o, s)
		case o.kind == OpTransfer:
			add(o, step{takes: -o.cents})
		}
	}
	return all
}

// disorder tells the least of an account whose replies are those of no order:
// how far the longest one goes, and the first answer that does not fit behind.
func (j *judge) disorder(a *account, history []porcupine.Operation) {
	_, info := porcupine.CheckOperationsVerbose(model, history, searchTime)
	var best []porcupine.Operation
	for _, part := range info.PartialLinearizationsOperations() {
		for _, order := range part {
			if len(order) > len(best) {
				best = order
			}
		}
	}
	state := model.Init()
	in := make(map[*step]bool, len(best))
	for _, o := range best {
		_, state = model.Step(state, o.Input, nil)
		in[o.Input.(*step)] = true
	}
	var rest []*step
	stuck := int64(-1) // the first to be over of what is left
	for _, o := range history {
		if s := o.Input.(*step); !in[s] {
			rest = append(rest, s)
			if stuck < 0 || o.Return < stuck {
				stuck = o.Return
			}
		}
	}
	rest = slices.DeleteFunc(rest, func(s *step) bool { return s.op.begun().call > stuck })
	slices.SortFunc(rest, func(a, b *step) int { return int(a.op.first.ret - b.op.first.ret) })
	var lines []place
	before := "at the beginning"
	if len(best) > 0 {
		last := best[len(best)-1].Input.(*step).op
		before = "after " + last.String()
		lines = append(lines, decisionLines(last)...)
	}
	var could []string
	for _, s := range rest[:min(len(rest), 4)] {
		lines = append(lines, decisionLines(s.op)...)
		could = append(could, s.String())
	}
	j.found(CodeNotLinearizable, lines, "%s: no order of its operations has these replies. At best it has %d cents %s; next must be one of %d, and none fits: %s",
		a.name, state.(balance).cents, before, len(rest), strings.Join(could, "; "))
}

func (s *step) String() string {
	switch {
	case s.poor:
		return s.op.String() + " refused for want of funds"
	case s.tells:
		return fmt.Sprintf("%s answered %d", s.op, s.read)
	}
	return s.op.String()
}
