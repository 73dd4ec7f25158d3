package core

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/semel-dev/semel/message"
)

// sim drives a whole store of shards from one seed on one goroutine: reads
// that are late and out of order, commits that become durable late, crashes
// that lose what is not, a clock that leaps, an outside world, clients and
// operators. It checks as it goes, and stops at the first violation.
type sim struct {
	seed  uint64
	rng   *rand.Rand
	now   message.Time // what everything is scheduled by
	queue simQueue
	count uint64

	store     *modelStore
	shards    []*simShard
	cfg       Config
	behaviors Behavior
	world     *world
	clients   *clients

	life      int // raised whenever the shards are opened
	process   int // raised by every crash and stop: the calls of a process outlive its sessions
	up        bool
	unclean   bool            // the process began after a crash, and its trials go on
	since     []message.Epoch // the first sessions of the process
	fickle    bool            // the program changes its policies when it starts
	declared  map[string][]Policy
	offset    message.Time // of the machine's clock
	killed    bool         // a message killed the process
	calm      bool         // no more faults
	granted   *simShard    // whose suspect is on trial
	trials    []*simShard
	failures  map[string]int
	overtaken map[string]bool // agents of which a message died

	hash      hash.Hash64
	tracing   []string
	keep      bool
	changes   []map[message.Seq][]string // by shard and unit: the agents that changed; see checkFeed
	failure   string
	stats     simStats
	crashes   int          // permille per event / 10
	latest    message.Time // that the machine's clock has shown
	backwards bool         // a leap that nobody trusted was taken back
}

type simStats struct {
	events, units, crashes, kills, steps, calls, dead, doubts, answers, rushes int

	reopened, late, conflicts, probing, passed int
	changes, forgotten                         int // rows of the feed, and those that went with their generation
}

type simShard struct {
	id      message.Shard
	m       *Shard
	answers []AnswerTo
	calls   []EffectJob
	tickAt  message.Time
	sealing bool
	acked   message.Seq
	outEnd  map[uint16]uint64
}

type simEvent struct {
	at   message.Time
	n    uint64
	life int // zero: not the process's
	fn   func()
}

type simQueue []simEvent

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].n < q[j].n
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simEvent)) }
func (q *simQueue) Pop() any {
	e := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return e
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

const simStart = message.Time(1_700_000_000e9)

func newSim(seed uint64, ops int) *sim {
	s := &sim{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), now: simStart, hash: fnv.New64a(),
		failures: make(map[string]int), overtaken: make(map[string]bool), declared: make(map[string][]Policy),
	}
	r := s.rng
	shards := pick(r, 1, 2, 3, 3)
	s.crashes = pick(r, 0, 1, 1, 3, 6)
	s.cfg = Config{
		Shards: shards, MaxUnitBytes: pick(r, 64<<10, 1<<20), Lease: pick(r, 0, time.Millisecond, 500*time.Millisecond),
		Retention: pick(r, 4*time.Second, 20*time.Second), Skew: 2 * time.Second, MaxJump: 6 * time.Second,
		CacheBytes: pick(r, 1, 3000, 1<<20), WindowKeys: pick(r, 4, 40, 1<<16), MaxState: 1 << 13,
		BackoffBase: 10 * time.Millisecond, BackoffMax: 100 * time.Millisecond, MaxAttempts: 4,
		Running: pick(r, 1, 3, 50), InboxBatch: pick(r, 1, 3, 50), Suspects: pick(r, 1, 3, 20),
	}
	s.behaviors = s.behavior()
	s.fickle = r.IntN(2) == 0
	s.store = newModelStore(shards)
	s.changes = make([]map[message.Seq][]string, shards)
	for i := range shards {
		s.changes[i] = make(map[message.Seq][]string)
		s.shards = append(s.shards, &simShard{id: message.Shard(i)})
	}
	s.world = newWorld(s)
	s.clients = newClients(s, ops)
	return s
}

func (s *sim) fail(form string, args ...any) {
	if s.failure == "" {
		s.failure = truncate(fmt.Sprintf(form, args...)) // it may show large bodies
		s.trace("FAIL", s.failure)
	}
}

func (s *sim) trace(args ...any) {
	line := fmt.Sprintln(args...)
	_, _ = s.hash.Write([]byte(line))
	if s.keep {
		s.tracing = append(s.tracing, fmt.Sprintf("%9.3fms %s", float64(s.now-simStart)/1e6, line))
	}
}

