package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func nodesCommand() *cobra.Command {
	var o remote
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "List the servers that share a database, and which shards each has",
		Args:  cobra.NoArgs,
		RunE: o.do(func(ctx context.Context, s *session, _ []string) error {
			nodes, err := s.Nodes(ctx)
			if err != nil {
				return err
			}
			t := s.table("NODE", "NAME", "ADDRESS", "SHARDS", "")
			for _, n := range nodes {
				if s.json {
					err = s.object(n)
				} else {
					err = t.row(n.ID, printable(n.Name), n.Address, strconv.Itoa(len(n.Shards)), remarks("leaving", n.Leaving, "asked", n.Self))
				}
				if err != nil {
					return err
				}
			}
			return t.flush()
		}),
	}
	o.flags(cmd.Flags())
	return cmd
}

func shardsCommand() *cobra.Command {
	var o remote
	cmd := &cobra.Command{
		Use:   "shards",
		Short: "List the shards: which server has each, its epoch, its last unit, and what waits",
		Args:  cobra.NoArgs,
		RunE: o.do(func(ctx context.Context, s *session, _ []string) error {
			shards, err := s.Shards(ctx)
			if err != nil {
				return err
			}
			t := s.table("SHARD", "NODE", "EPOCH", "UNIT", "WAITING", "EFFECTS", "")
			var sent, taken uint64
			for _, sh := range shards {
				sent, taken = sent+sh.Sent, taken+sh.Taken
				if s.json {
					err = s.object(sh)
				} else {
					err = t.row(strconv.Itoa(sh.Number), sh.Node, strconv.FormatUint(sh.Epoch, 10), strconv.FormatUint(sh.Unit, 10),
						strconv.Itoa(sh.Waiting), strconv.Itoa(sh.Effects), remarks("retention paused", sh.Paused, printable(sh.Problem), sh.Problem != ""))
				}
				if err != nil {
					return err
				}
			}
			if err := t.flush(); err != nil || s.json {
				return err
			}
			return s.line("messages between agents under way: %d", max(int64(sent-taken), 0))
		}),
	}
	o.flags(cmd.Flags())
	return cmd
}

// remarks joins those texts whose condition, behind each, is true.
func remarks(pairs ...any) string {
	var all []string
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1].(bool) {
			all = append(all, pairs[i].(string))
		}
	}
	return strings.Join(all, ", ")
}
