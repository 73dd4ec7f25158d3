package semeltest

import (
	"encoding/binary"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// trace is what the units that a program commits tell of it: which tenants
// there are, which effects were asked for, and which agents hear of which
// others. It may tell of more than happened, for a unit has the steps of
// several agents, and may be lost.
type trace struct {
	tenants map[string]bool
	effects map[string]bool                              // names of those asked for
	asked   map[string]bool                              // their IDs
	heard   map[semel.AgentName]map[semel.AgentName]bool // by who sends: to whom
	always  map[semel.AgentName]bool                     // who may have heard of anybody: nobody knows who sent it
}

func newTrace() *trace {
	return &trace{
		tenants: map[string]bool{message.DefaultTenant: true}, effects: make(map[string]bool), asked: make(map[string]bool),
		heard: make(map[semel.AgentName]map[semel.AgentName]bool), always: make(map[semel.AgentName]bool),
	}
}

// read takes note of a unit. anybody says that its steps may be the
// consequence of everything before, as those of a Do are: what it asks for may
// depend on what it has read.
func (t *trace) read(u *message.Unit, anybody bool) error {
	var steps, to []semel.AgentName
	unnamed := false // it may have a step that left no row with its agent's name
	for i := range u.Writes {
		w := &u.Writes[i]
		switch w.Table {
		case message.TableCursor:
			unnamed = true
		case message.TableState, message.TableOpen, message.TableDedup, message.TableMailbox, message.TableControl, message.TableTimer:
			if w.Key[0] == 0xff { // no name begins with it: a message that is delayed, or a doubt that is settled
				unnamed = true
				continue
			}
			a, _, err := message.ParseAgentKey(w.Key)
			if err != nil {
				return err
			}
			t.tenants[a.Tenant] = true
			steps = append(steps, a)
		case message.TableEffect:
			if w.Op != message.Put {
				continue
			}
			e, err := core.ReadEffect(w.RowKey, w.Value)
			if err != nil {
				return err
			}
			t.effects[e.Name], t.asked[e.ID.String()] = true, true
			steps = append(steps, e.Agent)
		case message.TableOutbox:
			if w.Op != message.Put {
				continue
			}
			dst, position := binary.BigEndian.Uint16(w.Key), binary.BigEndian.Uint64(w.Key[2:])
			m, err := core.ReadOutbox(message.Shard(dst), message.Delivery{Position: position, Data: w.Value})
			if err != nil {
				return err
			}
			to = append(to, m.To)
		}
	}
	for _, a := range to {
		if unnamed || len(steps) == 0 {
			t.always[a] = true
		}
		for _, from := range steps {
			if t.heard[from] == nil {
				t.heard[from] = make(map[semel.AgentName]bool)
			}
			t.heard[from][a] = true
		}
	}
	if anybody {
		for _, a := range steps {
			t.always[a] = true
		}
	}
	return nil
}

// follow is who may have heard, directly or not, of any of some agents, in
// either of two runs. The agents themselves are among them.
func follow(first []semel.AgentName, a, b *trace) map[semel.AgentName]bool {
	all := make(map[semel.AgentName]bool)
	var add func(semel.AgentName)
	add = func(one semel.AgentName) {
		if all[one] {
			return
		}
		all[one] = true
		for _, t := range []*trace{a, b} {
			for next := range t.heard[one] {
				add(next)
			}
		}
	}
	for _, one := range first {
		add(one)
	}
	if len(first) > 0 {
		for _, t := range []*trace{a, b} {
			for one := range t.always {
				add(one)
			}
		}
	}
	return all
}
