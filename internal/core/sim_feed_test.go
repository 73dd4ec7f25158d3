package core

import (
	"slices"

	"github.com/semel-dev/semel/message"
)

// declareFeed lets a program keep a change feed or not: half of the seeds never
// do, a quarter always, and in the others each process has its own mind.
func (s *sim) declareFeed() {
	switch s.seed % 4 {
	case 1:
		s.cfg.Feed = true
	case 3:
		s.cfg.Feed = s.rng.IntN(3) != 0
	}
}

// checkChanges holds a unit's row in the feed against its states (invariant
// 10), and remembers what a reader is owed.
func (s *sim) checkChanges(sh *simShard, u *loggedUnit) {
	var changed, listed []string
	rows := 0
	for _, w := range u.writes {
		switch {
		case w.Table == message.TableState:
			changed = append(changed, string(w.Key))
		case w.Table == message.TableChange && w.Op == message.Put:
			rows++
			c, err := ReadChanges(message.Row{Key: w.Key, Value: w.Value})
			if err != nil || c.Seq != u.version.Seq || c.Gen != sh.m.retention.current() {
				s.fail("shard %d: unit %d in generation %d has a row for unit %d of %d: %v", sh.id, u.version.Seq, sh.m.retention.current(), c.Seq, c.Gen, err)
			}
			for _, a := range c.Agents {
				listed = append(listed, string(a))
			}
		}
	}
	if !s.cfg.Feed {
		changed = nil
	}
	slices.Sort(changed)
	slices.Sort(listed)
	if !slices.Equal(changed, listed) || rows > min(1, len(changed)) {
		s.fail("shard %d: unit %d changes %q, and its %d rows in the feed name %q", sh.id, u.version.Seq, changed, rows, listed)
	}
	if len(listed) > 0 {
		s.stats.changes++
		s.changes[sh.id][u.version.Seq] = listed
	}
}

// lostChanges forgets the units that a crash lost: nobody is owed those.
func (s *sim) lostChanges() {
	for i, changes := range s.changes {
		for seq := range changes {
			if seq > s.store.durable[i].seq {
				delete(changes, seq)
			}
		}
	}
}

// checkFeed reads the durable feed as one who follows it: above the floor there
// is every change, what is not there was dropped with its generation, and
// nothing else is there.
func (s *sim) checkFeed() {
	for _, sh := range s.shards {
		durable, owed := s.store.durable[sh.id], s.changes[sh.id]
		found := durable.scan(message.TableChange, "")
		value := durable.get(FloorKey())
		if value == nil {
			if len(found) > 0 {
				s.fail("shard %d has %d changes and no floor", sh.id, len(found))
			}
			clear(owed) // the program keeps no feed
			continue
		}
		floor, err := ReadFloor(value)
		if err != nil || floor > durable.seq {
			s.fail("shard %d: the feed's floor is %d at unit %d: %v", sh.id, floor, durable.seq, err)
		}
		var r retention
		k := message.RowKey{Table: message.TableMeta, Key: []byte(generationsKey)}
		if err := r.read(k, durable.get(k)); err != nil {
			s.fail("%v", err)
			return
		}
		there := make(map[message.Seq]bool)
		last := message.Seq(0)
		for _, row := range found {
			c, err := ReadChanges(row)
			if err != nil {
				s.fail("%v", err)
				continue
			}
			if c.Seq <= last || c.Gen < r.generations[0].number || owed[c.Seq] == nil {
				s.fail("shard %d: the feed has unit %d of generation %d after %d; the oldest generation is %d, it named %q",
					sh.id, c.Seq, c.Gen, last, r.generations[0].number, owed[c.Seq])
			}
			there[c.Seq], last = true, c.Seq
		}
		for seq := range owed {
			if seq > durable.seq || there[seq] {
				continue
			}
			if seq > floor {
				s.fail("shard %d: unit %d changed %q, and the feed has it not; its floor is %d", sh.id, seq, owed[seq], floor)
			}
			s.stats.forgotten++
			delete(owed, seq)
		}
	}
}