func (s *sim) between(lo, hi time.Duration) message.Time {
	return message.Time(lo) + message.Time(s.rng.Int64N(int64(hi-lo)+1))
}

func (s *sim) after(d message.Time, process bool, fn func()) {
	s.count++
	e := simEvent{at: s.now + d, n: s.count, fn: fn}
	if process {
		e.life = s.life
	}
	heap.Push(&s.queue, e)
}

// clock is the machine's time.
func (s *sim) clock() message.Time { return s.now + s.offset }

func (s *sim) start(unclean bool) {
	s.life++
	s.up = true
	s.granted, s.trials = nil, nil
	for _, sh := range s.shards {
		rec := s.store.recovered(sh.id)
		at, err := ClockOf(rec.Meta)
		if err != nil {
			s.fail("%v", err)
		}
		if at > s.clock() { // the system's clock went back
			s.offset = at - s.now
		}
	}
	s.unclean = unclean
	again := s.since != nil // the process lives, and so may its calls
	if !again {
		s.since = make([]message.Epoch, len(s.shards))
		s.declare()
		s.declareFeed()
	}
	for _, sh := range s.shards {
		for _, state := range []*rows{s.store.visible[sh.id], s.store.durable[sh.id]} {
			state.epoch++
		}
		rec := s.store.recovered(sh.id)
		rec.Unclean, rec.Since = unclean, s.since[sh.id]
		cfg := s.cfg
		cfg.Shard = sh.id
		if !again {
			s.since[sh.id] = rec.Version.Epoch
		}
		m, err := New(cfg, s.behaviors, s.clock(), rec)
		if err != nil {
			s.fail("shard %d does not start: %v", sh.id, err)
			return
		}
		*sh = simShard{id: sh.id, m: m, acked: rec.Version.Seq, outEnd: make(map[uint16]uint64)}
		for _, k := range s.store.visible[sh.id].keys(message.TableMeta, "o") {
			n, _ := readNumber(message.RowKey{Table: message.TableMeta, Key: []byte(k)}, s.store.visible[sh.id].tables[message.TableMeta][k])
			sh.outEnd[binary.BigEndian.Uint16([]byte(k)[1:])] = n
		}
	}
	s.backwards = s.backwards || s.clock() < s.latest
	s.trace("start", s.life, unclean, s.clock())
	for _, sh := range s.shards {
		s.step(sh, func(message.Time) {})
	}
}

// declare lets a new program declare other policies for the effects that can
// bear them: a provider that deduplicates may be called under any.
func (s *sim) declare() {
	for _, name := range simPolicies {
		p := s.behaviors.Effects[name]
		if s.fickle && !s.calm && s.rng.IntN(3) == 0 {
			switch name {
			case "keyed":
				p.Policy = pick(s.rng, Keyed, Keyed, Ask, Probe, AtMostOnce)
			case "ro":
				p.Policy = pick(s.rng, ReadOnly, ReadOnly, Ask, Probe)
			default:
				p.Policy = pick(s.rng, Ask, Probe, AtMostOnce)
			}
			s.trace("declare", name, p.Policy)
		}
		if !slices.Contains(s.declared[name], p.Policy) {
			s.declared[name] = append(s.declared[name], p.Policy)
		}
	}
}

// reopen loses the sessions, as when a commit fails, but not the process: the
// calls that it began go on.
func (s *sim) reopen() {
	s.stats.reopened++
	s.store.sync(s.rng.IntN(len(s.store.log) + 1))
	s.store.crash()
	s.lostChanges()
	unclean := false
	for _, sh := range s.shards {
		unclean = unclean || s.unclean && sh.m.Suspects()
	}
	s.trace("reopen", unclean)
	s.down()
	s.after(s.between(0, 20*time.Millisecond), false, func() { s.start(unclean) })
}

// ended says that the process is no more.
func (s *sim) ended() {
	s.process++
	s.since = nil
}

// crash loses the process, and a part of what was not durable.
func (s *sim) crash() {
	s.stats.crashes++
	s.store.sync(s.rng.IntN(len(s.store.log) + 1))
	s.store.crash()
	s.lostChanges()
	s.trace("crash")
	s.down()
	s.ended()
	if !s.calm && s.rng.IntN(4) == 0 {
		leap := pick(s.rng, -message.Time(2e9), -message.Time(1e8), message.Time(5e8), message.Time(3e9), message.Time(8e9))
		s.offset += leap
		s.trace("leap", leap)
	}
	s.after(s.between(0, 50*time.Millisecond), false, func() {
		s.start(true)
		if !s.calm && s.rng.IntN(8) == 0 && s.up {
			s.crash()
		}
	})
}

