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

// Accepted says whether the caller was ever in flight: its message may have had
// effects before its answer came.
func (c *Caller) Accepted() bool { return c.accepted }

// Generations are those whose outcomes are still known, newest first.
func (s *Shard) Generations() []message.Generation { return s.retention.since(0) }

// ReadStateVersion reads the version of an agent from a row of TableState.
func ReadStateVersion(k message.RowKey, value []byte) (uint64, error) {
	r, err := readState(k, value)
	return r.version, err
}

// SplitKeyIdentity reads what message.AppendKeyIdentity wrote.
func SplitKeyIdentity(identity []byte) (principal, key string) { return splitKeyIdentity(identity) }

// KeepsFeed says whether the machine keeps a change feed. A guest does as the
// store's own program does.
func (s *Shard) KeepsFeed() bool { return s.cfg.Feed }

// Quiesce begins no further call or probe of an effect. What is asked for
// stays asked, and is called by the next machine.
func (s *Shard) Quiesce() { s.cfg.Running = 0 }

// LastStep names the message of the last step that began, for whoever has to
// say what brought a loop to its end.
func (s *Shard) LastStep() string {
	if m := s.step.msg; m != nil {
		return m.Action + " of " + m.To.String()
	}
	return "none"
}
