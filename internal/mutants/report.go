package mutants

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// How says, in a few words, how a mutant was found.
func (r *Result) How() string {
	if r.Found && r.Hung {
		return r.how() + "; it took too long"
	}
	return r.how()
}

func (r *Result) how() string {
	switch {
	case r.Error != "":
		return "ERROR " + r.Error
	case len(r.Seeds) > 0 && r.Found:
		found := slices.DeleteFunc(slices.Clone(r.Seeds), func(n uint64) bool { return n == 0 })
		how := fmt.Sprintf("simulation, in %d seeds", r.Median)
		if len(r.Seeds) > 1 {
			how += fmt.Sprintf(" (median of %d runs, %d to %d)", len(r.Seeds), slices.Min(found), slices.Max(found))
		}
		if n := len(r.Seeds) - len(found); n > 0 {
			how += fmt.Sprintf("; %d runs found nothing", n)
		}
		return how
	case r.Found:
		return strings.Join(r.By, ", ")
	case len(r.Missed) > 0:
		return "SURVIVED " + strings.Join(r.Missed, ", ")
	}
	return "SURVIVED the simulation"
}

// Print writes results as a table.
func Print(w io.Writer, results []Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MUTANT\tFOUND BY\tSECONDS")
	for i := range results {
		fmt.Fprintf(t, "%s\t%s\t%.1f\n", results[i].Name, results[i].How(), results[i].Seconds)
	}
	return t.Flush()
}
