package killtest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/semel-dev/semel/agents/ledger"
)

// judge compares what was told, what was decided, and what each side has.
func (b *bank) judge(kills int) {
	t, c := b.t, b.now()
	var decided []string
	c.must("/decided", args("n", strconv.Itoa(len(b.calls))), &decided)
	rows := map[string]map[string]int64{postgresSide: b.moves(b.pool), mariadbSide: b.moves(b.db)}
	want := map[string][]int64{agentSide: full(), postgresSide: full(), mariadbSide: full()}
	count := make(map[string]int)
	for key, moves := range b.calls {
		answer, answered := b.answers[key]
		switch {
		case decided[key] != "committed" && decided[key] != "aborted" && (decided[key] != "unknown" || answered):
			t.Errorf("transfer %d was answered %q and is %s", key, answer, decided[key])
		case answered && (answer == "committed") != (decided[key] == "committed"):
			t.Errorf("transfer %d was answered %q, and it was decided %s", key, answer, decided[key])
		case refused(moves) && decided[key] == "committed":
			t.Errorf("transfer %d gave what nobody had: %+v", key, moves)
		case answered && refused(moves) && answer != ledger.CodeInsufficientFunds:
			count["refused otherwise: "+answer]++
		}
		if !answered {
			count["unanswered"]++
		}
		count[decided[key]]++
		for _, m := range moves {
			if decided[key] == "committed" {
				want[m.Side][m.Purse] += m.Cents
			}
			if m.Side == agentSide {
				continue // they keep no record by key; their balances tell
			}
			cents, there := rows[m.Side][m.Key]
			if there != (decided[key] == "committed") || there && cents != m.Cents {
				t.Errorf("transfer %d was decided %s, and %s has %d (%v): %+v", key, decided[key], m.Side, cents, there, moves)
			}
			delete(rows[m.Side], m.Key)
		}
	}
	for side, more := range rows {
		if len(more) > 0 {
			t.Errorf("%s has what nobody asked for: %v", side, more)
		}
	}
	have := map[string][]int64{postgresSide: b.purses(b.pool), mariadbSide: b.purses(b.db)}
	var balances []int64
	c.must("/balances", nil, &balances)
	have[agentSide] = balances
	var sum int64
	for side, cents := range have {
		if !slices.Equal(cents, want[side]) {
			t.Errorf("%s has %d, and should have %d", side, cents, want[side])
		}
		for _, n := range cents {
			sum += n
		}
	}
	if sum != 3*purses*plenty {
		t.Errorf("there are %d cents, not %d", sum, 3*purses*plenty)
	}
	b.strangersStay(c)
	if count["committed"] == 0 || count["aborted"] == 0 || count["unanswered"] == 0 || b.left == 0 {
		t.Errorf("the kills met nothing: %v, %d prepared", count, b.left)
	}
	slices.Sort(b.ages)
	slices.Sort(b.resolved)
	t.Logf("%d kills of the program, %d of databases; %d transfers: %v", kills, b.restarted, len(b.calls), count)
	t.Logf("%d branches were prepared at %d of the kills%s", b.left, b.moments, spread(b.ages))
	t.Logf("the watch resolved %d%s", len(b.resolved), spread(b.resolved))
	for _, side := range slices.Sorted(maps.Keys(have)) {
		t.Logf("%s has %d", side, have[side])
	}
}

func full() []int64 { return slices.Repeat([]int64{plenty}, purses) }

func spread(ages []time.Duration) string {
	if len(ages) == 0 {
		return ""
	}
	return fmt.Sprintf(", since %v (median), %v (at most)", ages[len(ages)/2].Round(time.Millisecond), ages[len(ages)-1].Round(time.Millisecond))
}
