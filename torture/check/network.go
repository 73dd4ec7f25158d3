package check

import "slices"

// double marks the requests that the network may have passed on twice. The answer
// to the copy goes nowhere, so that a request that was refused may have taken
// effect all the same. Which calls are in a batch the network does not know: its
// fault may be that of each batch that was under way.
func (h *history) double() {
	var nameless []int64
	named := make(map[string][]int64)
	for _, e := range h.faults {
		switch {
		case e.Fault != FaultDuplicate:
		case e.Key == "":
			nameless = append(nameless, e.At)
		default:
			named[e.Key] = append(named[e.Key], e.At)
		}
	}
	slices.Sort(nameless)
	for _, times := range named {
		slices.Sort(times)
	}
	for _, r := range h.requests {
		times := named[r.op.key]
		if r.batch > 0 {
			times = nameless
		}
		i, _ := slices.BinarySearch(times, r.call-maxSkew)
		r.doubled = i < len(times) && (r.answered == "" || times[i] <= r.ret+maxSkew)
	}
}
