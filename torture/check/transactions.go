package check

import (
	"fmt"
	"slices"
)

// Transactions are the figures of those of the bank.
type Transactions struct {
	Accounts  int            `json:"accounts"`
	Committed int            `json:"committed"`
	Aborted   map[string]int `json:"aborted"` // by code; timeout may be a deadlock
	Undecided int            `json:"undecided"`
	Reads     int            `json:"reads"` // of the committed, those that saw all accounts, without the last
	// Waits are how long they took, from the first request to the decision, with all
	// repetitions and faults, by outcome. Undisturbed are those of them during which no
	// server was killed, stopped or restarted.
	Waits       map[string]Wait `json:"waits"`
	Undisturbed map[string]Wait `json:"undisturbed"`
	// Over is how long after the last fault it was seen that none was open any more;
	// 0 if it was not.
	Over int64 `json:"over_ns"`
}

// Wait is a distribution of times, in nanoseconds.
type Wait struct {
	Times  int   `json:"times"`
	Median int64 `json:"median_ns"`
	P99    int64 `json:"p99_ns"`
	Most   int64 `json:"most_ns"`
}

func waitOf(took []int64) Wait {
	slices.Sort(took)
	n := len(took)
	return Wait{Times: n, Median: took[n/2], P99: took[min(n*99/100, n-1)], Most: took[n-1]}
}

// transactions counts those of the bank; nil if there is none.
func (h *history) transactions() *Transactions {
	b := h.manifest.Bank
	if b == nil {
		return nil
	}
	t := &Transactions{Accounts: b.Accounts, Aborted: make(map[string]int), Waits: make(map[string]Wait), Undisturbed: make(map[string]Wait)}
	all, calm := make(map[string][]int64), make(map[string][]int64)
	for _, o := range h.order {
		if o.kind != OpTransaction {
			continue
		}
		outcome := t.note(o)
		// What is decided in the drain waited for its turn to be sent again, too.
		if o.first == nil || o.first.phase != PhaseLoad {
			continue
		}
		from, to := o.begun().call, o.first.ret
		all[outcome] = append(all[outcome], to-from)
		if !h.disturbed(from, to) {
			calm[outcome] = append(calm[outcome], to-from)
		}
	}
	for outcome, took := range all {
		t.Waits[outcome] = waitOf(took)
	}
	for outcome, took := range calm {
		t.Undisturbed[outcome] = waitOf(took)
	}
	since, _ := h.calm()
	for _, e := range h.listings {
		if e.Left == 0 && e.At >= since && t.Over == 0 {
			t.Over = e.At - since
		}
	}
	return t
}

// note counts one, and returns how it ended.
func (t *Transactions) note(o *operation) string {
	switch {
	case o.first == nil:
		t.Undecided++
		return ""
	case o.first.answered != OK:
		t.Aborted[o.first.code]++
		return "aborted: " + o.first.code
	}
	t.Committed++
	switch {
	case o.moves():
		return "moved"
	case len(o.parts) == t.Accounts:
		if o.first.phase != PhaseLast { // when nothing moved any more
			t.Reads++
		}
		return "read all"
	}
	return "read some"
}

// disturbed says that a server was killed, stopped or restarted meanwhile.
func (h *history) disturbed(from, to int64) bool {
	return slices.ContainsFunc(h.outages, func(e *event) bool { return e.At <= to && max(e.At, e.Until, e.Moved) >= from })
}

// rows are the figures for people.
func (t *Transactions) rows() (rows [][2]string) {
	rows = append(rows, [2]string{"transactions", fmt.Sprintf("%d committed, %d of them reads of all %d accounts; aborted: %s; %d undecided; none open %v after the last fault",
		t.Committed, t.Reads, t.Accounts, list(t.Aborted), t.Undecided, brief(t.Over))})
	for _, outcome := range slices.Sorted(keysOf(t.Waits)) {
		row := t.Waits[outcome].String()
		if calm, ok := t.Undisturbed[outcome]; ok {
			row += "; without a fault meanwhile: " + calm.String()
		}
		rows = append(rows, [2]string{"  " + outcome, row})
	}
	return rows
}

func (w Wait) String() string {
	return fmt.Sprintf("%d, p50 %v, p99 %v, %v at most", w.Times, brief(w.Median), brief(w.P99), brief(w.Most))
}
