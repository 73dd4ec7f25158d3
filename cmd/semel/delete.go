package main

import (
	"context"

	"github.com/spf13/cobra"
)

func deleteCommand() *cobra.Command {
	var o remote
	cmd := &cobra.Command{
		Use:   "delete AGENT",
		Short: "Delete an agent's state; the outcomes of its calls stay recorded",
		Args:  cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			if err := s.Delete(ctx, args[0]); err != nil {
				return err
			}
			if s.json {
				return printed(s.object(map[string]any{"agent": args[0], "deleted": true}))
			}
			return printed(s.line("%s is deleted", printable(args[0])))
		}),
	}
	o.flags(cmd.Flags())
	return cmd
}
