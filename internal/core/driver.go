package core

import "github.com/semel-dev/semel/message"

// TakeWakes takes, of the work, the shards to which the unit just sealed
// sends: they may be told once that unit is visible. Valid until Take.
func (s *Shard) TakeWakes() []message.Shard {
	w := s.work.Wakes
	s.work.Wakes = s.work.Wakes[len(w):]
	return w
}

// InFlight says whether the caller waits for an outcome whose message was
// accepted: it goes on whatever becomes of the machine.
func (c *Caller) InFlight() bool { return c.open != "" }
