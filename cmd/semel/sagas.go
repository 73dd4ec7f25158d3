package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/saga"
)

func sagasCommand() *cobra.Command {
	var o remote
	var limit int
	var phases []string
	list := o.do(func(ctx context.Context, s *session, args []string) error {
		t := s.table("SAGA", "PHASE", "STARTED", "AT", "WHY")
		return each(s, limit, sagasOf(ctx, s, args, phases), t, func(v saga.View) []string {
			return []string{v.ID, string(v.Phase), moment(v.Started), strings.Join(underWay(&v), ", "), shorten(printable(whyOf(&v)), 60)}
		})
	})
	group := &cobra.Command{
		Use:   "sagas [NAME]",
		Short: "Start, see, cancel and resume sagas",
		Long: `Start and see sagas: steps that are done one after the other, or undone.

Without a NAME, those of all definitions are listed. A saga that is parked waits for
a person: show it says why. --phase parked lists these alone.`,
		Args: cobra.MaximumNArgs(1),
		RunE: list,
	}
	listFlags := func(cmd *cobra.Command) {
		limitFlag(cmd, &limit)
		cmd.Flags().StringSliceVar(&phases, "phase", nil, "only those that are running, compensating, parked, completed, compensated or cancelled")
	}
	o.flags(group.PersistentFlags())
	listFlags(group)
	lister := &cobra.Command{Use: "list [NAME]", Aliases: []string{"ls"}, Short: "List the sagas of a definition, or all", Args: cobra.MaximumNArgs(1), RunE: list}
	listFlags(lister)
	show := &cobra.Command{
		Use:   "show SAGA",
		Short: "Show a saga: its steps, their attempts and times, its state",
		Args:  cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			v, err := s.Saga(ctx, args[0])
			if err != nil {
				return err
			}
			return s.saga(&v)
		}),
	}
	group.AddCommand(lister, show, startSagaCommand(&o), cancelSagaCommand(&o), resumeSagaCommand(&o), settleStepCommand(&o))
	return group
}

// sagasOf lists those of one definition, or of all.
func sagasOf(ctx context.Context, s *session, args, phases []string) iter.Seq2[saga.View, error] {
	var only []saga.Phase
	for _, p := range phases {
		only = append(only, saga.Phase(p))
	}
	return func(yield func(saga.View, error) bool) {
		names := args
		if len(names) == 0 {
			all, err := s.SagaDefinitions(ctx)
			if err != nil {
				yield(saga.View{}, err)
				return
			}
			for _, d := range all {
				names = append(names, d.Name)
			}
		}
		for _, name := range names {
			for v, err := range s.Sagas(ctx, name, only...) {
				if !yield(v, err) || err != nil {
					return
				}
			}
		}
	}
}

func startSagaCommand(o *remote) *cobra.Command {
	var key string
	var async bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "start NAME [INPUT|-|@FILE]",
		Short: "Start a saga once, and wait for its end",
		Long: `Start a saga by the name of its definition, once, and wait for its end.

The final state is printed on standard output; that it was undone is exit code 3.
With --async it prints the saga's id when it is durable that it goes on.`,
		Example: `  semel sagas start trip '{"traveller":"ada","city":"Turin"}' --key trip-17`,
		Args:    cobra.RangeArgs(1, 2),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			body, err := bodyArg(args[1:])
			if err != nil {
				return err
			}
			r := client.SagaRequest{Name: args[0], Key: key, Input: body}
			made := key == ""
			if made {
				id, err := uuid.NewV7()
				if err != nil {
					return err
				}
				r.Key = id.String()
				fmt.Fprintln(s.err, "key", r.Key) // before it is sent: it can be repeated, whatever happens
			}
			call := client.Request{Agent: sagasAgent + r.Name, Action: "start", Key: r.Key}
			if async {
				id, reply, err := s.StartSaga(ctx, r)
				if err != nil {
					return printReply(s, call, reply, made, err)
				}
				if s.json {
					return printed(s.object(map[string]any{"saga": id, "key": r.Key}))
				}
				return printed(s.line("%s", id))
			}
			if wait < 0 {
				return usageError{fmt.Errorf("--wait %v: it must not be negative", wait)}
			}
			if wait > 0 { // a little longer than the server is asked to wait, so that it answers
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, wait+500*time.Millisecond)
				defer cancel()
			}
			id, reply, err := s.RunSaga(ctx, r)
			if id != "" {
				s.note("saga %s", id)
			}
			return printReply(s, call, reply, made, err)
		}),
	}
	cmd.Flags().StringVar(&key, "key", "", "the idempotency `key`: the same for every repetition")
	cmd.Flags().BoolVar(&async, "async", false, "do not wait for the end, only until it is durably accepted")
	cmd.Flags().DurationVar(&wait, "wait", 0, "how `long` to wait for the end; 0 means as long as it takes, also if it is parked")
	cmd.MarkFlagsMutuallyExclusive("wait", "async")
	return cmd
}

