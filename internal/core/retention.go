package core

import (
	"fmt"
	"math"
	"time"

	"github.com/semel-dev/semel/message"
)

// Keys of TableMeta besides the outbox ends ("o" + shard) and trials.
const (
	clockKey       = "clock"
	generationsKey = "generations"
)

// clockStep is how far the clock may run ahead of its durable row. A session
// begins at least that far behind the row, so that time never runs backwards.
const clockStep = message.Time(50e6)

// clockRow is the time as the store has it. A clock that leapt across a
// restart is seen, but not trusted until a person says that it is right.
type clockRow struct{ trusted, seen message.Time }

// begin is where a session may begin: no time that was trusted came after it.
func (c clockRow) begin() message.Time {
	if c.trusted == 0 {
		return 0
	}
	return c.trusted + clockStep
}

func readClock(k message.RowKey, value []byte) (c clockRow, err error) {
	err = decode(k, value, func(f field) error {
		switch f.num {
		case 1:
			c.trusted = message.Time(f.val)
		case 2:
			c.seen = message.Time(f.val)
		}
		return nil
	})
	return c, err
}

func appendClock(b, key []byte, c clockRow) []byte {
	start := len(b)
	return seal(putUint(putUint(begin(b), 1, uint64(c.trusted)), 2, uint64(c.seen)), start, key)
}

// generation is a time bucket of the dedup log: outcomes settled from start
// until the next generation's start.
type generation struct {
	number message.Generation
	start  message.Time
	after  message.Seq // no later unit before it is in the change feed; zero without one
}

// retention decides when generations begin and end.
type retention struct {
	generations []generation // oldest first, the last is current
	window      message.Time // how long an outcome is kept
	turn        message.Time // how long a generation lasts
	paused      bool         // the clock leapt: nothing is forgotten until a person says so
	disputed    message.Time // a session with a clock that nobody trusts came up to it; zero if none did

	clock clockRow      // as the store has it
	drops []pendingDrop // horizons on their way to being durable
}

type pendingDrop struct {
	seq   message.Seq
	below message.Generation
}

func (r *retention) current() message.Generation { return r.generations[len(r.generations)-1].number }

// since returns the generations that may hold what was settled at or after a
// time, newest first: what is asked for is most often recent.
func (r *retention) since(at message.Time) []message.Generation {
	if at < r.disputed {
		at = math.MinInt64 // generations do not tell the order of what such a session recorded
	}
	var out []message.Generation
	for i := len(r.generations) - 1; i >= 0; i-- {
		out = append(out, r.generations[i].number)
		if r.generations[i].start < at {
			break // one that begins at the very time leaves room for the one before it
		}
	}
	return out
}

// horizon is the time up to which a key's outcome may have been forgotten: a
// key may have been seen up to lead before its own time, and what was recorded
// at the very time at which the oldest generation begins may be in the one
// before it.
func (r *retention) horizon(lead message.Time) message.Time {
	oldest := r.generations[0]
	if oldest.number == 1 {
		return math.MinInt64 // nothing was ever dropped
	}
	return oldest.start + lead
}

func (r *retention) nextTurn() message.Time {
	return r.generations[len(r.generations)-1].start + r.turn
}

func (r *retention) read(k message.RowKey, value []byte) error {
	err := decode(k, value, func(f field) error {
		if f.num != 1 {
			return nil
		}
		var g generation
		err := readFields(f.bytes, func(f field) error {
			switch f.num {
			case 1:
				g.number = message.Generation(f.val)
			case 2:
				g.start = message.Time(f.val)
			case 3:
				g.after = message.Seq(f.val)
			}
			return nil
		})
		if n := len(r.generations); err == nil && n > 0 && (g.number <= r.generations[n-1].number || g.start < r.generations[n-1].start) {
			err = fmt.Errorf("generation %d is out of order", g.number)
		}
		r.generations = append(r.generations, g)
		return err
	})
	if err == nil && len(r.generations) == 0 {
		err = &CorruptError{rowName(k), "no generation"}
	}
	return err
}

