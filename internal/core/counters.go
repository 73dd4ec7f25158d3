package core

import (
	"github.com/semel-dev/semel/message"
)

// Counters count what a machine, and those before it in the same process, have
// decided since the process began. They only grow. What is in a unit that the
// store then lost stays counted, and is counted again when it is decided again:
// they measure work, and prove nothing.
type Counters struct {
	Steps       uint64 // handlers that ran and whose step stands: replied, refused, deferred, unknown for good
	Rejections  uint64 // of them, those that refused
	Replays     uint64 // answers taken from the record, or from a step that ran for another caller
	Conflicts   uint64 // calls refused because their key was used for another request
	Failures    uint64 // handlers that failed, so that nothing of their step stands
	Panics      uint64 // of them, those that panicked
	Retries     uint64 // accepted messages put off to be tried again
	Overloaded  uint64 // calls refused for want of room among the calls in flight
	StorageFull uint64 // calls refused for want of room on the device
	Calls       uint64 // of effects
	Probes      uint64 // of effects
	Units       uint64 // sealed
	UnitBytes   uint64 // keys and values of their writes
}

// Gauges say where a machine stands.
type Gauges struct {
	Agents      int          // in memory
	CachedBytes int          // that they are taken to need
	Effects     int          // not settled, those under way and in doubt among them
	Doubts      int          // effects in doubt
	OldestDoubt message.Time // when the call was begun that has been in question longest; zero without doubts
	Dead        int          // dead letters
	Sent        uint64       // messages put into outboxes since the store was made
	Taken       uint64       // messages consumed from outboxes since then
	Paused      bool         // retention
}

// Counters returns what was counted.
func (s *Shard) Counters() Counters { return s.counters }

// Gauges returns where the machine stands, with the open unit. It costs the
// same whatever the machine holds.
func (s *Shard) Gauges() Gauges {
	g := Gauges{
		Agents: len(s.cells), CachedBytes: s.cached, Effects: len(s.effects),
		Doubts: len(s.doubtful), Dead: s.dead, Sent: s.sent, Taken: s.consumed, Paused: s.retention.paused,
	}
	if len(s.doubtful) > 0 {
		g.OldestDoubt = s.doubtful[0].questioned()
	}
	return g
}

// recoverTotals adds up what the rows of outboxes and inboxes say.
func (s *Shard) recoverTotals() {
	s.sent = 0 // recovery may have sent
	for _, end := range s.outEnds {
		s.sent += end
	}
	for _, src := range s.sources {
		s.consumed += src.taken
	}
}

// countRefusal counts calls that are refused as new work.
func (s *Shard) countRefusal(env *envelope) {
	n := uint64(len(env.callers))
	if env.callers[0].Refuse == message.CodeStorageFull {
		s.counters.StorageFull += n
	} else {
		s.counters.Overloaded += n
	}
}

// Add adds what another machine counted.
func (c *Counters) Add(more Counters) {
	c.Steps += more.Steps
	c.Rejections += more.Rejections
	c.Replays += more.Replays
	c.Conflicts += more.Conflicts
	c.Failures += more.Failures
	c.Panics += more.Panics
	c.Retries += more.Retries
	c.Overloaded += more.Overloaded
	c.StorageFull += more.StorageFull
	c.Calls += more.Calls
	c.Probes += more.Probes
	c.Units += more.Units
	c.UnitBytes += more.UnitBytes
}

// Add adds another machine's.
func (g *Gauges) Add(more Gauges) {
	g.Agents += more.Agents
	g.CachedBytes += more.CachedBytes
	g.Effects += more.Effects
	g.Doubts += more.Doubts
	if g.OldestDoubt == 0 || more.OldestDoubt != 0 && more.OldestDoubt < g.OldestDoubt {
		g.OldestDoubt = more.OldestDoubt
	}
	g.Dead += more.Dead
	g.Sent += more.Sent
	g.Taken += more.Taken
	g.Paused = g.Paused || more.Paused
}
