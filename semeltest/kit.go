package semeltest

import (
	"strings"
	"testing"
)

// kit is what EveryCrash, Duplicate and Reorder have in common.
type kit struct {
	tb       TB
	bubble   *testing.T
	o        *options
	workload Workload
	ref      *result
	steps    []step
	points   []point // of the run in which nothing goes wrong
	failed   int
}

// references is how often the workload runs without anything going wrong, to
// see whether it does the same each time.
const references = 3

// failures bounds how many cases are shown to have failed: then no more are
// run.
const failures = 3

// newKit runs the workload undisturbed, and reports false if that fails
// already.
func newKit(tb TB, w Workload, limit int, opts []Option) (*kit, bool) {
	tb.Helper()
	k := &kit{tb: tb, o: newOptions(opts, limit), workload: w, bubble: bubbleOf(tb)}
	k.o.realTime = k.o.realTime || k.bubble == nil
	for i := range references {
		h := play(k.bubble, k.o, w, plan{})
		if len(h.wrong) > 0 {
			tb.Errorf("semeltest: nothing was done to the program, and yet: %s", strings.Join(h.wrong, "\n    "))
			return nil, false
		}
		if i == 0 {
			if h.result.calls > 0 && len(h.ledger.effects) == 0 {
				tb.Logf("semeltest: the program called effects, and none of them reached the World: what happens around them is not tested")
			}
			k.ref, k.steps, k.points, k.o.effects = h.result, h.steps, h.points, h.ledger.effects
			continue
		}
		wrong := h.differences(k.ref, against{what: "in another run", replies: true, exactly: true})
		if err := sameSteps(k.steps, h.steps); err != nil {
			wrong = []string{err.Error()}
		}
		if len(wrong) > 0 {
			tb.Errorf("semeltest: nothing was done to the program, and it does not do the same twice: does a step, or an effect's function, depend on the order of a map, on randomness, or on what is outside of the state?\n    %s",
				strings.Join(wrong, "\n    "))
			return nil, false
		}
	}
	return k, true
}

// skips says whether a case is not among those to be run.
func (k *kit) skips(n int) bool { return k.o.only != 0 && n != k.o.only || k.failed >= failures }

// fail reports a case.
func (k *kit) fail(title string, n int, wrong []string) {
	k.tb.Helper()
	k.failed++
	k.tb.Errorf("%s\n    %s\n    rerun only it: %s=%d go test -run '^%s$'", title, strings.Join(wrong, "\n    "), OnlyVar, n, testName(k.tb.Name()))
}

// testName is the name of a test as -run matches it.
func testName(name string) string { return strings.ReplaceAll(name, "/", "$/^") }

// judge compares a case with the run in which nothing went wrong.
func (k *kit) judge(h *history, a against) []string {
	if len(h.wrong) > 0 {
		return h.wrong
	}
	return h.differences(k.ref, a)
}
