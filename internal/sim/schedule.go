package sim

import "github.com/semel-dev/semel/message"

// event is something that happens at a time: to a process, which may be dead or
// asleep by then, or (p nil) to the rest of the world.
type event struct {
	at message.Time
	n  uint64 // ties are broken by age
	p  *process
	fn func()
}

// schedule is a binary heap of events.
type schedule struct {
	events []event
	count  uint64
}

func (q *schedule) before(a, b *event) bool { return a.at < b.at || a.at == b.at && a.n < b.n }

func (q *schedule) push(e event) {
	q.count++
	e.n = q.count
	q.events = append(q.events, e)
	h := q.events
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.before(&h[i], &h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

func (q *schedule) pop() event {
	h := q.events
	e := h[0]
	last := len(h) - 1
	h[0] = h[last]
	h[last] = event{}
	h = h[:last]
	q.events = h
	for i := 0; ; {
		least := 2*i + 1
		if least >= last {
			break
		}
		if r := least + 1; r < last && q.before(&h[r], &h[least]) {
			least = r
		}
		if !q.before(&h[least], &h[i]) {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	return e
}

// after lets something happen to the world.
func (s *Sim) after(d message.Time, fn func()) { s.queue.push(event{at: s.now + d, fn: fn}) }

// after lets something happen to a process: later if it sleeps then, never if
// it is dead.
func (p *process) after(d message.Time, fn func()) {
	p.s.queue.push(event{at: p.s.now + d, p: p, fn: fn})
}

// next takes the next event that happens. It reports false when there is none.
func (s *Sim) next() (event, bool) {
	for len(s.queue.events) > 0 {
		e := s.queue.pop()
		s.now = max(s.now, e.at)
		if p := e.p; p != nil {
			if p.dead {
				continue
			}
			if p.resume > s.now {
				e.at = p.resume
				s.queue.push(e) // in the order of their times: they are popped in it
				continue
			}
		}
		return e, true
	}
	return event{}, false
}