func (s *sim) down() {
	s.up, s.killed = false, false
	s.life++
	s.clients.crashed()
}

// stop ends the process in order.
func (s *sim) stop() {
	for _, sh := range s.shards {
		for range 100 {
			s.work(sh)
			if !sh.m.HasUnit() || !s.seal(sh) {
				break
			}
		}
		if !s.up {
			return
		}
	}
	s.store.sync(len(s.store.log))
	s.trace("stop")
	s.ended()
	s.down()
	s.after(s.between(0, 50*time.Millisecond), false, func() { s.start(false) })
}

// step lets one event into a machine and does what follows.
func (s *sim) step(sh *simShard, event func(now message.Time)) {
	if !s.up || s.failure != "" {
		return
	}
	s.stats.steps++
	s.latest = max(s.latest, s.clock())
	life := s.life
	event(s.clock())
	if s.life == life {
		s.follow(sh)
	}
}

func (s *sim) follow(sh *simShard) {
	for range pick(s.rng, 1, 1, 3) { // what waits for a unit may fill the next one, and the engine goes on with both
		if s.killed {
			s.stats.kills++
			s.crash()
			return
		}
		s.work(sh)
		if !sh.m.HasUnit() {
			break
		}
		if !sh.m.Full() && s.rng.IntN(3) != 0 {
			if !sh.sealing {
				sh.sealing = true
				s.after(s.between(0, 4*time.Millisecond), true, func() {
					sh.sealing = false
					s.step(sh, func(message.Time) { s.seal(sh) })
				})
			}
			break
		}
		if !s.seal(sh) {
			return
		}
	}
	if s.killed {
		s.stats.kills++
		s.crash()
		return
	}
	s.work(sh)
	s.release(sh)
	s.scheduleTick(sh)
	s.grantTrial()
	if sh.m.Full() && s.rng.IntN(4) == 0 {
		s.stats.rushes++
		s.after(0, true, func() { s.clients.rush(sh) })
	}
	if !s.calm && s.rng.IntN(10000) < s.crashes*10 {
		if s.rng.IntN(3) == 0 {
			s.reopen()
		} else {
			s.crash()
		}
	}
}

// seal commits the open unit. It reports whether the process lives on.
func (s *sim) seal(sh *simShard) bool {
	if !sh.m.HasUnit() {
		return true
	}
	u, err := sealAndCheck(sh.m)
	if err != nil {
		s.fail("%v", err)
	}
	if s.killed || !s.calm && s.rng.IntN(20000) < s.crashes*10 {
		s.crash()
		return false
	}
	l := copyUnit(sh.id, u)
	s.checkUnit(sh, l)
	s.checkChanges(sh, l)
	defer checkGauges(s.fail, sh.m, s.store.visible[sh.id])
	if err := s.store.commit(l); err != nil {
		s.fail("shard %d: %v", sh.id, err)
	}
	s.stats.units++
	wakes := slices.Clone(sh.m.TakeWakes())
	for _, dst := range wakes {
		if !s.calm && s.rng.IntN(50) == 0 {
			continue // a hint may be lost; the periodic one finds it
		}
		to := s.shards[dst]
		s.after(s.between(0, 2*time.Millisecond), true, func() {
			s.step(to, func(message.Time) { to.m.Hint(sh.id) })
		})
	}
	s.after(s.between(0, 6*time.Millisecond), true, s.sync)
	return true
}

// sync makes units durable and acknowledges them, later.
func (s *sim) sync() {
	n := len(s.store.log)
	if n > 0 && !s.calm {
		n = s.rng.IntN(n + 1)
	}
	if n == 0 {
		if len(s.store.log) > 0 {
			s.after(s.between(0, 3*time.Millisecond), true, s.sync)
		}
		return
	}
	s.store.sync(n)
	if s.stats.units%16 == 0 {
		s.checkFeed()
	}
	if len(s.store.log) > 0 {
		s.after(s.between(0, 3*time.Millisecond), true, s.sync)
	}
	for _, sh := range s.shards {
		seq := s.store.durable[sh.id].seq
		if seq <= sh.acked {
			continue
		}
		s.after(s.between(0, 3*time.Millisecond), true, func() {
			if seq <= sh.acked {
				return
			}
			sh.acked = seq
			s.step(sh, func(message.Time) { sh.m.Committed(seq) })
		})
	}
}

