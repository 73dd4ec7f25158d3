package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

func retentionCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "retention",
		Short: "Go on forgetting old outcomes after the clock leapt",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var o remote
	resume := &cobra.Command{
		Use:   "resume",
		Short: "Say that the server's clock is right",
		Long: `Say that the server's clock is right.

A server whose clock leapt across a restart, or that was down for very long,
forgets nothing until it is told that the clock is right (the alarm clock_jump;
semel_shards_retention_paused in /metrics). Look at the server's clock first: under a
wrong one, outcomes would be forgotten too early.`,
		Args: cobra.NoArgs,
		PreRunE: verb(func(*cobra.Command) error {
			if o.data != "" {
				return usageError{errors.New("the clock that counts is a server's: start it, and use --server")}
			}
			return nil
		}),
		RunE: o.do(func(ctx context.Context, s *session, _ []string) error {
			if err := s.ResumeRetention(ctx); err != nil {
				return err
			}
			if s.json {
				return printed(s.object(map[string]bool{"resumed": true}))
			}
			return printed(s.line("forgetting what is older than the retention goes on"))
		}),
	}
	o.flags(resume.Flags())
	group.AddCommand(resume)
	return group
}
