package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
)

func backupCommand() *cobra.Command {
	var o remote
	cmd := &cobra.Command{
		Use:   "backup NAME|DIR",
		Short: "Copy the store while it is in use",
		Long: `Copy the store while it is in use.

A server copies into the directory NAME below its configured one. With --data the
copy goes into DIR, which must not exist yet. A copy cannot be opened; "semel
restore" makes a new store of it.`,
		Args: cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			to := args[0]
			if s.app == nil && strings.ContainsAny(to, `/\`) {
				return usageError{errors.New("a server's backups are below its own configured directory: give a NAME; a DIR belongs to --data")}
			}
			dir := to
			if s.app == nil {
				dir = "" // it is the server's, and not to be seen from here
			}
			stop := s.progress("copying", dir, 0)
			var err error
			if s.app != nil {
				err = s.app.Backup(ctx, to)
			} else {
				err = s.Backup(ctx, to)
			}
			stop()
			if err != nil {
				return err
			}
			if s.json {
				return printed(s.object(map[string]string{"backup": to}))
			}
			return printed(s.line("the store is copied into %s", printable(to)))
		}),
	}
	o.flags(cmd.Flags())
	return cmd
}
