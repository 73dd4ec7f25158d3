package sim

import (
	"bytes"
	"encoding/binary"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// folded is an agent as the accepted steps make it.
type folded struct {
	agent   message.Agent
	key     string
	version uint64
	data    []byte
	found   bool // the unit has its row
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
		} else if st.fresh {
			s.checkRemoved(st.agent)
			f.version, f.data = 0, nil
		}
		f.version++
		if st.agent.Type == "tally" {
			var n uint64
			if len(f.data) >= 8 {
				n = binary.BigEndian.Uint64(f.data)
			}
			f.data = appendTally(nil, n+1)
			continue
		}
		for _, c := range st.changes {
			f.data = c.apply(f.data)
		}
	}
	for i := range e.writes {
		if w := &e.writes[i]; w.Table == message.TableState {
			s.checkState(e, w, agents)
		}
	}
	for _, f := range agents {
		if !f.found {
			s.failf("%s: %s took %d steps, and its state is not written", e, f.agent, f.version)
		}
	}
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
	f := &folded{agent: st.agent, key: string(st.agent.AppendKey(nil))}
	v := before.tables[message.TableState][f.key]
	if v == nil {
		if !st.fresh {
			s.failf("a step of %s began with a state, and none is stored", st.agent)
		}
		return f
	}
	version, data, err := core.ReadStateData(message.RowKey{Table: message.TableState, Key: []byte(f.key)}, v)
	if err != nil {
		s.failf("%v", err)
	}
	if st.fresh && len(data) > 0 {
		s.checkRemoved(st.agent)
		return f
	}
	f.version, f.data = version, bytes.Clone(data)
	return f
}

// checkRemoved: only clocks are ever removed.
func (s *Sim) checkRemoved(a message.Agent) {
	if a.Type != "clock" {
		s.failf("a step of %s began without the state that is stored", a)
	}
}

func (s *Sim) checkState(e *entry, w *message.Write, agents []*folded) {
	var f *folded
	for _, g := range agents {
		if g.key == string(w.Key) {
			f = g
		}
	}
	if w.Op == message.Delete {
		a, _, err := message.ParseAgentKey(w.Key)
		if err != nil {
			s.failf("%v", err)
		}
		s.checkRemoved(a)
		if f != nil {
			f.found = true
		}
		return
	}
	if f == nil {
		s.failf("%s writes the state of %q, which took no step", e, w.Key)
		return
	}
	version, data, err := core.ReadStateData(w.RowKey, w.Value)
	if err != nil {
		s.failf("%v", err)
		return
	}
	if f.found || version != f.version || !bytes.Equal(data, f.data) {
		s.failf("%s writes version %d of %s (%x); its steps come to version %d (%x)", e, version, f.agent, data, f.version, f.data)
	}
	f.found = true
}
