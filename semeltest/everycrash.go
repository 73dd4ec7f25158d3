package semeltest

import "fmt"

// EveryCrash crashes a program at every instant that matters, starts it again
// on what survived, makes all calls of the workload again with the same keys,
// and compares what came of it with a run without a crash. The instants are:
//
//   - each commit, when it is not durable yet. It is lost once, and once it is
//     kept, without anybody having been told;
//   - each call of an effect, before it reaches the World, and after it took
//     effect there, before its result is recorded; and so each probe. If there
//     is something that is not durable then, it is lost once and kept once.
//
// If nothing was found, each crash is then followed by a second one, somewhere in
// the life after it.
//
// It fails the test for at most three crashes, and says for each where it was
// and how to run only it. A workload that fails without a crash, or whose runs
// differ, fails the test too. The data are in memory, so a crash takes a few
// milliseconds; see Limit for how many are run.
func EveryCrash(tb TB, w Workload, opts ...Option) {
	tb.Helper()
	k, ok := newKit(tb, w, crashes, 1000, opts)
	if !ok {
		return
	}
	all := crashesAt(k.points)
	if k.o.only > len(all) {
		tb.Errorf("semeltest: there is no crash %d; there are %d", k.o.only, len(all))
		return
	}
	after := make(map[int][]crash) // by crash: those in the life after it
	missed := 0
	for n := 1; n <= len(all); n++ {
		if k.skips(n) || k.o.only == 0 && !sampled(n, len(all), k.o.limit) {
			continue
		}
		h := k.crash(n, len(all), all[n-1])
		after[n] = crashesAt(h.points)
		if len(h.at) == 0 && !h.hangs {
			missed++
		}
	}
	first, second := len(after), 0
	for n := 1; n <= len(all) && k.failed == 0; n++ { // what is found already needs no second crash
		if again := after[n]; len(again) > 0 {
			k.crash(n, len(all), all[n-1], again[n*secondStride%len(again)])
			second++
		}
	}
	tb.Logf("semeltest: ran %d of the %d crashes at %d points, and %d second crashes; %d came to an end before their point%s",
		first, len(all), len(k.points), second, missed, k.notCompared())
}

// crash runs the n-th crash, perhaps with a second one behind it.
func (k *kit) crash(n, of int, crashes ...crash) *history {
	k.tb.Helper()
	h := play(k.bubble, k.o, k.workload, plan{crashes: crashes})
	if wrong := k.judge(h, against{what: "without a crash", replies: true}); len(wrong) > 0 {
		where := crashes[0].point.describe(crashes[0]) // if this run did not come so far
		for i, at := range h.at {
			if i == 0 {
				where = at.describe(crashes[0])
			} else {
				where += "; and then, in the life after it: " + at.describe(crashes[i])
			}
		}
		k.fail(fmt.Sprintf("crash %d of %d: %s", n, of, where), n, wrong)
	}
	return h
}

// secondStride is a prime, so that the second crashes of neighbours, whose
// lives after the first are alike, are not.
const secondStride = 7919

// crashesAt lists the crashes that there are at the points of a run.
func crashesAt(points []point) (all []crash) {
	for _, p := range points {
		all = append(all, crash{point: p})
		if p.tail {
			all = append(all, crash{point: p, keep: true})
		}
	}
	return all
}

// sampled spreads a limited number of cases evenly over all.
func sampled(n, all, limit int) bool {
	return all <= limit || n*limit/all != (n-1)*limit/all
}
