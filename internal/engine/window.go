package engine

import "sync"

// window lets small units of several shards share a sync, where the store has
// one log for all: none is submitted while others are in flight, and when these
// have landed, every shard that waited may submit. A unit that were submitted
// meanwhile would wait for the sync under way anyhow, and what gathers after it
// for one sync more.
//
// The zero value is for stores whose shards commit by themselves: it is always
// open. It is safe for concurrent use: loops ask and ackers tell.
type window struct {
	shared bool

	mu      sync.Mutex
	flying  int // units in flight, of all shards
	waiting []*shard
}

// open says whether the shard may submit a small unit now. If not, its loop is
// woken when it may.
func (w *window) open(sh *shard) bool {
	if !w.shared {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flying == 0 || sh.turned == mine {
		return true
	}
	if sh.turned == notAsked {
		sh.turned = asked
		w.waiting = append(w.waiting, sh)
	}
	return false
}

// submitted is called for every unit, small or not.
func (w *window) submitted(sh *shard) {
	if !w.shared {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flying++
	if sh.turned == mine {
		sh.turned = notAsked
	}
}

// landed is called when a unit is durable, or will not be.
func (w *window) landed() {
	if !w.shared {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flying--; w.flying > 0 {
		return
	}
	for _, sh := range w.waiting {
		sh.turned = mine
		sh.queue.wakeUp()
	}
	clear(w.waiting)
	w.waiting = w.waiting[:0]
}

// turn is how a shard stands to the window.
type turn uint8

const (
	notAsked turn = iota
	asked         // it waits for what is in flight
	mine          // what it waited for has landed: whoever came first since does not keep it out
)
