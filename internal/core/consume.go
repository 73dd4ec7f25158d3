package core

// consume writes, into the unit that has the message's step or its mailbox
// row, whatever says that the message need not be delivered again.
func (s *Shard) consume(env *envelope) {
	env.consumed = true
	switch env.origin {
	case fromInbox:
		s.consumeInbox(env)
	case fromMailbox:
		s.consumeParked(env)
	case fromRetry:
		k := s.control(env.cell)
		k.retries = without(k.retries, env.retry)
		env.cell.taking = nil
	case fromTimer:
		s.consumeTimer(env.timer)
	case fromEffect:
		s.consumeEffect(env.effect)
		if s.dropDoubt(env.effect) { // the step may go on to ask for more
			value, _ := s.row(env, 0)
			s.updateOrigin(env.cell.agent, env.rows[0].key, value)
		}
	case fromDead:
		s.removeDead(env)
		s.reopen(env)
	}
	if a := env.msg.Answer; a != nil && a.Code == CodeWithdrawn && len(env.rows) > 0 {
		// The session that withdrew may have ended before the row said so.
		value, _ := s.row(env, 0)
		s.updateOrigin(env.cell.agent, env.rows[0].key, value)
	}
	s.endTrial(env)
}

// control is the cell's control row, about to be changed. What makes it larger
// has to be counted after that.
func (s *Shard) control(c *cell) *controlRow {
	if c.control == nil {
		c.control = new(controlRow)
	}
	c.controlChanged = true
	s.touch(c)
	s.countControl(c)
	return c.control
}