func cancelSagaCommand(o *remote) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "cancel SAGA",
		Short: "Have a saga undone, if it is not past its pivot",
		Args:  cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			phase, err := s.CancelSaga(ctx, args[0], why)
			return s.ordered(args[0], phase, err)
		}),
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, as a `text`")
	return cmd
}

func resumeSagaCommand(o *remote) *cobra.Command {
	return &cobra.Command{
		Use:   "resume SAGA",
		Short: "Have a parked saga try again from where it stands",
		Args:  cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			phase, err := s.ResumeSaga(ctx, args[0])
			return s.ordered(args[0], phase, err)
		}),
	}
}

func settleStepCommand(o *remote) *cobra.Command {
	var happened, not bool
	var why, reply string
	cmd := &cobra.Command{
		Use:   "settle SAGA STEP (--happened [--reply JSON] | --did-not-happen)",
		Short: "Say what is the case with a step at which a saga is parked",
		Long: `Say what is the case with a step at which a saga is parked, and have it go on: of its
compensation if the saga is being undone, else of the step. --happened also means
that somebody did it by hand.`,
		Args: cobra.ExactArgs(2),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			if happened == not {
				return usageError{errors.New("say --happened or --did-not-happen, and only what somebody has looked at")}
			}
			v := saga.Settlement{Step: args[1], Fact: saga.DidNotHappen, Why: why}
			if happened {
				v.Fact = saga.Happened
			}
			if reply != "" {
				v.Reply = json.RawMessage(reply)
			}
			phase, err := s.SettleStep(ctx, args[0], v)
			return s.ordered(args[0], phase, err)
		}),
	}
	f := cmd.Flags()
	f.BoolVar(&happened, "happened", false, "it happened, or was done by hand")
	f.BoolVar(&not, "did-not-happen", false, "it did not happen, and is asked for again")
	f.StringVar(&why, "why", "", "the reason, as a `text`")
	f.StringVar(&reply, "reply", "", "what it answered, as `JSON`, if the saga's state needs it")
	return cmd
}

// ordered prints where a saga stands after an order.
func (s *session) ordered(id string, phase saga.Phase, err error) error {
	if err != nil {
		return err
	}
	if s.json {
		return printed(s.object(map[string]any{"saga": id, "phase": phase}))
	}
	return printed(s.line("%s is %s", id, phase))
}

// underWay names the steps that something is waited for.
func underWay(v *saga.View) (names []string) {
	for _, s := range v.Steps {
		if s.Do.State == saga.Asked || s.Do.State == saga.Backoff {
			names = append(names, s.Name)
		}
		if s.Undo.State == saga.Asked || s.Undo.State == saga.Backoff {
			names = append(names, "undo "+s.Name)
		}
	}
	return names
}

func whyOf(v *saga.View) string {
	switch {
	case v.Parked != nil:
		return v.Parked.Code + ": " + v.Parked.Detail
	case v.Failure != nil:
		return strings.TrimSpace(v.Failure.Step + " " + v.Failure.Code + ": " + v.Failure.Detail)
	}
	return ""
}

// saga prints a saga for people.
func (s *session) saga(v *saga.View) error {
	if s.json {
		return s.object(v)
	}
	fields := []string{"phase", string(v.Phase), "version", strconv.Itoa(v.Version), "started", moment(v.Started), "ended", moment(v.Ended)}
	if !v.Deadline.IsZero() {
		fields = append(fields, "deadline", moment(v.Deadline))
	}
	if v.Failure != nil {
		fields = append(fields, "failed", strings.TrimSpace(v.Failure.Step+" "+v.Failure.Code+": "+v.Failure.Detail))
	}
	if v.Parked != nil {
		fields = append(fields, "parked", strings.TrimSpace(v.Parked.Step+" "+v.Parked.Code+": "+v.Parked.Detail))
	}
	for _, st := range v.Steps {
		fields = append(fields, st.Name, tryText(st.Do))
		if !st.Undo.IsZero() {
			fields = append(fields, "  undo", tryText(st.Undo))
		}
	}
	fields = append(fields, "state", oneLine(v.State, 2000))
	if v.Parked != nil {
		fields = append(fields, "", "Mend what keeps it, then: semel sagas resume "+v.ID,
			"", "Or say what somebody did or saw: semel sagas settle "+v.ID+" STEP --happened")
	}
	return s.fields("saga "+v.ID, fields...)
}

func tryText(t saga.Try) string {
	if t.IsZero() {
		return "not yet"
	}
	text := string(t.State)
	if t.State == saga.Idle {
		text = "about to be asked for"
	}
	text += fmt.Sprintf(", %d attempts", t.Attempts)
	if !t.Asked.IsZero() {
		text += ", asked " + moment(t.Asked)
	}
	if !t.Settled.IsZero() {
		text += ", settled " + moment(t.Settled)
	}
	if t.Waiting {
		text += ", its answer is waited for"
	}
	if t.Code != "" {
		text += "; " + t.Code + ": " + t.Detail
	}
	if t.Key != "" {
		text += "; effect " + t.Key
	}
	if t.By != "" {
		text += "; settled by " + t.By + ": " + t.Why
	}
	return text
}
