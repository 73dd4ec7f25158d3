package saga

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/semel-dev/semel"
)

// The whole rule of failures, by its table.
func TestJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at             place
		state          State
		timedOut, more bool
		want           verdict
		code           string
	}{
		{beforePivot, Rejected, false, true, giveUp, ""},
		{beforePivot, NotDone, false, true, tryAgain, ""},
		{beforePivot, NotDone, false, false, giveUp, ""},
		{beforePivot, NotDone, true, true, giveUp, ""},
		{beforePivot, Unknown, false, true, giveUp, ""},
		{beforePivot, Unknown, true, true, giveUp, ""},
		{atPivot, Rejected, false, true, giveUp, ""},
		{atPivot, NotDone, false, true, tryAgain, ""},
		{atPivot, NotDone, true, true, giveUp, ""},
		{atPivot, NotDone, false, false, giveUp, ""},
		{atPivot, Unknown, false, true, parkIt, CodePivotUnknown},
		{atPivot, Unknown, true, false, parkIt, CodePivotUnknown},
		{behindPivot, Rejected, false, true, tryAgain, ""},
		{behindPivot, Rejected, false, false, parkIt, CodeStepFailing},
		{behindPivot, NotDone, true, true, tryAgain, ""},
		{behindPivot, NotDone, false, false, parkIt, CodeStepFailing},
		{behindPivot, Unknown, false, true, parkIt, CodeUnknown},
		{compensation, Rejected, false, true, tryAgain, ""},
		{compensation, NotDone, false, true, tryAgain, ""},
		{compensation, NotDone, false, false, parkIt, CodeUndoFailing},
		{compensation, Rejected, false, false, parkIt, CodeUndoFailing},
		{compensation, Unknown, false, true, parkIt, CodeUndoUnknown},
	} {
		if v, code := judge(c.at, c.state, c.timedOut, c.more); v != c.want || code != c.code {
			t.Errorf("judge(%d, %s, timed out %t, more %t) = %d, %q", c.at, c.state, c.timedOut, c.more, v, code)
		}
	}
}

func TestRetryWait(t *testing.T) {
	t.Parallel()
	r := Retry{Attempts: 3, Base: time.Second, Max: 10 * time.Second}
	for tries, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 5: 10 * time.Second, 1000: 10 * time.Second} {
		if d := r.wait(tries, 0); d != want {
			t.Errorf("wait(%d) = %v", tries, d)
		}
		if d := r.wait(tries, 0.999); d < want/2 || d > want/2+want/100 {
			t.Errorf("wait(%d) with jitter = %v", tries, d)
		}
	}
	long := Retry{Base: 1 << 62, Max: 1<<63 - 1}
	if d := long.wait(5, 0); d != long.Max {
		t.Errorf("%v", d)
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	id := agentID("default", "anonymous", "k")
	for _, name := range []string{"trip", "a-b", "-", "x_1"} {
		n, a, ok := parseID(idOf(name, id))
		if !ok || n != name || a != id {
			t.Errorf("%q: %q, %q, %t", name, n, a, ok)
		}
	}
	seen := make(map[string]bool)
	for _, parts := range [][3]string{{"a", "b", "c"}, {"ab", "", "c"}, {"a", "bc", ""}, {"", "ab", "c"}, {"a", "b\x00", "c"}} {
		seen[agentID(parts[0], parts[1], parts[2])] = true
	}
	if len(seen) != 5 {
		t.Error("two callers have one id")
	}
}

// Answers that come twice, late, or to a saga that was forgotten change nothing.
func TestLateAnswers(t *testing.T) {
	t.Parallel()
	for _, a := range []about{
		{Instance: "now", Step: "a", Serial: 1},             // of the first try
		{Instance: "now", Step: "a", Serial: 2},             // answered already
		{Instance: "before", Step: "b", Serial: 1},          // of a former saga
		{Instance: "now", Step: "c", Serial: 1},             // there is no such step
		{Instance: "now", Step: "b", Serial: 1, Undo: true}, // never asked for
	} {
		m := &machine{r: &record{Instance: "now", Phase: Running, Steps: []stepRecord{
			{Name: "a", Do: side{State: Done, Serial: 2}}, {Name: "b", Do: side{State: Asked, Serial: 1}},
		}}}
		was, _ := json.Marshal(m.r)
		m.answered(a, semel.Result[json.RawMessage]{})
		m.ticked(a)
		if is, _ := json.Marshal(m.r); string(is) != string(was) || len(m.orders) > 0 {
			t.Errorf("%+v: %s", a, is)
		}
	}
}
