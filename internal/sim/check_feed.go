package sim

import (
	"slices"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// checkChanges holds a unit's row in the feed against its states (invariant 10
// of the core), and remembers what a reader is owed.
func (s *Sim) checkChanges(e *entry) {
	var changed, listed []string
	rows := 0
	for i := range e.writes {
		w := &e.writes[i]
		switch {
		case w.Table == message.TableState && e.feed:
			changed = append(changed, string(w.Key))
		case w.Table == message.TableChange && w.Op == message.Put:
			rows++
			c, err := core.ReadChanges(message.Row{Key: w.Key, Value: w.Value})
			if err != nil || c.Seq != e.version.Seq || c.Gen != e.gen {
				s.failf("%s in generation %d has a row for unit %d of %d: %v", e, e.gen, c.Seq, c.Gen, err)
			}
			for _, a := range c.Agents {
				listed = append(listed, string(a))
			}
		}
	}
	slices.Sort(changed)
	slices.Sort(listed)
	if !slices.Equal(changed, listed) || rows > min(1, len(changed)) {
		s.failf("%s changes %q, and its %d rows in the feed name %q", e, changed, rows, listed)
	}
	if len(listed) > 0 {
		s.reach(FedChanges)
		s.owed[e.shard][e.version.Seq] = listed
		if e.version.Seq%64 == 0 {
			s.checkFeed(e.shard)
		}
	}
}

// checkFeed reads the durable feed as one who follows it: above the floor there
// is every change, what is not there was dropped with its generation, and
// nothing else is there.
func (s *Sim) checkFeed(shard message.Shard) {
	durable, owed := s.store.durable[shard], s.owed[shard]
	found := durable.scan(message.TableChange, "")
	value := durable.get(core.FloorKey())
	if value == nil {
		if len(found) > 0 {
			s.failf("shard %d has %d changes and no floor", shard, len(found))
		}
		for seq := range owed {
			if seq <= durable.seq { // the program keeps no feed
				delete(owed, seq)
			}
		}
		return
	}
	floor, err := core.ReadFloor(value)
	if err != nil || floor > durable.seq {
		s.failf("shard %d: the feed's floor is %d at unit %d: %v", shard, floor, durable.seq, err)
	}
	oldest, err := core.OldestKept(durable.get(core.GenerationsKey()))
	if err != nil {
		s.failf("%v", err)
		return
	}
	there := make(map[message.Seq]bool)
	last := message.Seq(0)
	for _, row := range found {
		c, err := core.ReadChanges(row)
		if err != nil {
			s.failf("%v", err)
			continue
		}
		if c.Seq <= last || c.Gen < oldest || owed[c.Seq] == nil {
			s.failf("shard %d: the feed has unit %d of generation %d after %d; the oldest generation is %d, it named %q",
				shard, c.Seq, c.Gen, last, oldest, owed[c.Seq])
		}
		there[c.Seq], last = true, c.Seq
	}
	s.checkOwed(shard, floor, there)
}

func (s *Sim) checkOwed(shard message.Shard, floor message.Seq, there map[message.Seq]bool) {
	durable, owed := s.store.durable[shard], s.owed[shard]
	for seq := range owed {
		if seq > durable.seq || there[seq] {
			continue
		}
		if seq > floor {
			s.failf("shard %d: unit %d changed %q, and the feed has it not; its floor is %d", shard, seq, owed[seq], floor)
		}
		s.reach(Forgotten)
		delete(owed, seq)
	}
}
