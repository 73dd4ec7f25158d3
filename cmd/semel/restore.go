package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel/store/pebble"
)

func restoreCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "restore BACKUP DIR",
		Short: "Make a new store of a backup, in an empty or new directory",
		Long: `Make a new store of a backup, in a directory that is empty or does not exist.

No server is needed. The store is a new incarnation: what happened after the
backup is not in it, so effects and replies of that time may be done again.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			parent := cmd.Context()
			if parent == nil {
				parent = context.Background()
			}
			ctx, unhook := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
			defer unhook()
			p := newPrinter(cmd.OutOrStdout(), cmd.ErrOrStderr(), asJSON)
			stop := p.progress("restoring", args[1], sizeOf(args[0]))
			err := pebble.Restore(ctx, args[0], args[1])
			stop()
			if err != nil {
				return p.fail(nextStep{err, "the backup is as it was: try again with another directory, one that is empty or does not exist"})
			}
			if p.json {
				return p.fail(printed(p.object(map[string]string{"backup": args[0], "restored": args[1]})))
			}
			p.note("it is a new incarnation; serve it with `semel serve --data %s`", quoteArg(args[1]))
			return p.fail(printed(p.line("%s is restored from %s", printable(args[1]), printable(args[0]))))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