// work does what a machine asks for.
func (s *sim) work(sh *simShard) {
	w := sh.m.Take()
	sh.answers = append(sh.answers, w.Answers...)
	sh.calls = append(sh.calls, w.Calls...)
	for _, l := range w.Loads {
		s.load(sh, l)
	}
	for _, c := range w.Pulls {
		s.after(s.between(0, 3*time.Millisecond), true, func() {
			batch := s.store.inbox(sh.id, c, s.cfg.InboxBatch)
			s.after(s.between(0, 3*time.Millisecond), true, func() {
				s.step(sh, func(now message.Time) {
					if err := sh.m.Delivered(now, c.Source, batch); err != nil {
						s.fail("%v", err)
					}
				})
			})
		})
	}
	if w.Retire != nil {
		r := *w.Retire
		r.Consumed = slices.Clone(r.Consumed)
		s.after(s.between(0, 20*time.Millisecond), true, func() { s.store.retire(sh.id, r) })
	}
	for _, a := range w.Alarms {
		s.trace("alarm", sh.id, a.Kind, a.Agent, a.Detail)
		switch a.Kind {
		case AlarmDead:
			s.stats.dead++
			s.overtaken[a.Agent.ID] = true
		case AlarmDoubt:
			s.stats.doubts++
		case AlarmConflict: // nobody lies here, so only what nobody knew can be contradicted
			s.stats.conflicts++
			declined := strings.Contains(a.Detail, "settled as not_done") && strings.Contains(a.Detail, "says rejected") // since then
			if !strings.Contains(a.Detail, "settled as unknown") && !declined {
				s.fail("effect %s: %s", a.ID, a.Detail)
			}
		case AlarmCorrupt:
			s.fail("corrupt: %s %s", a.Agent, a.Detail)
		case AlarmClockJump:
			s.after(s.between(0, 5*time.Second), true, func() {
				if s.clock() >= s.latest { // a person knows
					s.step(sh, func(now message.Time) { sh.m.ResumeRetention(now) })
				}
			})
		}
	}
	if w.Trial {
		if s.granted == sh {
			s.granted = nil
		}
		s.trials = append(s.trials, sh)
	}
}

// load performs a read at one moment and delivers it at a later one.
func (s *sim) load(sh *simShard, l *Load) {
	perform := func() {
		if l.Due != nil {
			found, following := s.store.due(sh.id, l)
			s.after(s.between(0, 3*time.Millisecond), true, func() {
				s.step(sh, func(now message.Time) {
					if err := sh.m.DueLoaded(now, l, found, following); err != nil {
						s.fail("%v", err)
					}
				})
			})
			return
		}
		values := make([][]byte, len(l.Keys))
		for i, k := range l.Keys {
			values[i] = s.store.visible[sh.id].get(k)
		}
		s.after(s.between(0, 3*time.Millisecond), true, func() {
			s.step(sh, func(now message.Time) {
				if err := sh.m.Loaded(now, l, values); err != nil {
					s.fail("%v", err)
				}
			})
		})
	}
	if s.rng.IntN(2) == 0 {
		perform()
	} else {
		s.after(s.between(0, 5*time.Millisecond), true, perform)
	}
}

// release lets answers and calls go that wait for nothing any more.
func (s *sim) release(sh *simShard) {
	answers, calls := sh.answers, sh.calls
	sh.answers, sh.calls = nil, nil
	for _, a := range answers {
		if a.After > sh.m.Sealed()+1 {
			s.fail("an answer waits for unit %d; the open one is %d", a.After, sh.m.Sealed()+1)
		}
		if a.After > sh.acked {
			sh.answers = append(sh.answers, a)
			continue
		}
		s.stats.answers++
		s.clients.answered(sh, a)
	}
	for _, c := range calls {
		if c.After > sh.acked {
			sh.calls = append(sh.calls, c)
			continue
		}
		s.world.begin(sh.id, c)
	}
}

func (s *sim) scheduleTick(sh *simShard) {
	next := sh.m.NextTick()
	if next == 0 {
		return
	}
	at := max(next-s.offset, s.now)
	if sh.tickAt != 0 && sh.tickAt <= at {
		return
	}
	sh.tickAt = at
	s.after(at-s.now+s.between(0, 300*time.Microsecond), true, func() {
		if sh.tickAt != at {
			return
		}
		sh.tickAt = 0
		s.step(sh, sh.m.Tick)
	})
}

