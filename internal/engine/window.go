package engine

import "sync"

// syncWindow lets small units of several shards share a sync, where the store
// has one log for all. A small unit waits for those that were in flight when
// its shard first asked. Submitted earlier it would wait for the same sync, and
// what came after it for another.
//
// Where shards commit by themselves it is always open. It is safe for
// concurrent use: loops ask, and ackers tell.
type syncWindow struct {
	shared bool // the store has one log; set before the shards run

	mu        sync.Mutex
	submitted uint64 // units are numbered, of all shards together
	landed    uint64 // the highest that has. A unit that was refused lands at once, before those in front of it: that costs a sync that could have been shared
	waiting   []*shard
}

// standing is how a shard stands to the window, whose mu guards it.
type standing struct {
	behind uint64 // the unit that its small unit waits for; 0 when it did not ask
	listed bool   // among those who wait
}

// open says whether the shard may submit a small unit now. If not, its loop is
// woken when it may. To ask again changes nothing: units that others submit
// meanwhile do not keep it waiting.
func (w *syncWindow) open(sh *shard) bool {
	if !w.shared {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	at := &sh.standing
	if at.behind == 0 {
		at.behind = w.submitted
	}
	if at.behind <= w.landed {
		return true
	}
	if !at.listed {
		at.listed = true
		w.waiting = append(w.waiting, sh)
	}
	return false
}

// submit is called for every unit, small or not, and returns its number.
func (w *syncWindow) submit(sh *shard) uint64 {
	if !w.shared {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.submitted++
	sh.standing.behind = 0
	return w.submitted
}

// land is called when the store has answered for a unit, whatever it said.
func (w *syncWindow) land(number uint64) {
	if !w.shared {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.landed = max(w.landed, number)
	still := w.waiting[:0]
	for _, sh := range w.waiting {
		if sh.standing.behind > w.landed {
			still = append(still, sh)
			continue
		}
		sh.standing.listed = false
		sh.queue.wakeUp() // in vain if it has submitted a large one since it asked
	}
	clear(w.waiting[len(still):])
	w.waiting = still
}
