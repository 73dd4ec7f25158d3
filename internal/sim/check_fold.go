package sim

import (
	"bytes"
	"encoding/binary"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// folded is an agent as the accepted steps make it.
type folded struct {
	agent    message.Agent
	key      string
	version  uint64
	data     []byte
	steps    int
	ended    bool      // by its last step
	found    bool      // the unit has its row
	promised promised  // before
	prepare  *doneStep // the last thing that it did, if that may have been promised
}

// checkFold: an agent's state is the fold of its accepted steps. The steps of
// the unit are done again, in the plainest way, on what the row had before, and
// must come to what the unit writes.
func (s *Sim) checkFold(e *entry, before *rows) {
	var agents []*folded
	for _, st := range e.steps {
		if st.undone {
			continue
		}
		f := foldOf(agents, st.agent)
		if f == nil {
			f = s.beforeFold(st, before)
			agents = append(agents, f)
		}
		if f.promised.tx != "" {
			s.endPromise(e, f) // no prepared agent takes another message
		}
		if st.prepares != "" {
			f.prepare = st
			continue
		}
		s.foldStep(e, f, st)
	}
	for i := range e.writes {
		if w := &e.writes[i]; w.Table == message.TableState {
			s.checkState(e, w, &agents, before)
		}
	}
	for _, f := range agents {
		if !f.found && f.steps > 0 {
			s.failf("%s: %s took %d steps, and its state is not written", e, f.agent, f.steps)
		}
	}
}

func (s *Sim) foldStep(e *entry, f *folded, st *doneStep) {
	if st.fresh && f.steps > 0 && !f.ended {
		s.checkRemoved(st.agent)
		f.version, f.data = 0, nil
	}
	f.version++
	f.steps++
	f.prepare, f.ended = nil, st.ends
	if st.agent.Type == "tally" {
		var n uint64
		if len(f.data) >= 8 {
			n = binary.BigEndian.Uint64(f.data)
		}
		f.data = appendTally(nil, n+1)
		return
	}
	f.data = st.apply(f.data)
	s.noteDecision(e, st)
	if st.ends {
		f.version, f.data = 0, nil
	}
}

// apply does what a step did to its agent's numbers.
func (st *doneStep) apply(data []byte) []byte {
	for _, c := range st.changes {
		data = c.apply(data)
	}
	return data
}

func foldOf(agents []*folded, a message.Agent) *folded {
	for _, f := range agents {
		if f.agent == a {
			return f
		}
	}
	return nil
}

// beforeFold is an agent before its first step in a unit.
func (s *Sim) beforeFold(st *doneStep, before *rows) *folded {
	f := s.storedFold(st.agent, before)
	switch {
	case f.version == 0 && !st.fresh && st.prepares == "" && f.promised.tx == "":
		s.failf("a step of %s began with a state, and none is stored", st.agent)
	case st.fresh && len(f.data) > 0:
		s.checkRemoved(st.agent)
		f.version, f.data = 0, nil
	}
	return f
}

// storedFold is an agent as it is stored.
func (s *Sim) storedFold(a message.Agent, before *rows) *folded {
	f := &folded{agent: a, key: string(a.AppendKey(nil))}
	v := before.tables[message.TableState][f.key]
	if v == nil {
		return f
	}
	k := message.RowKey{Table: message.TableState, Key: []byte(f.key)}
	version, data, err := core.ReadStateData(k, v)
	if err != nil {
		s.failf("%v", err)
	}
	f.version, f.data, f.promised = version, bytes.Clone(data), s.promisedBy(k, v)
	return f
}

// checkRemoved: only clocks are ever removed.
func (s *Sim) checkRemoved(a message.Agent) {
	if a.Type != "clock" {
		s.failf("a step of %s began without the state that is stored", a)
	}
}

func (s *Sim) checkState(e *entry, w *message.Write, agents *[]*folded, before *rows) {
	a, _, err := message.ParseAgentKey(w.Key)
	if err != nil {
		s.failf("%v", err)
		return
	}
	f := foldOf(*agents, a)
	if f == nil {
		if f = s.storedFold(a, before); f.promised.tx != "" {
			*agents = append(*agents, f)
		} else if w.Op != message.Delete {
			s.failf("%s writes the state of %q, which took no step", e, w.Key)
			return
		}
	}
	if f.found {
		s.failf("%s writes the state of %s twice", e, a)
	}
	f.found = true
	var now promised
	if w.Op != message.Delete {
		now = s.promisedBy(w.RowKey, w.Value)
	}
	s.checkPromise(e, f, now)
	if w.Op == message.Delete {
		if f.version > 0 || len(f.data) > 0 {
			s.checkRemoved(a)
		}
		return
	}
	version, data, err := core.ReadStateData(w.RowKey, w.Value)
	if err != nil {
		s.failf("%v", err)
		return
	}
	if version != f.version || !bytes.Equal(data, f.data) || version == 0 && now.tx == "" {
		s.failf("%s writes version %d of %s (%x); its steps come to version %d (%x)", e, version, f.agent, data, f.version, f.data)
	}
}
