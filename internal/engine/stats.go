package engine

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Stats is a snapshot of an engine: what was counted since the process began,
// and where it stands. Each shard's part is of one moment in its last turn;
// those of different shards are not of the same.
type Stats struct {
	core.Counters
	core.Gauges // added up; OldestDoubt is the oldest of all

	Shards, ShardsDown, ShardsPaused int

	CallsInFlight  int // accepted and not answered
	QueueLength    int // events that wait for their loops
	EffectsRunning int // called or probed, or about to be when that is durable
	OutboxLag      int // messages sent and not consumed
	OldestDoubtAge time.Duration

	UnitSizes   Histogram // bytes
	LargestUnit int       // bytes
	CommitTimes Histogram // seconds from the submission of a unit until it was known to be durable

	Alarms                 map[core.AlarmKind]uint64
	StoreBytes, StoreSpace int64 // used and left, in bytes; -1 if not known
}

// stats is what the engine counts itself.
type stats struct {
	mu          sync.Mutex
	alarms      map[core.AlarmKind]uint64
	overloaded  uint64 // calls refused before a shard saw them
	used, space int64
}

// shardStats is what a shard shows to others.
type shardStats struct {
	mu       sync.Mutex
	counters core.Counters
	gauges   core.Gauges

	units   histogram // written by the loop
	commits histogram // written by the acker
}

// publish shows what the machine says of itself. It runs on the loop, before
// what a turn decided is let go, so that whoever was answered finds himself
// counted. The machine counts in plain numbers, and a lock that others hold
// only to copy is the cheapest way to hand all of them over.
func (sh *shard) publish() {
	c, g := sh.machine.Counters(), sh.machine.Gauges()
	st := &sh.stats
	st.mu.Lock()
	st.counters, st.gauges = c, g
	st.mu.Unlock()
}

// Stats returns a snapshot. It may be called at any time and waits for nothing
// that could be slow: neither for a loop nor for the store. A shard that is down
// shows what it had last.
func (e *Engine) Stats() Stats {
	s := Stats{
		CallsInFlight:  int(max(e.inFlight.Load(), 0)),
		EffectsRunning: int(max(e.jobs.Load(), 0)),
		Alarms:         make(map[core.AlarmKind]uint64, len(core.AlarmKinds)),
		UnitSizes:      newHistogram(unitSizes), CommitTimes: newHistogram(commitTimes),
	}
	for _, kind := range core.AlarmKinds {
		s.Alarms[kind] = 0
	}
	e.stats.mu.Lock()
	maps.Copy(s.Alarms, e.stats.alarms)
	s.Overloaded = e.stats.overloaded
	s.StoreBytes, s.StoreSpace = e.stats.used, e.stats.space
	e.stats.mu.Unlock()
	select {
	case <-e.startEnded: // before, the shards are Start's alone
	default:
		return s
	}
	for _, sh := range e.shards {
		s.add(sh)
	}
	// The sums of messages sent and taken were read shard by shard, while both grew.
	s.OutboxLag = int(max(int64(s.Sent-s.Taken), 0))
	if s.OldestDoubt != 0 {
		s.OldestDoubtAge = max(time.Duration(e.clock.now()-s.OldestDoubt), 0)
	}
	return s
}

// add adds a shard's part.
func (s *Stats) add(sh *shard) {
	s.Shards++
	if sh.trouble() != nil {
		s.ShardsDown++
	}
	sh.queue.mu.Lock()
	s.QueueLength += len(sh.queue.events)
	sh.queue.mu.Unlock()

	st := &sh.stats
	st.mu.Lock()
	c, g := st.counters, st.gauges
	st.mu.Unlock()
	s.Counters.Add(c)
	s.Gauges.Add(g)
	if g.Paused {
		s.ShardsPaused++
	}
	st.units.addTo(&s.UnitSizes, 1)
	st.commits.addTo(&s.CommitTimes, 1e-9)
	s.LargestUnit = max(s.LargestUnit, int(st.units.max.Load()))
}

// countAlarm counts an alarm.
func (e *Engine) countAlarm(kind core.AlarmKind) {
	e.stats.mu.Lock()
	defer e.stats.mu.Unlock()
	e.stats.alarms[kind]++
}

// countOverloaded counts calls that were refused before a shard saw them.
func (e *Engine) countOverloaded(n int) {
	e.stats.mu.Lock()
	defer e.stats.mu.Unlock()
	e.stats.overloaded += uint64(n)
}

// deadPage is how many dead letters are read at once: each may have a body of
// the largest size.
const deadPage = 64

// countDead counts the shard's dead letters when it is opened, as its effects
// are read then; the machine keeps count from there. It is what makes the number
// exact, and it costs one read of each: they are the few that a person has yet
// to look at.
func (sh *shard) countDead(ctx context.Context) (n int, err error) {
	for from := []byte(nil); ; {
		page, err := sh.session().Scan(ctx, store.Range{Table: message.TableDead, From: from}, deadPage)
		if n += len(page); err != nil || len(page) < deadPage {
			return n, err
		}
		from = append(append(from[:0], page[len(page)-1].Key...), 0)
	}
}

// measureStore asks the store how large it is. Whoever wants to know it later
// does not wait for the device.
func (e *Engine) measureStore() {
	sizer, ok := e.store.(store.Sizer)
	if !ok {
		return
	}
	used, err := sizer.Size()
	if err != nil {
		e.cfg.Logger.Warn("the size of the store is not known", "error", err)
		used = -1
	}
	e.stats.mu.Lock()
	defer e.stats.mu.Unlock()
	e.stats.used = used
}

// noteSpace keeps how much room is left; -1 if that is not known.
func (e *Engine) noteSpace(free int64) {
	e.stats.mu.Lock()
	defer e.stats.mu.Unlock()
	e.stats.space = free
}
