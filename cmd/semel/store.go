package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// storeCommand are the verbs for the database that servers share. They need no
// server.
func storeCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "store",
		Short: "Look after the database that servers share",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(acceptLossCommand(), renewCommand())
	return group
}

// database opens the store that the settings name.
func databaseOf(cmd *cobra.Command) (*config, error) {
	l, bad := commandSource(cmd.Flags()).load()
	l.expandParts(&bad)
	if len(l.Store.Parts) > 0 {
		l.checkParts(func(path, format string, args ...any) { bad.add(l.where(path), path, format, args...) })
	}
	if err := bad.err(); err != nil {
		return nil, usageError{err}
	}
	if !l.shared() {
		return nil, usageError{errNoDatabase}
	}
	return &l.config, nil
}

func acceptLossCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accept SHARD",
		Short: "Go on with a shard that a failover has set back",
		Long: `Go on with a shard that a failover has set back.

A standby that took over without all commits has lost what was acknowledged. No
server goes on with such a shard before a person says so, because the lost units
may still be found: on the former primary. What they did in the outside world
happened; what was told of them to callers is true no longer.`,
		Args: cobra.ExactArgs(1),
	}
	addSettings(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return verb(func(cmd *cobra.Command) error {
			shard, err := strconv.ParseUint(args[0], 10, 16)
			if err != nil {
				return usageError{fmt.Errorf("%q is no shard; semel shards lists them", args[0])}
			}
			c, err := databaseOf(cmd)
			if err != nil {
				return err
			}
			st, err := c.database().OpenStore(cmd.Context())
			if err != nil {
				return err
			}
			if int(shard) >= st.Shards() {
				err = usageError{fmt.Errorf("shard %d: the store has %d shards", shard, st.Shards())}
			} else {
				err = st.(store.LossAccepter).AcceptLoss(cmd.Context(), message.Shard(shard))
			}
			if err := errors.Join(err, st.Close()); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "shard %d goes on with what it has\n", shard)
			return err
		})(cmd, args)
	}
	return cmd
}

func renewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Make a database that was restored from a backup a store of its own",
		Long: `Make a database that was restored from a backup a store of its own.

Run it once after the restore, while no server has the database open: nothing
that the former store gave out, such as positions of its feed, is then mistaken
for this one's. A store that is divided among several databases is renewed as a
whole, after all of them were restored from backups of one moment at which no
server ran; if it was interrupted, run it again.`,
		Args: cobra.NoArgs,
	}
	addSettings(cmd.Flags())
	cmd.RunE = verb(func(cmd *cobra.Command) error {
		c, err := databaseOf(cmd)
		if err != nil {
			return err
		}
		if err := c.renew(cmd.Context()); err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), "the store is a new one")
		return err
	})
	return cmd
}
