package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel/client"
)

func deadCommand() *cobra.Command {
	var o remote
	var limit int
	list := o.do(func(ctx context.Context, s *session, _ []string) error {
		t := s.table("DEAD LETTER", "AGENT", "ACTION", "ATTEMPTS", "AT", "REASON")
		return each(s, limit, s.DeadLetters(ctx), t, func(d client.DeadLetter) []string {
			return []string{d.ID, d.Agent, d.Action, strconv.Itoa(d.Attempts), moment(d.At), shorten(printable(d.Reason), 60)}
		})
	})
	group := &cobra.Command{
		Use:   "dead",
		Short: "See, retry and discard messages that failed for good",
		Args:  cobra.NoArgs,
		RunE:  list,
	}
	o.flags(group.PersistentFlags())
	limitFlag(group, &limit)
	lister := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the dead letters", Args: cobra.NoArgs, RunE: list}
	limitFlag(lister, &limit)
	show := &cobra.Command{
		Use:   "show ID",
		Short: "Show a dead letter: its body, and why it failed",
		Args:  cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			d, err := s.DeadLetter(ctx, args[0])
			if err != nil {
				return err
			}
			if s.json {
				return s.object(d)
			}
			return s.fields("dead letter "+d.ID,
				"agent", d.Agent, "action", d.Action, "principal", d.Principal, "key", d.Key, "body", oneLine(d.Body, 2000),
				"attempts", strconv.Itoa(d.Attempts), "at", moment(d.At), "reason", d.Reason,
				"", "Mend what made it fail, then: semel dead retry "+d.ID,
				"", "Or give it up: semel dead discard "+d.ID)
		}),
	}
	retry := deadVerb(&o, "retry", "Try it again, as often as a new message", "retried", func(s *session) func(context.Context, string) error { return s.RetryDead })
	discard := deadVerb(&o, "discard", "Give it up; who waits for its outcome is told", "discarded", func(s *session) func(context.Context, string) error { return s.DiscardDead })
	group.AddCommand(lister, show, retry, discard)
	return group
}

func deadVerb(o *remote, name, short, did string, pick func(*session) func(context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use:   name + " ID",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			if err := pick(s)(ctx, args[0]); err != nil {
				return err
			}
			if s.json {
				return printed(s.object(map[string]any{"dead_letter": args[0], did: true}))
			}
			return printed(s.line("%s is %s", args[0], did))
		}),
	}
}
