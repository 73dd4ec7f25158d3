package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel/client"
)

func effectsCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "effects",
		Short: "Call effects that are configured",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var o callOptions
	run := &cobra.Command{
		Use:   "run NAME [BODY|-|@FILE]",
		Short: "Call an effect once, and print its reply",
		Long: `Call a configured effect, so that it is called once for one key.

It is recorded like a call: its agent is effects/NAME, so that
"semel explain effects/NAME KEY" says what became of it.`,
		Example: `  semel effects run charge '{"cents":1000,"card":"tok_1"}' --key order-17`,
		Args:    cobra.RangeArgs(1, 2),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			body, err := bodyArg(args[1:])
			if err != nil {
				return err
			}
			return o.call(ctx, s, client.Request{Agent: "effects/" + args[0], Action: "run", Body: body})
		}),
	}
	o.flags(run.Flags())
	o.callFlags(run)
	group.AddCommand(run)
	return group
}
