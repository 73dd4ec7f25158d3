package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"
)

func getCommand() *cobra.Command {
	var o remote
	cmd := &cobra.Command{
		Use:   "get AGENT",
		Short: "Print an agent's state",
		Args:  cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			state, err := s.State(ctx, args[0])
			if err != nil {
				return err
			}
			if s.json {
				return s.object(state)
			}
			s.note("%s, version %d", printable(state.Agent), state.Version)
			return s.line("%s", indented(state.State, ""))
		}),
	}
	o.flags(cmd.Flags())
	return cmd
}

func listCommand() *cobra.Command {
	var o remote
	var limit int
	cmd := &cobra.Command{
		Use:     "list TYPE",
		Aliases: []string{"ls"},
		Short:   "List the agents of a type",
		Args:    cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			t := s.table("AGENT", "VERSION")
			return each(s, limit, s.Agents(ctx, args[0]), t, func(a agentEntry) []string {
				return []string{a.Agent, strconv.FormatUint(a.Version, 10)}
			})
		}),
	}
	o.flags(cmd.Flags())
	limitFlag(cmd, &limit)
	return cmd
}

func keysCommand() *cobra.Command {
	var o remote
	var limit int
	cmd := &cobra.Command{
		Use:   "keys AGENT",
		Short: "List what is recorded of an agent's calls, by their keys",
		Args:  cobra.ExactArgs(1),
		RunE: o.do(func(ctx context.Context, s *session, args []string) error {
			t := s.table("KEY", "PRINCIPAL", "ACTION", "STATUS", "ATTEMPTS", "FIRST SEEN")
			return each(s, limit, s.Keys(ctx, args[0]), t, func(e outcomeEntry) []string {
				return []string{e.Key, e.Principal, e.Action, statusText(e), strconv.Itoa(e.Attempts), moment(e.FirstSeen)}
			})
		}),
	}
	o.flags(cmd.Flags())
	limitFlag(cmd, &limit)
	return cmd
}
