package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/twopc"
)

// followed is a transaction or a saga with all that hangs on it. Its members are
// part of the command's contract (docs/reference/cli.md).
type followed struct {
	Transaction *twopc.Info         `json:"transaction,omitempty"`
	Saga        *saga.View          `json:"saga,omitempty"`
	Agents      []followedAgent     `json:"agents,omitempty"`
	Doubts      []client.Doubt      `json:"doubts,omitempty"`
	Dead        []client.DeadLetter `json:"dead_letters,omitempty"`
	Hidden      bool                `json:"hidden,omitempty"` // the caller may not see agents, doubts and dead letters
	Next        []string            `json:"next"`             // what a person can do; nothing if it goes on, or is over, by itself
}

// followedAgent is an agent that takes part.
type followedAgent struct {
	Agent   string `json:"agent"`
	Branch  string `json:"branch"`
	Version uint64 `json:"version"` // 0 if it does not exist
	Held    bool   `json:"held,omitempty"`
}

var txName = regexp.MustCompile(`^[0-9a-f]{8}-[a-z2-7]{8}-[a-z2-7]{22}-[a-z2-7]{7}$`)

func explainTransactionCommand() *cobra.Command {
	var o remote
	var principal string
	cmd := &cobra.Command{
		Use:   "transaction KEY|TRANSACTION",
		Short: "Follow a key through its transaction: the decision, each branch, what waits, what to do",
		Args:  cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			f, err := followTransaction(ctx, s, args[0], principal)
			if err != nil {
				return err
			}
			return s.followed(f, f.transactionTree)
		}),
	}
	o.flags(cmd.Flags())
	cmd.Flags().StringVar(&principal, "principal", "", "whose key it is; the default is the caller's own, another `name` needs the role read")
	return cmd
}

func explainSagaCommand() *cobra.Command {
	var o remote
	var principal string
	cmd := &cobra.Command{
		Use:   "saga (NAME KEY | SAGA)",
		Short: "Follow a key through its saga: the phase, each step, its effects and doubts, what to do",
		Args:  cobra.RangeArgs(1, 2),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			f, err := followSaga(ctx, s, args, principal)
			if err != nil {
				return err
			}
			return s.followed(f, f.sagaTree)
		}),
	}
	o.flags(cmd.Flags())
	cmd.Flags().StringVar(&principal, "principal", "", "whose key it is; the default is the caller's own, another `name` needs the role read")
	return cmd
}

func followTransaction(ctx context.Context, s *session, what, principal string) (*followed, error) {
	var i twopc.Info
	err := error(semel.ErrUnknownAgent)
	if txName.MatchString(what) { // a key may look like that, too
		i, err = s.Transaction(ctx, what)
	}
	if err != nil {
		if named := err; txName.MatchString(what) && codeOf(named) != "unknown_transaction" {
			return nil, named
		}
		if i, err = s.FindTransaction(ctx, what, principal); err != nil {
			return nil, err
		}
	}
	f := &followed{Transaction: &i, Next: []string{}}
	for _, b := range i.Branches {
		if b.Agent != "" {
			if err := f.agent(ctx, s, b.Agent, b.Name, b.Vote == twopc.VoteYes && b.Acked.IsZero() && !i.OnePhase); err != nil {
				return nil, err
			}
		}
	}
	own := ""
	if p := strings.Split(i.Tx, "-"); len(p) == 4 {
		own = twopc.Type + "/" + p[1] + "-" + p[2]
	}
	if err := f.deadLetters(ctx, s, own); err != nil {
		return nil, err
	}
	f.adviseTransaction()
	return f, nil
}

func followSaga(ctx context.Context, s *session, args []string, principal string) (*followed, error) {
	var v saga.View
	var err error
	if len(args) == 1 {
		v, err = s.Saga(ctx, args[0])
	} else {
		v, err = s.FindSaga(ctx, args[0], args[1], principal)
	}
	if err != nil {
		return nil, err
	}
	f := &followed{Saga: &v, Next: []string{}}
	for _, step := range v.Steps {
		for _, t := range []saga.Try{step.Do, step.Undo} {
			if t.Key == "" || t.State != saga.Asked {
				continue
			}
			d, err := s.Doubt(ctx, t.Key) // a doubt has the id of its effect
			switch {
			case err == nil:
				f.Doubts = append(f.Doubts, d)
			case codeOf(err) == "forbidden":
				f.Hidden = true
			case codeOf(err) != "unknown_doubt":
				return nil, err
			}
		}
	}
	if at := strings.LastIndexByte(v.ID, '-'); at > 0 {
		if err := f.deadLetters(ctx, s, "saga."+v.ID[:at]+"/"+v.ID[at+1:]); err != nil {
			return nil, err
		}
	}
	f.adviseSaga()
	return f, nil
}

// agent looks at an agent that takes part.
func (f *followed) agent(ctx context.Context, s *session, agent, branch string, held bool) error {
	state, err := s.State(ctx, agent)
	switch {
	case codeOf(err) == "forbidden":
		f.Hidden = true
	case err != nil && !errors.Is(err, semel.ErrUnknownAgent) && !errors.Is(err, semel.ErrUnknownAgentType):
		return err
	}
	f.Agents = append(f.Agents, followedAgent{agent, branch, state.Version, held})
	return nil
}

// deadLetters looks for those that the transaction or the saga sent, or got.
func (f *followed) deadLetters(ctx context.Context, s *session, own string) error {
	if f.Hidden {
		return nil
	}
	for d, err := range s.DeadLetters(ctx) {
		switch {
		case codeOf(err) == "forbidden":
			f.Hidden = true
			return nil
		case err != nil:
			return err
		case own != "" && (d.Agent == own || strings.Contains(d.Principal, own)):
			f.Dead = append(f.Dead, d)
		}
	}
	return nil
}

// codeOf is the code of an error of the client's.
func codeOf(err error) string {
	var p *client.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

func (f *followed) advise(form string, args ...any) {
	f.Next = append(f.Next, fmt.Sprintf(form, args...))
}

func (f *followed) adviseLetters() {
	for _, d := range f.Doubts {
		f.advise("look at the doubt, ask the provider, and settle it: semel doubts show %s", d.ID)
	}
	for _, d := range f.Dead {
		f.advise("mend what made it fail, then: semel dead show %s, and semel dead retry", d.ID)
	}
}

func (f *followed) adviseTransaction() {
	i := f.Transaction
	f.adviseLetters()
	for _, b := range i.Branches {
		switch {
		case b.Resolved != nil:
		case b.Mixed != "":
			f.advise("%s went the other way: put it right by hand, then: semel transactions resolve %s %s --why TEXT", b.Agent+b.Participant, i.Tx, b.Name)
		case i.InDoubt() && b.Participant != "" && b.Acked.IsZero() && !b.Told.IsZero():
			f.advise("%s is told until it acknowledges; if it never will: semel transactions resolve %s %s --why TEXT", b.Participant, i.Tx, b.Name)
		}
	}
}

func (f *followed) adviseSaga() {
	v := f.Saga
	f.adviseLetters()
	if v.Parked == nil {
		return
	}
	if v.Parked.Step != "" {
		f.advise("find out whether step %s happened, then: semel sagas settle %s %s --happened, or --did-not-happen", v.Parked.Step, v.ID, v.Parked.Step)
	}
	if !slices.Contains([]string{saga.CodePivotUnknown, saga.CodeUndoUnknown}, v.Parked.Code) {
		f.advise("or mend what keeps it, and have it try again: semel sagas resume %s", v.ID)
	}
}

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
