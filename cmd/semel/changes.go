package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel/client"
)

func changesCommand() *cobra.Command {
	var o remote
	var from string
	var limit int
	cmd := &cobra.Command{
		Use:   "changes TYPE",
		Short: "Follow the changes of a type's agents",
		Long: `Follow the changes of a type's agents, until it is interrupted.

Each line has the newest state of an agent that changed. Several changes may come
as one, and one may come twice; what comes later of an agent is never older. A
connection that breaks is made again, and goes on where it was.`,
		Example: `  semel changes account --json | jq .state`,
		Args:    cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			n := 0
			for c, err := range s.ChangesFrom(ctx, args[0], from) {
				if ctx.Err() != nil {
					return nil // it was told to stop
				}
				if err == nil {
					err = printChange(s, c)
				}
				if err != nil {
					return err
				}
				if n++; n == limit {
					break
				}
			}
			return nil
		}),
	}
	o.flags(cmd.Flags())
	cmd.Flags().StringVar(&from, "from", "", "begin after this `position`, or with what is remembered: start")
	cmd.Flags().IntVar(&limit, "limit", 0, "stop after so `many` events; 0 means never")
	return cmd
}

func printChange(s *session, c client.Change) error {
	if s.json {
		return s.object(c)
	}
	switch c.Event {
	case client.EventReset:
		s.note("changes may have been missed; `semel list` has all agents")
		return nil
	case client.EventDeleted:
		return s.line("%s  deleted", printable(c.Agent))
	case client.EventChange:
		return s.line("%s  v%d  %s", printable(c.Agent), c.Version, oneLine(c.State, 1<<20))
	}
	return nil // an event of a newer server; --json shows it
}
