package core

import (
	"github.com/semel-dev/semel/message"
)

// advance moves an envelope on: first everything that it depends on is read,
// then it is admitted.
func (s *Shard) advance(env *envelope) {
	if env.pending > 0 || env.abandoned || s.load(env) {
		return
	}
	if env.queued {
		s.drainSource(env.source)
		return
	}
	s.admit(env)
}

// load asks for what the envelope depends on and does not know. It reports
// whether the envelope must wait.
func (s *Shard) load(env *envelope) bool {
	var l *Load
	if env.cell.evicted { // while the envelope waited for other rows: its state is of the past
		env.cell = s.cellOf(env.cell.agent, env.cell.typ)
	}
	if c := env.cell; !c.loaded {
		env.pending++
		c.loaders = append(c.loaders, env)
		if !c.loading {
			c.loading = true
			l = &Load{cell: c, Keys: []message.RowKey{stateKey(c)}}
		}
	}
	if len(env.rows) > 0 && !s.fresh(env) && s.opened.knows(env) {
		env.read, env.issued = true, s.sealed
	} else if len(env.rows) > 0 && !s.fresh(env) {
		if env.read && !env.accepted() && env.msg.Key != "" {
			s.outcomeRows(env)
		}
		if l == nil {
			l = &Load{}
		}
		l.env = env
		l.keys = len(env.rows)
		for i := range env.rows {
			l.Keys = append(l.Keys, env.rows[i].key)
		}
		env.pending++
		env.read, env.issued = true, s.sealed
	}
	if l != nil {
		s.issue(l)
	}
	return env.pending > 0
}

// fresh says whether what the envelope read is still believed: every unit
// since then must be in the overlay, which is asked first.
func (s *Shard) fresh(env *envelope) bool { return env.read && s.trimmed <= env.issued }

// row is the present value of the i-th row that the envelope depends on, nil
// if there is none, and the unit that must be durable before anybody hears it.
func (s *Shard) row(env *envelope, i int) (value []byte, after message.Seq) {
	n := &env.rows[i]
	if r := s.overlay.get(n.key.Table, n.key.Key); r != nil {
		return r.value, r.seq
	}
	return n.value, env.issued
}

func (s *Shard) issue(l *Load) {
	l.issued = s.sealed
	s.outstanding = append(s.outstanding, l)
	s.work.Loads = append(s.work.Loads, l)
}

// Loaded gives back a Load: one value for each key, nil where there is no row.
func (s *Shard) Loaded(now message.Time, l *Load, values [][]byte) error {
	s.advanceClock(now)
	if l.apply != nil && l.fire == nil && s.Full() {
		// It may write. The read stays outstanding, so that the overlay keeps
		// what was written since. Only that of timers can fail.
		s.whenRoom(func() { _ = s.Loaded(s.now, l, values) })
		return nil
	}
	l.done = true
	defer s.trim()
	if l.apply != nil {
		return l.apply(values)
	}
	if l.env != nil {
		rows := values[len(values)-l.keys:]
		for i := range rows {
			l.env.rows[i].value = rows[i]
		}
		l.env.pending--
	}
	if l.cell != nil {
		s.install(l.cell, values[0])
		s.ring.toFront(l.cell)
		loaders := l.cell.loaders
		l.cell.loaders = nil
		for _, env := range loaders {
			env.pending--
			s.advance(env)
		}
	} else if l.env != nil {
		s.advance(l.env) // once only: an envelope that loads its cell is among the loaders
	}
	s.evict()
	return nil
}
