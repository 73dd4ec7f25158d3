package main

import (
	"context"
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/client"
)

func doubtsCommand() *cobra.Command {
	var o remote
	var limit int
	list := o.do(func(ctx context.Context, s *session, _ []string) error {
		t := s.table("DOUBT", "EFFECT", "AGENT", "ATTEMPTS", "ASKED", "REASON")
		return each(s, limit, s.Doubts(ctx), t, func(d client.Doubt) []string {
			return []string{d.ID, d.Effect, d.Agent, strconv.Itoa(d.Attempts), moment(d.Asked), shorten(printable(d.Reason), 60)}
		})
	})
	group := &cobra.Command{
		Use:   "doubts",
		Short: "See and settle effects that may have happened",
		Args:  cobra.NoArgs,
		RunE:  list,
	}
	o.flags(group.PersistentFlags())
	limitFlag(group, &limit)
	lister := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List what is in doubt", Args: cobra.NoArgs, RunE: list}
	limitFlag(lister, &limit)
	show := &cobra.Command{
		Use:   "show ID",
		Short: "Show what was asked, when, and why nobody knows its end",
		Args:  cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			d, err := s.Doubt(ctx, args[0])
			if err != nil {
				return err
			}
			return printDoubt(s, d)
		}),
	}
	group.AddCommand(lister, show, resolveCommand(&o))
	return group
}

func printDoubt(s *session, d client.Doubt) error {
	if s.json {
		return s.object(d)
	}
	return s.fields("doubt "+d.ID,
		"effect", d.Effect, "asked by", d.Agent+" for "+d.Principal, "effect key", d.Key,
		"request", oneLine(d.Request, 2000), "attempts", strconv.Itoa(d.Attempts),
		"asked", moment(d.Asked), "started", moment(d.Started), "reason", d.Reason,
		"", "Ask the provider for the effect key. Then settle it:",
		"", "semel doubts resolve "+d.ID+" --done REPLY | --not-done "+string(d.Seen)+" | --failed CODE")
}

func resolveCommand(o *remote) *cobra.Command {
	var done, failed, detail, notDone string
	cmd := &cobra.Command{
		Use:   "resolve ID",
		Short: "Say what became of it",
		Long: `Say what became of an effect that is in doubt. The first resolution wins.

--done REPLY     it happened, and this is the reply: JSON, - for standard input, or @FILE
--not-done SEEN  it did not happen: it is called again, with the same effect key. SEEN is what
                 doubts show prints: read the doubt, then look at the provider. While
                 a former call can still arrive this is refused, and says when to look again
--failed CODE    the answer is no, with a code for the agent that asked`,
		Args: cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			var r client.Resolution
			switch {
			case done != "":
				reply, err := bodyArg([]string{done})
				if err != nil {
					return err
				}
				r = client.Done(reply)
			case failed != "":
				r = client.Failed(failed, detail)
			case notDone != "":
				r = client.NotDone().About(client.Doubt{Seen: semel.Seen(notDone)})
			default:
				return usageError{errors.New("say --done REPLY, --not-done SEEN or --failed CODE")}
			}
			if detail != "" && failed == "" {
				return usageError{errors.New("--detail belongs to --failed")}
			}
			got, err := s.Resolve(ctx, args[0], r)
			if err != nil {
				return err
			}
			if s.json {
				return printed(s.object(got))
			}
			return printed(s.line("%s is settled as %s, by %s", printable(got.Doubt), printable(got.Resolution), printable(got.By)))
		}),
	}
	f := cmd.Flags()
	f.StringVar(&done, "done", "", "it happened, with this `reply`")
	f.StringVar(&notDone, "not-done", "", "it did not happen, and is called again; the doubt was `seen` then")
	f.StringVar(&failed, "failed", "", "the answer is no, with this `code`")
	f.StringVar(&detail, "detail", "", "a `text` for people, with --failed")
	cmd.MarkFlagsMutuallyExclusive("done", "not-done", "failed")
	return cmd
}
