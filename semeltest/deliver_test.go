package semeltest_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/semeltest"
)

// tally counts how often each of three calls was executed, and in which order.
// Nobody minds either.
func tally(order *[]string, opts ...semel.ActionOption) semeltest.Workload {
	return func(r *semeltest.Run) {
		*order = nil
		type Heard struct{ Names map[string]bool }
		hear := semel.On(semel.NewAgent[Heard](r.App, "heard"), "hear", func(h *Heard, _ *semel.Step, name string) (bool, error) {
			*order = append(*order, name)
			if h.Names == nil {
				h.Names = make(map[string]bool)
			}
			h.Names[name] = true
			return true, nil
		}, opts...)
		for _, name := range []string{"a", "b", "c"} {
			r.Call(hear.Request("h", name, semel.Key(name)))
		}
		r.Do(func(context.Context) error {
			*order = append(*order, "then")
			return nil
		})
		r.Call(hear.Request("h", "d", semel.Key("d")))
	}
}

// Duplicates come, two or three times; with keys they run once.
func TestDuplicatesCome(t *testing.T) {
	t.Parallel()
	var order []string
	seen := make(map[int]bool)
	for n := 1; n <= 10; n++ {
		semeltest.Duplicate(t, tally(&order, semel.AtLeastOnce), semeltest.Only(n))
		for _, name := range []string{"a", "b", "c", "d"} {
			k := len(order) - len(slices.DeleteFunc(slices.Clone(order), func(s string) bool { return s == name }))
			seen[k] = true
		}
		semeltest.Duplicate(t, tally(&order), semeltest.Only(n))
		if got := strings.Join(order, " "); got != "a b c then d" {
			t.Errorf("with keys the calls ran in the order %s", got)
		}
	}
	if len(seen) != 2 || !seen[2] || !seen[3] {
		t.Errorf("calls without keys ran %v times", seen)
	}
}

// Reorder makes all the orders that there are, and keeps apart what a Do keeps
// apart.
func TestOrdersComeAndBlocksStay(t *testing.T) {
	t.Parallel()
	var order []string
	seen := make(map[string]bool)
	for n := 1; n <= 40; n++ {
		semeltest.Reorder(t, tally(&order), semeltest.Only(n))
		seen[fmt.Sprint(order[:3])] = true
		if len(order) != 5 || order[3] != "then" || order[4] != "d" {
			t.Fatalf("case %d made the calls in the order %v", n, order)
		}
	}
	if len(seen) != 6 {
		t.Errorf("of three calls there were these orders: %v", seen)
	}
}