// recoverClock compares the clock with where the last session left it, and
// makes sure that there is a generation.
func (s *Shard) recoverClock(was clockRow) {
	r := &s.retention
	r.window = message.Time(s.cfg.Retention)
	r.turn = max(r.window/generationsPerWindow, 1)
	r.clock = was
	if seen := was.seen + clockStep; seen > s.now && seen > was.begin() {
		r.disputed = seen
		if was.seen > s.now { // within a step it may have been as right as this one
			r.paused = true
			s.work.Alarms = append(s.work.Alarms, Alarm{Kind: AlarmClockJump, Detail: fmt.Sprintf(
				"the clock is %v behind what the last session took for the time and was not sure of; nothing is forgotten until retention is resumed", time.Duration(was.seen-s.now))})
		}
	}
	if jump := s.now - was.trusted; was.trusted != 0 && jump > message.Time(s.cfg.MaxJump) {
		r.paused = true
		s.work.Alarms = append(s.work.Alarms, Alarm{Kind: AlarmClockJump, Detail: fmt.Sprintf(
			"the clock is %d s ahead of where the last session ended: a long downtime, or a wrong clock; nothing is forgotten until retention is resumed", int64(jump)/1e9)})
	}
	if s.cfg.Guest {
		// It forgets nothing, and its word for the time would hide a leap from
		// the store's own program (FAULTS 30).
		r.paused = true
	}
	s.now = max(s.now, was.begin())
	if len(r.generations) == 0 {
		r.generations = []generation{{number: 1, start: s.now, after: s.feed.last}}
		s.writeGenerations()
	} else if first := r.generations[0].number; first > 1 {
		s.retire().Below = first // a crash may have kept the last session from it
	}
}

// ResumeRetention says that the clock is right. It returns the unit that
// records it: after that the next session does not ask again, unless its own
// clock leapt, or is behind one that was wrong.
func (s *Shard) ResumeRetention(now message.Time) message.Seq {
	s.advanceClock(now)
	if s.retention.paused {
		s.retention.paused = false
		s.writeGenerations() // for a unit, with which Seal writes the clock
		s.turnGeneration()
	}
	return s.latest()
}

// RetentionPaused says whether a leap of the clock stopped retention.
func (s *Shard) RetentionPaused() bool { return s.retention.paused }

// turnGeneration begins a new generation when it is time, and advances the
// horizon over those that ended a whole window ago. Their rows are dropped
// when the horizon is durable (invariant 8); lookups pass them by at once.
func (s *Shard) turnGeneration() {
	r := &s.retention
	if s.now < r.nextTurn() || s.cfg.Guest {
		return
	}
	r.generations = append(r.generations, generation{r.current() + 1, s.now, s.feed.last})
	if !r.paused {
		n := 0
		for n+1 < len(r.generations) && r.generations[n+1].start+r.window <= s.now {
			n++
		}
		if n > 0 {
			s.forgetChanges(r.generations[:n], r.generations[n])
			r.generations = append([]generation(nil), r.generations[n:]...)
			r.drops = append(r.drops, pendingDrop{s.openSeq(), r.generations[0].number})
		}
	}
	s.writeGenerations()
}

func (s *Shard) writeGenerations() {
	key := s.key([]byte(generationsKey))
	a := s.open.arena
	start := len(a)
	s.write(message.TableMeta, 0, message.Put, key, s.value(appendGenerations(a, key, s.retention.generations), start))
}

func appendGenerations(b, key []byte, generations []generation) []byte {
	start := len(b)
	b = begin(b)
	for _, g := range generations {
		b = putNested(b, 1, func(b []byte) []byte {
			b = putUint(putUint(b, 1, uint64(g.number)), 2, uint64(g.start))
			return putUint(b, 3, uint64(g.after))
		})
	}
	return seal(b, start, key)
}

// writeClock records the time with a unit, now and then. A clock that is in
// question is not trusted, so that the next start questions it again.
func (s *Shard) writeClock() {
	r := &s.retention
	if s.now < r.clock.seen+clockStep && (r.paused || s.now < r.clock.trusted+clockStep) {
		return
	}
	r.clock.seen = max(r.clock.seen, s.now)
	if !r.paused {
		r.clock.trusted = s.now
	}
	key := s.key([]byte(clockKey))
	a := s.open.arena
	start := len(a)
	s.writeCounted(message.TableMeta, 0, message.Put, key, s.value(appendClock(a, key, r.clock), start))
}

// afterDurable lets go what waited for a unit to be durable.
func (s *Shard) afterDurable() {
	r := &s.retention
	for len(r.drops) > 0 && r.drops[0].seq <= s.durable {
		s.retire().Below = r.drops[0].below
		r.drops = r.drops[1:]
	}
	s.retireConsumed()
	s.trialDurable()
}

func (s *Shard) retire() *Retire {
	if s.work.Retire == nil {
		s.work.Retire = new(Retire)
	}
	return s.work.Retire
}