func (s *sim) grantTrial() {
	if s.granted != nil && !s.granted.m.OnTrial() {
		s.granted = nil
	}
	if s.granted != nil || len(s.trials) == 0 {
		return
	}
	sh := s.trials[0]
	s.trials = s.trials[1:]
	s.granted = sh
	s.after(s.between(0, time.Millisecond), true, func() { s.step(sh, sh.m.TrialGranted) })
}

// checkUnit judges a unit before it is applied.
func (s *sim) checkUnit(sh *simShard, u *loggedUnit) {
	before := s.store.visible[sh.id]
	for _, w := range u.writes {
		s.trace("write", sh.id, u.version.Seq, w.Table, w.Gen, w.Op, fmt.Sprintf("%q %x", w.Key, w.Value))
		switch {
		case w.Table == message.TableOutbox && w.Op == message.Put:
			dst := binary.BigEndian.Uint16(w.Key)
			if p := binary.BigEndian.Uint64(w.Key[2:]); p != sh.outEnd[dst]+1 {
				s.fail("shard %d writes position %d of its outbox to %d after %d", sh.id, p, dst, sh.outEnd[dst])
			}
			sh.outEnd[dst]++
		case w.Table == message.TableCursor && w.Op == message.Put:
			n, err := readNumber(w.RowKey, w.Value)
			was, err2 := uint64(0), error(nil)
			if v := before.get(w.RowKey); v != nil {
				was, err2 = readNumber(w.RowKey, v)
			}
			if err := errors.Join(err, err2); err != nil || n <= was {
				s.fail("cursor %q moves from %d to %d: %v", w.Key, was, n, err)
			}
		case w.Table == message.TableDedup && w.Key[0] != 0xff:
			oldest := sh.m.retention.generations[0].number
			for k, v := range before.tables[message.TableDedup] {
				g := message.Generation(binary.BigEndian.Uint32([]byte(k)))
				if k[4:] == string(w.Key) && g >= oldest {
					o, _ := ReadOutcome(message.RowKey{Table: message.TableDedup, Gen: g, Key: w.Key}, v)
					s.fail("the outcome of %q is recorded twice: %+v in generation %d, now in %d", w.Key, o, g, w.Gen)
				}
			}
		}
	}
}

