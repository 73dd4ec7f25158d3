package core

import (
	"container/heap"

	"github.com/semel-dev/semel/message"
)

// wakeHeap is what the machine must look at again, by time: a cell once, at the
// earliest time that something may want it, an effect as often as it asked.
// Entries stay when they lose their reason; whoever is woken looks for itself.
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
func (h *wakeHeap) Swap(i, j int) {
	h.entries[i], h.entries[j] = h.entries[j], h.entries[i]
	h.place(i)
	h.place(j)
}

// place tells a cell where its entry is.
func (h *wakeHeap) place(i int) {
	if c := h.entries[i].cell; c != nil {
		c.wake = i + 1
	}
}

// Push implements heap.Interface.
func (h *wakeHeap) Push(x any) {
	h.entries = append(h.entries, x.(wakeEntry))
	h.place(len(h.entries) - 1)
}

// Pop implements heap.Interface.
func (h *wakeHeap) Pop() any {
	e := h.entries[len(h.entries)-1]
	h.entries[len(h.entries)-1] = wakeEntry{}
	h.entries = h.entries[:len(h.entries)-1]
	if e.cell != nil {
		e.cell.wake = 0
	}
	return e
}

func (h *wakeHeap) add(e wakeEntry) {
	h.count++
	e.n = h.count
	heap.Push(h, e)
}

// wakeCell has the cell drained at a time, if not before.
func (h *wakeHeap) wakeCell(c *cell, at message.Time) {
	switch {
	case c.wake == 0:
		h.add(wakeEntry{at: at, cell: c})
	case at < h.entries[c.wake-1].at:
		h.entries[c.wake-1].at = at
		heap.Fix(h, c.wake-1)
	}
}

// forget takes the entry of a cell away that is forgotten.
func (h *wakeHeap) forget(c *cell) {
	if c.wake != 0 {
		heap.Remove(h, c.wake-1)
	}
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
			s.wakeAgain(e.cell)
		}
		if e.effect != nil {
			s.wakeEffect(e.effect)
		}
	}
}

// wakeAgain plans for what else keeps a cell waiting for its time.
func (s *Shard) wakeAgain(c *cell) {
	if c.control == nil || c.evicted {
		return
	}
	if c.control.until > s.now {
		s.alarms.wakeCell(c, c.control.until)
	}
	for _, r := range c.control.retries {
		if r.until > s.now {
			s.alarms.wakeCell(c, r.until)
		}
	}
}
