package main

import (
	"strconv"
	"strings"

	"github.com/semel-dev/semel/twopc"
)

// followed prints what was followed, as a tree for people.
func (s *session) followed(f *followed, tree func(*treePrinter)) error {
	if s.json {
		return s.object(f)
	}
	t := &treePrinter{}
	tree(t)
	for _, d := range f.Dead {
		t.branch("dead letter %s: %s of %s, %d attempts, %s ago: %s", d.ID, d.Action, d.Agent, d.Attempts, age(d.At), shorten(d.Reason, 200))
	}
	if f.Hidden {
		s.note("agents, doubts and dead letters need the role read")
	}
	for _, line := range t.lines() {
		if err := s.line("%s", printable(line)); err != nil {
			return err
		}
	}
	for _, next := range f.Next {
		if err := s.line("next: %s", printable(next)); err != nil {
			return err
		}
	}
	if len(f.Next) == 0 {
		return s.line("next: nothing; %s", f.rest())
	}
	return nil
}

// rest is why nobody has to do anything.
func (f *followed) rest() string {
	over := f.Saga != nil && f.Saga.Phase.Ended() || f.Transaction != nil && !f.Transaction.Finished.IsZero()
	if over {
		return "it is over"
	}
	return "it goes on by itself"
}

func (f *followed) transactionTree(t *treePrinter) {
	i := f.Transaction
	t.root("transaction %s: %s, began %s (%s ago)", i.Tx, transactionState(i), moment(i.Began), age(i.Began))
	if i.State == twopc.Undecided && !i.Deadline.IsZero() {
		t.detail("undecided; at %s it is aborted", moment(i.Deadline))
	}
	if i.Code != "" {
		t.detail("because %s: %s", i.Code, i.Detail)
	}
	for _, b := range i.Branches {
		t.branch("%s", branchText(&b))
		for _, a := range f.Agents {
			if a.Branch == b.Name && a.Held {
				t.detail("%s, version %d, is held until it hears of the decision", a.Agent, a.Version)
			} else if a.Branch == b.Name && a.Version > 0 {
				t.detail("%s, version %d", a.Agent, a.Version)
			}
		}
		if b.Error != "" {
			t.detail("last error: %s", b.Error)
		}
		if !b.Again.IsZero() {
			t.detail("told again at %s", moment(b.Again))
		}
	}
}

func (f *followed) sagaTree(t *treePrinter) {
	v := f.Saga
	t.root("saga %s: %s, version %d, started %s (%s ago)", v.ID, v.Phase, v.Version, moment(v.Started), age(v.Started))
	if v.Undoing {
		t.detail("it is being undone")
	}
	if v.Failure != nil {
		t.detail("failed: %s", strings.TrimSpace(v.Failure.Step+" "+v.Failure.Code+": "+v.Failure.Detail))
	}
	if v.Parked != nil {
		t.detail("parked: %s", strings.TrimSpace(v.Parked.Step+" "+v.Parked.Code+": "+v.Parked.Detail))
	}
	doubt := func(key string) {
		for _, d := range f.Doubts {
			if d.ID == key {
				t.detail("doubt %s: effect %s, %s attempts, asked %s ago: %s", d.ID, d.Effect, strconv.Itoa(d.Attempts), age(d.Asked), shorten(d.Reason, 200))
			}
		}
	}
	for _, step := range v.Steps {
		pivot := ""
		if step.Pivot {
			pivot = " (pivot)"
		}
		t.branch("%s%s: %s", step.Name, pivot, tryText(step.Do))
		doubt(step.Do.Key)
		if !step.Undo.IsZero() {
			t.detail("undo: %s", tryText(step.Undo))
			doubt(step.Undo.Key)
		}
	}
}
