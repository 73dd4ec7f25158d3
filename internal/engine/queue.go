package engine

import (
	"sync"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// event is one thing for a shard's loop: a message that was submitted, anything
// else as a function, or, with neither, a call that its caller gives up.
type event struct {
	call *call
	msg  *message.Message
	run  func(m *core.Shard)
}

// queue brings events to a loop. Pushing wakes the loop only when it sleeps:
// what comes before it has looked is served by the same wake-up.
type queue struct {
	mu       sync.Mutex
	events   []event
	sleeping bool // the loop is to be woken by a push
	wake     chan struct{}
}

func (q *queue) push(events ...event) {
	q.mu.Lock()
	q.events = append(q.events, events...)
	wake := q.sleeping
	q.sleeping = false
	q.mu.Unlock()
	if wake {
		q.wakeUp()
	}
}

// take hands over what has gathered and keeps spare for what comes next.
func (q *queue) take(spare []event) []event {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := q.events
	q.events = spare[:0]
	return events
}

// sleep says that the loop is about to sleep; it reports false if something is
// there already.
func (q *queue) sleep() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) > 0 {
		return false
	}
	q.sleeping = true
	return true
}

func (q *queue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// putBack returns events that were taken and not handled, in front of those
// that came meanwhile.
func (q *queue) putBack(events []event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events = append(append([]event(nil), events...), q.events...)
}

func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.events) == 0
}