func (s *sim) sortedEffects() []message.ID {
	var ids []message.ID
	for id := range s.world.effects {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b message.ID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// run runs until everything has come to its end, and then looks back.
func (s *sim) run(maxEvents int) {
	s.start(true)
	s.clients.begin()
	healAt := s.now + message.Time(s.clients.duration)
	s.after(message.Time(s.clients.duration), false, func() {
		s.calm = true
		s.trace("calm")
	})
	if s.rng.IntN(3) == 0 {
		s.after(s.between(0, s.clients.duration), false, func() {
			if s.up {
				s.stop()
			}
		})
	}
	s.after(message.Time(50*time.Millisecond), false, s.hintAll)
	for s.failure == "" && len(s.queue) > 0 {
		e := heap.Pop(&s.queue).(simEvent)
		s.now = max(s.now, e.at)
		if e.life != 0 && e.life != s.life {
			continue
		}
		s.stats.events++
		e.fn()
		if s.stats.events > maxEvents || s.now > healAt+message.Time(120*time.Second) {
			s.fail("no end after %d events: %s", s.stats.events, s.unfinished())
			return
		}
		if s.calm && s.stats.events%16 == 0 && s.unfinished() == "" {
			break
		}
	}
	if s.failure == "" {
		s.checkEnd()
	}
}

// hintAll makes up for hints that were lost.
func (s *sim) hintAll() {
	if s.up {
		for _, sh := range s.shards {
			for i := range s.shards {
				s.step(sh, func(message.Time) { sh.m.Hint(message.Shard(i)) })
			}
		}
	}
	s.after(message.Time(200*time.Millisecond), false, s.hintAll)
}

// unfinished says what is still under way, or nothing.
func (s *sim) unfinished() string {
	if !s.up {
		return "down"
	}
	if w := s.clients.unfinished(); w != "" {
		return w
	}
	for _, sh := range s.shards {
		m := sh.m
		switch {
		case len(sh.answers) > 0 && !m.HasUnit() && m.Sealed() == m.Durable():
			return fmt.Sprintf("shard %d: an answer waits for unit %d, and there is none", sh.id, sh.answers[0].After)
		case m.HasUnit() || m.Sealed() != m.Durable() || m.OnTrial() || len(m.outstanding) > 0 || len(sh.answers)+len(sh.calls) > 0:
			return fmt.Sprintf("shard %d: unit %v sealed %d durable %d busy %v (trial %v) answers %d calls %d", sh.id, m.HasUnit(), m.Sealed(), m.Durable(), m.Busy(), m.OnTrial(), len(sh.answers), len(sh.calls))
		}
		if m.running > 0 { // a probe, say, whose effect a late answer settled
			return fmt.Sprintf("shard %d waits for %d calls and probes", sh.id, m.running)
		}
		for _, src := range m.sources {
			if len(src.queue) > 0 {
				return fmt.Sprintf("shard %d has %d messages from shard %d in its queue", sh.id, len(src.queue), src.shard)
			}
		}
		for _, t := range []message.Table{message.TableOpen, message.TableMailbox, message.TableControl, message.TableEffect, message.TableDue, message.TableTimer, message.TableDead} {
			if keys := s.store.visible[sh.id].keys(t, ""); len(keys) > 0 {
				return fmt.Sprintf("shard %d: %d rows in table %d, the first %q", sh.id, len(keys), t, keys[0])
			}
		}
		for _, src := range s.shards {
			row := s.store.visible[sh.id].tables[message.TableCursor][string(inboxCursorKey(src.id))]
			var at uint64
			if row != nil {
				at, _ = readNumber(message.RowKey{Table: message.TableCursor, Key: inboxCursorKey(src.id)}, row)
			}
			if end := src.outEnd[uint16(sh.id)]; at != end {
				return fmt.Sprintf("shard %d is at %d of %d from shard %d", sh.id, at, end, src.id)
			}
		}
	}
	return ""
}

// checkEnd looks for what was left behind.
func (s *sim) checkEnd() {
	for _, sh := range s.shards {
		m := sh.m
		left := func(what string, n int) {
			if n != 0 {
				s.fail("shard %d: %d %s are left when all is done", sh.id, n, what)
			}
		}
		left("active envelopes", len(m.active))
		left("waits", len(m.waits))
		left("overlay rows", len(m.overlay.rows))
		left("units in flight", len(m.inFlight))
		left("outstanding reads", len(m.outstanding))
		left("effects", len(m.effects))
		left("running effects", m.running)
		left("startable effects", len(m.startable))
		left("doubts", len(m.doubts))
		left("dead letters on their way back", len(m.reviving))
		left("firing timers", len(m.firing))
		left("envelopes behind a trial", len(m.trial.queue))
		// A timer that was on trial may have been cancelled since; nobody minds
		// its row before the next clean start.
		left("trial rows", max(0, len(s.store.visible[sh.id].keys(message.TableMeta, trialKey))-3))
		left("envelopes behind a full unit", len(m.full))
		left("reads and results behind a full unit", len(m.postponed))
		left("cleared prefixes", len(m.overlay.cleared))
		for _, c := range m.cells {
			if c.taking != nil || len(c.loaders) > 0 || len(c.volatile) > 0 || c.loading || c.control != nil || len(c.mail) > 0 {
				s.fail("the cell of %s is not at rest", c.agent)
			}
		}
		cached := 0
		for _, c := range m.cells {
			if c.loaded {
				cached += c.weight()
			}
		}
		if cached != m.cached {
			s.fail("shard %d counts %d bytes of cells, which have %d", sh.id, m.cached, cached)
		}
	}
	s.checkFeed()
	s.clients.check()
}

// value reads a number of an agent's state from the store.
func (s *sim) value(a message.Agent) *numbers {
	sh := message.ShardOf(a, len(s.shards))
	k := message.RowKey{Table: message.TableState, Key: a.AppendKey(nil)}
	v := s.store.visible[sh].get(k)
	if v == nil {
		n, _ := loadNumbers(0, nil)
		return n.(*numbers)
	}
	row, err := readState(k, v)
	if err != nil {
		s.fail("%v", err)
	}
	st, _ := loadNumbers(row.schema, row.data)
	return st.(*numbers)
}

func (s *sim) tail(n int) string {
	return strings.Join(s.tracing[max(0, len(s.tracing)-n):], "")
}
