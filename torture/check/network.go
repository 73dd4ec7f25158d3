package check

import "slices"

// double marks the requests that the network passed on twice. The answer to the
// copy goes nowhere, so that a request that was refused may have taken effect all
// the same.
func (h *history) double() {
	times := make(map[string][]int64) // by key
	for _, e := range h.faults {
		if e.Fault == FaultDuplicate {
			for _, key := range e.befell() {
				times[key] = append(times[key], e.At)
			}
		}
	}
	for _, r := range h.requests {
		r.doubled = slices.ContainsFunc(times[r.op.key], func(at int64) bool {
			return at >= r.call-maxSkew && (r.answered == "" || at <= r.ret+maxSkew)
		})
	}
}

// befell are the keys of the calls of the request that it befell. A read has none.
func (e *event) befell() []string {
	if e.Key != "" {
		return []string{e.Key}
	}
	return e.Keys
}
