package main

import (
	"iter"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel/client"
)

type (
	agentEntry   = client.AgentEntry
	outcomeEntry = client.Outcome
)

func limitFlag(cmd *cobra.Command, limit *int) {
	cmd.Flags().IntVar(limit, "limit", 0, "print at most so `many`; 0 means all")
}

// each prints the entries of a listing while they come: as objects, or as rows
// of a table.
func each[T any](s *session, limit int, list iter.Seq2[T, error], t *table, cells func(T) []string) error {
	n := 0
	for e, err := range list {
		if err == nil && s.json {
			err = s.object(e)
		} else if err == nil {
			err = t.row(cells(e)...)
		}
		if err != nil {
			_ = t.flush() // what came before is worth printing; the error is returned
			return err
		}
		if n++; n == limit {
			break
		}
	}
	if n == 0 {
		s.note("there are none")
	}
	return t.flush()
}

// statusText is a status with the code of a rejection.
func statusText(o client.Outcome) string {
	if o.Code != "" {
		return o.Status + " (" + o.Code + ")"
	}
	return o.Status
}
