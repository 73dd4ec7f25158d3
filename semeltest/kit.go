package semeltest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// kit is what EveryCrash, Duplicate and Reorder have in common.
type kit struct {
	tb       TB
	kind     kind
	bubble   *testing.T
	o        *options
	workload Workload
	ref      *result
	steps    []step
	trace    *trace
	points   []point // of the run in which nothing goes wrong
	failed   int
	partly   int // cases of which not everything was compared
}

// references is how often the workload runs without anything going wrong, to
// see whether it does the same each time.
const references = 3

// failures bounds how many cases are shown to have failed: then no more are
// run.
const failures = 3

// newKit runs the workload undisturbed, and reports false if that fails
// already.
func newKit(tb TB, w Workload, what kind, limit int, opts []Option) (*kit, bool) {
	tb.Helper()
	o, skip, err := newOptions(opts, what, limit)
	switch {
	case err != nil:
		tb.Errorf("semeltest: %v", err)
		return nil, false
	case skip:
		tb.Logf("semeltest: skipped, for %s names a case of another function", OnlyVar)
		return nil, false
	}
	k := &kit{tb: tb, kind: what, o: o, workload: w, bubble: bubbleOf(tb)}
	k.o.realTime = k.o.realTime || k.bubble == nil
	for i := range references {
		h := play(k.bubble, k.o, w, plan{})
		if len(h.wrong) > 0 {
			tb.Errorf("semeltest: nothing was done to the program, and yet: %s", strings.Join(h.wrong, "\n    "))
			return nil, false
		}
		if i == 0 {
			if err := h.vacuous(); err != nil {
				tb.Errorf("semeltest: %v", err)
				return nil, false
			}
			k.ref, k.trace, k.steps, k.points, k.o.effects = h.result, h.trace, h.steps, h.points, h.ledger.effects
			continue
		}
		wrong, _ := h.differences(k.ref, k.trace, against{what: "in another run", replies: true, exactly: true})
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

// vacuous says why a workload tests nothing, or less than it seems to.
func (h *history) vacuous() error {
	if len(h.steps) == 0 {
		return errors.New("the workload lists no calls, so nothing is tested: use Run.Call, or Run.Do")
	}
	for _, name := range slices.Sorted(maps.Keys(h.trace.effects)) {
		if !h.ledger.effects[name] && !slices.Contains(h.o.elsewhere, name) {
			return fmt.Errorf("effect %q was called, and its function never reached the World, so what happens around its calls is not tested: "+
				"it must reach the outside through Run.World, with its own ctx; if it is not to, use Elsewhere(%[1]q)", name)
		}
	}
	return nil
}

// skips says whether a case is not among those to be run.
func (k *kit) skips(n int) bool { return k.o.only != 0 && n != k.o.only || k.failed >= failures }

// fail reports a case.
func (k *kit) fail(title string, n int, wrong []string) {
	k.tb.Helper()
	k.failed++
	k.tb.Errorf("%s\n    %s\n    rerun only it: %s=%s:%d go test -run '^%s$'", title, strings.Join(wrong, "\n    "), OnlyVar, k.kind, n, testName(k.tb.Name()))
}

// testName is the name of a test as -run matches it.
func testName(name string) string { return strings.ReplaceAll(name, "/", "$/^") }

// judge compares a case with the run in which nothing went wrong.
func (k *kit) judge(h *history, a against) []string {
	if h.hangs {
		k.failed = failures // the next one would take as long
	}
	if len(h.wrong) > 0 {
		return h.wrong
	}
	wrong, partly := h.differences(k.ref, k.trace, a)
	if partly {
		k.partly++
	}
	return wrong
}

// notCompared says of how many cases not everything was compared.
func (k *kit) notCompared() string {
	if k.partly == 0 {
		return ""
	}
	return fmt.Sprintf("; in %d of them an outcome stayed unknown for ever, and what may have heard of it was not compared", k.partly)
}
