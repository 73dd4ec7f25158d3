package check

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"strings"
)

// The transactions of the bank are strictly serializable: they take effect as if
// one after the other, in an order in which none comes before another that was over
// when it began (rule 7). Which of two is the first follows from the balances
// (Adya, Liskov, O'Neil: "Generalized Isolation Level Definitions", 2000): who left
// a balance is before those who found it, and who read it before the one who
// changed it. With that of time there is such an order if and only if nobody is
// before himself.

// tx is a transaction that is done.
type tx struct {
	op        *operation
	call, ret int64
	next      []edge
	waits     int // for so many edges
	placed    bool
}

// edge says that a transaction comes before another one, and why.
type edge struct {
	to  *tx
	why string
}

// serializable judges that there is an order (rule 7).
func (j *judge) serializable(vaults map[string]*vault) {
	all := dependencies(vaults)
	if rest := arrange(all); len(rest) > 0 {
		j.circular(rest)
	}
}

// dependencies are all transactions that are done, with what follows from the
// balances.
func dependencies(vaults map[string]*vault) []*tx {
	by := make(map[*operation]*tx)
	var all []*tx
	of := func(o *operation) *tx {
		if by[o] == nil {
			by[o] = &tx{op: o, call: o.begun().call, ret: o.first.ret}
			all = append(all, by[o])
		}
		return by[o]
	}
	before := func(a, b *operation, form string, args ...any) {
		if a != b {
			x, y := of(a), of(b)
			x.next = append(x.next, edge{y, fmt.Sprintf(form, args...)})
			y.waits++
		}
	}
	for _, name := range slices.Sorted(keysOf(vaults)) {
		v := vaults[name]
		for o, f := range v.found {
			of(o)
			if left := v.left[f.found]; left != nil {
				before(left, o, "it left %d in %s, which the next changed", f.found, name)
			}
		}
		for balance, readers := range v.reads {
			for _, o := range readers {
				of(o)
				if left := v.left[balance]; left != nil {
					before(left, o, "it left %d in %s, which the next read", balance, name)
				}
				for _, taker := range v.takers[balance] {
					before(o, taker, "it read %d in %s, before the next changed it", balance, name)
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b *tx) int { return cmp.Or(cmp.Compare(a.call, b.call), strings.Compare(a.op.key, b.op.key)) })
	return all
}

// queue has the transactions that wait for no edge, the earliest to begin first.
type queue []*tx

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, k int) bool { return q[i].call < q[k].call }
func (q queue) Swap(i, k int)      { q[i], q[k] = q[k], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*tx)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// arrange takes one transaction after the other away that none is before, by an edge
// or by time, and returns those that are left: none if there is an order. By time
// none is before the earliest to begin if any can be taken at all; so it is enough to
// look at that one.
func arrange(all []*tx) (rest []*tx) {
	ends := slices.SortedFunc(slices.Values(all), func(a, b *tx) int { return cmp.Compare(a.ret, b.ret) })
	free := &queue{}
	for _, t := range all {
		if t.waits == 0 {
			heap.Push(free, t)
		}
	}
	for free.Len() > 0 {
		t := heap.Pop(free).(*tx)
		for len(ends) > 0 && ends[0].placed {
			ends = ends[1:]
		}
		if ends[0].ret < t.call {
			break
		}
		t.placed = true
		for _, e := range t.next {
			if e.to.waits--; e.to.waits == 0 {
				heap.Push(free, e.to)
			}
		}
	}
	for _, t := range all {
		if !t.placed {
			rest = append(rest, t)
		}
	}
	return rest
}

// circular tells the shortest way on which a transaction is before itself.
func (j *judge) circular(rest []*tx) {
	// Whoever is left waits for another one that is left, and so on, until one comes
	// again: that is a circle, from which shorter ones are searched for.
	earliest := slices.MinFunc(rest, func(a, b *tx) int { return cmp.Compare(a.ret, b.ret) })
	waitsFor := make(map[*tx]*tx)
	for _, t := range rest {
		for _, e := range t.next {
			if !e.to.placed {
				waitsFor[e.to] = t
			}
		}
	}
	seen := make(map[*tx]bool)
	at := earliest
	for ; !seen[at]; at = cmp.Or(waitsFor[at], earliest) {
		seen[at] = true
	}
	var best []link
	for from, tried := at, 0; tried == 0 || from != at && tried < 50; tried++ {
		if way := circle(from, rest); len(way) > 0 && (best == nil || len(way) < len(best)) {
			best = way
		}
		from = cmp.Or(waitsFor[from], earliest)
	}
	var lines []place
	var text []string
	for i, s := range best {
		if i < shown {
			lines = append(lines, decisionLines(s.from.op)...)
			text = append(text, fmt.Sprintf("%s (%s)", s.from.op, s.why))
		}
	}
	j.found(CodeNotSerializable, lines, "no order of the transactions explains what they told. Each of these comes before the next, and the last before the first: %s", strings.Join(text, "; "))
}

// link is a step of a circle.
type link struct {
	from *tx
	why  string
}

// circle is the shortest way from a transaction back to itself.
func circle(start *tx, rest []*tx) []link {
	byCall := slices.SortedFunc(slices.Values(rest), func(a, b *tx) int { return cmp.Compare(b.call, a.call) })
	came := make(map[*tx]link)
	later := 0 // so many of byCall have been reached by time
	reach := func(from, to *tx, why string) bool {
		if _, known := came[to]; known || to.placed {
			return false
		}
		came[to] = link{from, why}
		return true
	}
	for todo := []*tx{start}; len(todo) > 0 && came[start].from == nil; todo = todo[1:] {
		t := todo[0]
		for _, e := range t.next {
			if reach(t, e.to, e.why) {
				todo = append(todo, e.to)
			}
		}
		for ; later < len(byCall) && byCall[later].call > t.ret; later++ {
			if reach(t, byCall[later], "it was answered before the next was sent") {
				todo = append(todo, byCall[later])
			}
		}
	}
	if came[start].from == nil {
		return nil
	}
	var way []link
	for s := came[start]; ; s = came[s.from] {
		way = append(way, s)
		if s.from == start {
			break
		}
	}
	slices.Reverse(way)
	return way
}
