package semeltest

import (
	"fmt"
	"math/rand/v2"
)

// Duplicate delivers every call two or three times, in a row or all at once,
// and loses the World's first answer to every effect, and its first two to
// probes of one, so that repetitions come too. It does not lose that of an effect which
// is AtMostOnce, for nothing would repeat it. The replies to one call must be equal,
// and what came of it all the same as without duplicates. An action that is
// AtLeastOnce runs for each duplicate, so its handler must bear that. Each
// case draws other numbers; there are 20, see Limit.
func Duplicate(tb TB, w Workload, opts ...Option) {
	tb.Helper()
	k, ok := newKit(tb, w, duplicates, 20, opts)
	if !ok {
		return
	}
	ran := 0
	for n := 1; n <= max(k.o.limit, k.o.only); n++ {
		if k.skips(n) {
			continue
		}
		h := play(k.bubble, k.o, w, plan{copies: seeded(n), lose: true})
		if wrong := k.judge(h, against{what: "without duplicates", replies: true}); len(wrong) > 0 {
			k.fail(fmt.Sprintf("duplicates, case %d of %d", n, k.o.limit), n, wrong)
		}
		ran++
	}
	tb.Logf("semeltest: ran %d cases with duplicates%s", ran, k.notCompared())
}

// Reorder makes the calls of the workload in other orders, as far as no Then or
// Do keeps them apart, and lets effects and commits come to their ends in other
// orders. What came of it all must be the same as in the order of the workload:
// the states in the end, and what happened outside; replies may differ. It is
// for programs that promise that. Each case draws another order; there are 20,
// see Limit.
func Reorder(tb TB, w Workload, opts ...Option) {
	tb.Helper()
	k, ok := newKit(tb, w, orders, 20, opts)
	if !ok {
		return
	}
	ran := 0
	for n := 1; n <= max(k.o.limit, k.o.only); n++ {
		if k.skips(n) {
			continue
		}
		h := play(k.bubble, k.o, w, plan{shuffle: seeded(n)})
		if wrong := k.judge(h, against{what: "in the order of the workload"}); len(wrong) > 0 {
			k.fail(fmt.Sprintf("order %d of %d (%s)", n, k.o.limit, h.orderMade()), n, wrong)
		}
		ran++
	}
	tb.Logf("semeltest: ran %d orders%s", ran, k.notCompared())
}

func seeded(n int) *rand.Rand { return rand.New(rand.NewPCG(uint64(n), 0x5e3e1)) }
