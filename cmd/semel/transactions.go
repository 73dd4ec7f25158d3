package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/twopc"
)

func transactionsCommand() *cobra.Command {
	var o remote
	var limit int
	var state string
	list := o.do(func(ctx context.Context, s *session, _ []string) error {
		t := s.table("TRANSACTION", "STATE", "BEGAN", "AGE", "WAITS FOR")
		return each(s, limit, s.Transactions(ctx, state), t, func(i twopc.Info) []string {
			return []string{i.Tx, transactionState(&i), moment(i.Began), age(i.Began), strings.Join(waitsFor(&i), ", ")}
		})
	})
	group := &cobra.Command{
		Use:   "transactions",
		Short: "See transactions, and settle what cannot settle itself",
		Long: `See the transactions of several agents and databases (two-phase commit).

A transaction that is decided and not acknowledged by everybody is in doubt there:
the coordinator goes on telling it. It is listed with its age, and --state in_doubt
lists these alone.`,
		Args: cobra.NoArgs,
		RunE: list,
	}
	listFlags := func(cmd *cobra.Command) {
		limitFlag(cmd, &limit)
		cmd.Flags().StringVar(&state, "state", "", "only those that are undecided, committed, aborted, unclear or in_doubt")
	}
	o.flags(group.PersistentFlags())
	listFlags(group)
	lister := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the transactions that are known", Args: cobra.NoArgs, RunE: list}
	listFlags(lister)
	show := &cobra.Command{
		Use:   "show TRANSACTION",
		Short: "Show a transaction: its branches, their votes, who has acknowledged",
		Args:  cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			i, err := s.Transaction(ctx, args[0])
			if err != nil {
				return err
			}
			return s.transaction(&i)
		}),
	}
	group.AddCommand(lister, show, transactCommand(&o), resolveBranchCommand(&o), sweepCommand(&o))
	return group
}

func transactCommand(o *remote) *cobra.Command {
	var key string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "run PARTICIPANTS|-|@FILE",
		Short: "Have participants do something, all of them or none",
		Long: `Have agents and participants outside do something, all of them or none, once.

PARTICIPANTS is a JSON array of {"agent":"TYPE/ID","action":...,"body":...} and, for
those that are configured, {"participant":NAME,"body":...}.`,
		Example: `  semel transactions run --key t-1 '[{"agent":"account/alice","action":"debit","body":{"cents":100}},
       {"agent":"account/bob","action":"credit","body":{"cents":100}}]'`,
		Args: cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			body, err := bodyArg(args)
			if err != nil {
				return err
			}
			t := client.Transaction{Key: key, Timeout: timeout}
			if err := json.Unmarshal(body, &t.Participants); err != nil {
				return usageError{fmt.Errorf("PARTICIPANTS is no JSON array of participants: %w", err)}
			}
			made := key == ""
			if made {
				id, err := uuid.NewV7()
				if err != nil {
					return err
				}
				t.Key = id.String()
				fmt.Fprintln(s.err, "key", t.Key) // before it is sent: it can be repeated, whatever happens
			}
			_, reply, err := s.Transact(ctx, t)
			return printReply(s, client.Request{Agent: transactionsAgent, Action: "run", Key: t.Key}, reply, made, err)
		}),
	}
	cmd.Flags().StringVar(&key, "key", "", "the idempotency `key`: the same for every repetition")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "how `long` it may take to be decided; 0 means what the server says")
	return cmd
}

func resolveBranchCommand(o *remote) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "resolve TRANSACTION BRANCH --why TEXT",
		Short: "Take note that a branch was dealt with by hand",
		Long: `Take note that a branch was dealt with by hand, which will never acknowledge the
decision: its database is gone, or somebody resolved it the other way. It is told no
more, and the reason is kept with the transaction. Nothing is done at the participant.`,
		Args: cobra.ExactArgs(2),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			if why == "" {
				return usageError{errors.New("--why is needed: say what was found out, and done, at the participant")}
			}
			if err := s.ResolveBranch(ctx, args[0], args[1], why); err != nil {
				return err
			}
			if s.json {
				return printed(s.object(map[string]any{"tx": args[0], "branch": args[1], "resolved": true}))
			}
			return printed(s.line("branch %s of %s is resolved", args[1], args[0]))
		}),
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, as a `text`")
	return cmd
}

func sweepCommand(o *remote) *cobra.Command {
	return &cobra.Command{
		Use:   "sweep",
		Short: "Ask the participants what they have prepared, and resolve it by what was decided",
		Long: `Ask every participant outside what it has prepared. What is decided is carried out;
what is undecided, or of another store, is left alone and listed with its age. The
server does the same by itself, every minute.`,
		Args: cobra.NoArgs,
		RunE: o.do(func(ctx context.Context, s *session, _ []string) error {
			t := s.table("PARTICIPANT", "TRANSACTION", "BRANCH", "AGE", "DECISION", "RESOLVED", "WHY NOT")
			return each(s, 0, s.Sweep(ctx), t, func(f client.Orphan) []string {
				return []string{f.Participant, f.Tx, f.Branch, age(f.Since), f.Decision, strconv.FormatBool(f.Resolved), f.Error}
			})
		}),
	}
}

// transactionState is the state, or that it is in doubt.
func transactionState(i *twopc.Info) string {
	if i.InDoubt() {
		return "in_doubt (" + string(i.State) + ")"
	}
	return string(i.State)
}

// waitsFor names the branches that keep a transaction from its end.
func waitsFor(i *twopc.Info) (names []string) {
	for _, b := range i.Branches {
		if i.State == twopc.Undecided && b.Vote == twopc.VoteAsked || i.InDoubt() && b.Acked.IsZero() && b.Resolved == nil || b.Mixed != "" && b.Resolved == nil {
			names = append(names, b.Agent+b.Participant)
		}
	}
	return names
}

func vote(v twopc.VoteOf) string {
	if v == twopc.VoteNone {
		return "not asked"
	}
	return string(v)
}

// age is how long ago something was, for people.
func age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return time.Since(t).Round(time.Second).String()
}

// branchText is who takes part, and where that stands.
func branchText(b *twopc.BranchInfo) string {
	text := b.Name + " " + strings.TrimSpace(b.Agent+b.Participant+" "+b.Action)
	text += ": vote " + vote(b.Vote)
	switch {
	case b.Resolved != nil:
		text += ", resolved by " + b.Resolved.Who + ": " + b.Resolved.Why
	case b.Mixed != "":
		text += ", WENT THE OTHER WAY: " + b.Mixed
	case !b.Acked.IsZero():
		text += ", acknowledged " + moment(b.Acked)
	case !b.Told.IsZero():
		text += fmt.Sprintf(", told for %s (%d attempts)", age(b.Told), b.Attempts)
	}
	return text
}

func (s *session) transaction(i *twopc.Info) error {
	if s.json {
		return s.object(i)
	}
	fields := []string{"state", transactionState(i), "began", moment(i.Began), "deadline", moment(i.Deadline), "decided", moment(i.Decided), "finished", moment(i.Finished)}
	if i.Code != "" {
		fields = append(fields, "because", i.Code+": "+i.Detail)
	}
	for _, b := range i.Branches {
		text := branchText(&b)
		if b.Error != "" {
			text += "; last error: " + b.Error
		}
		fields = append(fields, "branch", text)
	}
	if i.InDoubt() {
		fields = append(fields, "", "The coordinator goes on telling those that have not acknowledged. One that never will:",
			"", "semel transactions resolve "+i.Tx+" BRANCH --why TEXT")
	}
	return s.fields("transaction "+i.Tx, fields...)
}
