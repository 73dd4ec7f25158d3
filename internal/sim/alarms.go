package sim

import (
	"maps"
	"slices"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// Alarms are how people learn of what only they can settle: one that is missing
// is as bad as one that is false.

// checkDoubts: whatever a unit brings into doubt was alarmed, once, by the
// session that made the unit.
func (s *Sim) checkDoubts(e *entry) {
	after := make(map[string][]byte)
	for i := range e.writes {
		if w := &e.writes[i]; w.Table == message.TableEffect {
			after[string(w.Key)] = w.Value // nil if it is deleted
		}
	}
	for _, key := range slices.Sorted(maps.Keys(after)) {
		k := message.RowKey{Table: message.TableEffect, Key: []byte(key)}
		id, doubt := s.inDoubt(k, after[key])
		if _, before := s.inDoubt(k, s.store.visible[e.shard].get(k)); doubt && !before && e.doubts[id] != 1 {
			s.failf("effect %s comes into doubt, and %d alarms say so", id, e.doubts[id])
		}
	}
}

// inDoubt says whether an effect's row, which may be nil, has it in doubt.
func (s *Sim) inDoubt(k message.RowKey, value []byte) (id message.ID, doubt bool) {
	if len(value) == 0 {
		return id, false
	}
	v, err := core.ReadEffect(k, value)
	if err != nil {
		s.failf("%v", err)
	}
	return v.ID, v.InDoubt
}

// lateResult brings a result to a later session of its process. If that one
// has told the agent that the outcome is unknown, a certain answer contradicts
// it, and is alarmed. What others settled, while they had the shard, it does not know.
func (x *session) lateResult(e *outside, res core.EffectResult) {
	s := x.s
	s.reach(Late)
	certain := res.Status == message.StatusDone || res.Status == message.StatusRejected
	owed := certain && e.unknownIn == x && x.heir && !x.m.Full() && !x.ended && !e.excused
	before := x.conflicts
	x.step(func(now message.Time) { x.m.LateResult(now, res) })
	if !owed {
		return
	}
	e.unknownIn = nil // one contradiction is enough
	if x.conflicts == before {
		s.failf("effect %s was told as unknown, a late answer says %s, and no alarm says so", e.id, res.Status)
	}
}
