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
// Then each crash is followed by a second one, somewhere in the life after it.
//
// It fails the test for at most three crashes, and says for each where it was
// and how to run only it. A workload that fails without a crash, or whose runs
// differ, fails the test too. The data are in memory, so a crash takes about a
// millisecond; see Limit for how many are run.
func EveryCrash(tb TB, w Workload, opts ...Option) {
	tb.Helper()
	k, ok := newKit(tb, w, 1000, opts)
	if !ok {
		return
	}
	all := crashesAt(k.points)
	var did crashCount
	for n := 1; n <= len(all); n++ {
		if !k.skips(n) && (k.o.only != 0 || sampled(n, len(all), k.o.limit)) {
			k.crash(n, all, &did)
		}
	}
	tb.Logf("semeltest: ran %d of the %d crashes at %d points, and %d second crashes; %d came to an end before their point",
		did.first, len(all), len(k.points), did.second, did.missed)
}

type crashCount struct{ first, second, missed int }

// crash runs the n-th crash, and then with a second one behind it.
func (k *kit) crash(n int, all []crash, did *crashCount) {
	k.tb.Helper()
	c := all[n-1]
	h := play(k.bubble, k.o, k.workload, plan{crashes: []crash{c}})
	did.first++
	where := k.points[c.point-1] // if this run did not come so far
	if len(h.at) > 0 {
		where = h.at[0]
	} else {
		did.missed++
	}
	title := fmt.Sprintf("crash %d of %d: %s", n, len(all), where.describe(c))
	if wrong := k.judge(h, against{what: "without a crash", replies: true}); len(wrong) > 0 {
		k.fail(title, n, wrong)
		return
	}
	again := crashesAt(h.points)
	if len(again) == 0 {
		return // nothing was left to be done
	}
	second := again[n*secondStride%len(again)]
	h = play(k.bubble, k.o, k.workload, plan{crashes: []crash{c, second}})
	did.second++
	if len(h.at) > 1 {
		title += "; and then, in the life after it: " + h.at[1].describe(second)
	}
	if wrong := k.judge(h, against{what: "without a crash", replies: true}); len(wrong) > 0 {
		k.fail(title, n, wrong)
	}
}

// secondStride is a prime, so that the second crashes of neighbours, whose
// lives after the first are alike, are not.
const secondStride = 7919

// crashesAt lists the crashes that there are at the points of a run.
func crashesAt(points []point) (all []crash) {
	for i, p := range points {
		all = append(all, crash{point: i + 1})
		if p.tail {
			all = append(all, crash{point: i + 1, keep: true})
		}
	}
	return all
}

// sampled spreads a limited number of cases evenly over all.
func sampled(n, all, limit int) bool {
	return all <= limit || n*limit/all != (n-1)*limit/all
}
