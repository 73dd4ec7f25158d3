package core

import (
	"container/heap"

	"github.com/semel-dev/semel/message"
)

// doubtHeap is the effects whose rows say that they are in doubt, the one that
// has been in question longest first. Each knows its place, so that one that is
// settled goes at once, however many there are.
type doubtHeap []*effectRecord

// questioned is when the call was begun of which nobody knows the end.
func (e *effectRecord) questioned() message.Time {
	if e.started == 0 {
		return e.asked
	}
	return e.started
}

func (h doubtHeap) Len() int           { return len(h) }
func (h doubtHeap) Less(i, j int) bool { return h[i].questioned() < h[j].questioned() }
func (h doubtHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].mem.doubtful, h[j].mem.doubtful = i+1, j+1
}

// Push implements heap.Interface.
func (h *doubtHeap) Push(x any) {
	e := x.(*effectRecord)
	*h = append(*h, e)
	e.mem.doubtful = len(*h)
}

// Pop implements heap.Interface.
func (h *doubtHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.mem.doubtful = 0
	return e
}

// follow keeps the heap in line with the effect's row, which was written or
// read, or with its absence.
func (h *doubtHeap) follow(e *effectRecord, inDoubt bool) {
	switch {
	case inDoubt == (e.mem.doubtful != 0):
	case inDoubt:
		heap.Push(h, e)
	default:
		heap.Remove(h, e.mem.doubtful-1)
	}
}
