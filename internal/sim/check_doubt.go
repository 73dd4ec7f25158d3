package sim

import (
	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// checkOrigins: whoever waits for an effect in doubt is told so, and of which,
// and whoever is told so waits for one. A machine may have to read a row before
// it can write that, so it is asked when it reads nothing.
func (x *session) checkOrigins(r *rows, doubts map[message.ID]bool) {
	s := x.s
	if x.reading > 0 {
		return
	}
	told := make(map[message.ID]bool)
	for k, v := range r.tables[message.TableOpen] {
		out, err := core.ReadOutcome(message.RowKey{Table: message.TableOpen, Key: []byte(k)}, v)
		if err != nil {
			s.failf("%v", err)
			return
		}
		if out.Status == message.StatusInDoubt {
			told[out.Doubt] = true
		}
	}
	for id, waited := range doubts {
		e := s.world.effects[id]
		if e != nil && e.ask.n != 1 && waited && !told[id] {
			s.failf("effect %s of op%d is in doubt, and who waits for it is not told", id, e.ask.op)
		}
		delete(told, id)
	}
	for id := range told {
		if e := s.world.effects[id]; e != nil && e.withdrawn != nil {
			continue // its agent is yet to hear, and puts that right
		}
		s.failf("a caller is told that effect %s is in doubt, and it is not", id)
	}
}
