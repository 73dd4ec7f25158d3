package core

import (
	"container/heap"

	"github.com/semel-dev/semel/message"
)

// wakeHeap is what the machine must look at again, by time. Entries are not
// removed when they lose their reason; whoever is woken looks for itself.
type wakeHeap struct {
	entries []wakeEntry
	count   uint64
}

type wakeEntry struct {
	at     message.Time
	n      uint64 // ties are broken by age, so that a run can be repeated
	cell   *cell
	effect *effectRecord
}

func (h *wakeHeap) Len() int { return len(h.entries) }
func (h *wakeHeap) Less(i, j int) bool {
	a, b := &h.entries[i], &h.entries[j]
	if a.at != b.at {
		return a.at < b.at
	}
	return a.n < b.n
}
func (h *wakeHeap) Swap(i, j int) { h.entries[i], h.entries[j] = h.entries[j], h.entries[i] }

// Push implements heap.Interface.
func (h *wakeHeap) Push(x any) { h.entries = append(h.entries, x.(wakeEntry)) }

// Pop implements heap.Interface.
func (h *wakeHeap) Pop() any {
	e := h.entries[len(h.entries)-1]
	h.entries[len(h.entries)-1] = wakeEntry{}
	h.entries = h.entries[:len(h.entries)-1]
	return e
}

func (h *wakeHeap) add(e wakeEntry) {
	h.count++
	e.n = h.count
	heap.Push(h, e)
}

func (h *wakeHeap) next() message.Time {
	if len(h.entries) == 0 {
		return 0
	}
	return h.entries[0].at
}

// fireAlarms wakes every cell and effect whose time has come, as far as the
// open unit has room for what they write.
func (s *Shard) fireAlarms() {
	for len(s.alarms.entries) > 0 && s.alarms.entries[0].at <= s.now && !s.Full() {
		e := heap.Pop(&s.alarms).(wakeEntry)
		if e.cell != nil {
			s.drain(e.cell)
		}
		if e.effect != nil {
			s.wakeEffect(e.effect)
		}
	}
}
