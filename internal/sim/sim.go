package sim

import (
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// Options say what to run. The same options run the same way, always.
type Options struct {
	Seed   uint64
	Ops    int   // operations of clients; zero is DefaultOps
	Faults Kinds // nil: those that the seed turns on; else these
	Skip   Skips
	Trace  bool   // keep what happens as text
	Broken Broken // what a test expects to be found
}

// DefaultOps is enough for a run to meet itself in everything, and small enough
// for a person to read.
const DefaultOps = 150

// Broken are planted bugs of the store and of its driver.
type Broken struct {
	IgnoreVersion    bool // the store compares epochs alone
	IgnoreEpoch      bool // it compares sequences alone
	AckBeforeDurable bool // the driver lets answers go at once
	TrustLease       bool // it refuses without asking the store whether it may
	SurviveFailover  bool // sessions go on after a failover
	ReadsUnfenced    bool // a former owner may read
}

// Result is how a run went.
type Result struct {
	Options Options
	Failure string // empty: none
	form    string // what kind of failure it is
	Hash    uint64 // of all that happened
	Counts  Counts
	Strikes []Strike // in their order
	Trace   []string
	Config  string
}

// maxEvents bounds a run for each of its ops, and drained is how long after the
// last fault everything must have come to its end, by the simulation's clock.
const (
	maxEvents = 20_000
	drained   = 120 * time.Second
)

// Sim is one run.
type Sim struct {
	opt     Options
	seed    uint64
	rng     *rng // of delays and of the world's whims
	now     message.Time
	queue   schedule
	chaos   *chaos
	counts  Counts
	hash    uint64
	keep    bool
	lines   []string
	failure string
	form    string // of the failure

	cluster    bool
	networked  bool // clients are somewhere else
	cfg        core.Config
	brief      bool // retention is so short that only keys with a time can be asked for again
	lease      time.Duration
	inFlight   int // units of a session
	agentTypes map[string]*core.Type
	feedMood   int

	nodes   []*node
	store   *store
	last    []*session   // of each shard, the one that was opened last
	begun   [][]*session // of each shard, in the order in which they began
	world   *world
	clients *clients
	running *session // in whose machine an event is
	asides  asides   // of the step under way
	txs     map[uint32]*decision

	declared    [len(policies)]uint8 // policies that an effect was ever under
	failures    map[name]int
	overtaken   map[string]bool     // agents of which a message died that others are in order with
	killers     map[message.ID]bool // messages that kill the process that runs them
	failedAt    map[name]lastFailure
	heldTo      map[string]message.Time // until when an agent was held at the latest
	fences      []fence
	backwards   []bool // a leap that nobody trusted was taken back
	owed        []map[message.Seq][]string
	lastArrival message.Time
}

const start = message.Time(1_700_000_000e9)

// Run runs one seed to its end.
func Run(o Options) *Result {
	if o.Ops == 0 {
		o.Ops = DefaultOps
	}
	s := newSim(o)
	func() {
		defer func() {
			if v := recover(); v != nil {
				s.failf("panic: %v\n%s", v, debug.Stack())
			}
		}()
		s.run()
	}()
	s.counts.Strikes = s.chaos.strikes
	return &Result{Options: o, Failure: s.failure, form: s.form, Hash: s.hash, Counts: s.counts, Strikes: s.chaos.struck, Trace: s.lines,
		Config: fmt.Sprintf("%d nodes, network %v, lease %v, %d units in flight, %+v", len(s.nodes), s.networked, s.lease, s.inFlight, s.cfg)}
}

func newSim(o Options) *Sim {
	s := &Sim{
		opt: o, seed: o.Seed, rng: newRNG(o.Seed, 0), now: start, keep: o.Trace,
		failures: make(map[name]int), failedAt: make(map[name]lastFailure), heldTo: make(map[string]message.Time),
		overtaken: make(map[string]bool), killers: make(map[message.ID]bool),
	}
	r := newRNG(o.Seed, 4)
	s.cluster = r.oneIn(2)
	s.networked = s.cluster || r.oneIn(3)
	nodes, shards := 1, pick(r, 1, 2, 3, 3)
	s.inFlight = 1 << 30
	lease := pick(r, 0, time.Millisecond, 500*time.Millisecond)
	if s.cluster {
		nodes, shards, s.inFlight = 2+r.intn(3), pick(r, 1, 2, 3, 4), pick(r, 1, 2, 4)
		s.lease = pick(r, 200*time.Millisecond, 400*time.Millisecond, time.Second)
		lease = s.lease
	}
	s.cfg = core.Config{
		Shards: shards, MaxUnitBytes: pick(r, 64<<10, 1<<20), Lease: lease,
		Retention: pick(r, 4*time.Second, 20*time.Second), Skew: 2 * time.Second, MaxJump: 6 * time.Second,
		CacheBytes: pick(r, 1, 3000, 1<<20), WindowKeys: pick(r, 4, 40, 1<<16), MaxState: 1 << 13,
		BackoffBase: 10 * time.Millisecond, BackoffMax: 100 * time.Millisecond, MaxAttempts: 4,
		Running: pick(r, 1, 3, 50), InboxBatch: pick(r, 1, 3, 50), Suspects: pick(r, 1, 3, 20),
	}
	if newRNG(o.Seed, 5).oneIn(6) { // what a run recorded is forgotten while it goes on
		s.brief, s.cfg.Retention, s.cfg.Skew = true, 500*time.Millisecond, 200*time.Millisecond
	}
	s.feedMood = r.intn(4)
	s.agentTypes = s.types()
	s.chaos = newChaos(o.Seed, s.cluster, o.Faults, o.Skip)
	s.store = newStore(s, shards)
	s.last, s.begun, s.fences = make([]*session, shards), make([][]*session, shards), make([]fence, shards)
	s.backwards, s.owed = make([]bool, shards), make([]map[message.Seq][]string, shards)
	for i := range shards {
		s.owed[i] = make(map[message.Seq][]string)
		s.fences[i] = newFence(shards)
	}
	skew := s.cluster && r.oneIn(2)
	for i := range nodes {
		n := &node{s: s, id: i}
		if skew {
			s.reach(Skewed)
			n.wall = r.between(-time.Second, time.Second)
		}
		s.nodes = append(s.nodes, n)
	}
	s.txs = make(map[uint32]*decision)
	s.world = newWorld(s)
	s.clients = newClients(s, o.Ops)
	return s
}

// keepsFeed says whether a process keeps a change feed: half of the seeds never
// do, a quarter always, and in the others each process has its own mind.
func (s *Sim) keepsFeed() bool {
	switch s.feedMood {
	case 1:
		return true
	case 3:
		return s.rng.intn(3) != 0
	}
	return false
}

// run runs until everything has come to its end, and then looks back.
func (s *Sim) run() {
	if s.cluster {
		s.reach(Cluster)
	} else {
		s.reach(Embedded)
	}
	for _, n := range s.nodes {
		n.start(true)
	}
	s.clients.begin()
	s.after(message.Time(s.clients.load.duration), s.heal)
	s.after(message.Time(50*time.Millisecond), s.hintAll)
	s.after(message.Time(10*time.Millisecond), s.replicate)
	end := s.now + message.Time(s.clients.load.duration+drained)
	for s.failure == "" {
		e, ok := s.next()
		if !ok {
			break
		}
		s.counts.Events++
		s.mix(uint64(s.now), e.n)
		e.fn()
		if s.failure == "" && (s.counts.Events > int64(maxEvents*(s.opt.Ops+10)) || s.now > end) {
			s.failf("no end after %d events: %s", s.counts.Events, s.unfinished())
		}
		if s.chaos.calm && s.counts.Events%16 == 0 && s.unfinished() == "" {
			s.reach(Drained)
			break
		}
	}
	if s.failure == "" {
		s.checkEnd()
	}
}

// hintAll makes up for hints that were lost.
func (s *Sim) hintAll() {
	for i := range s.last {
		x := s.owner(message.Shard(i))
		if x == nil {
			continue
		}
		x.p.after(0, func() {
			for src := range s.last {
				x.step(func(message.Time) { x.m.Hint(message.Shard(src)) })
			}
		})
	}
	s.after(message.Time(200*time.Millisecond), s.hintAll)
}

// replicate lets the standby of a remote store come nearer.
func (s *Sim) replicate() {
	if !s.cluster {
		return
	}
	s.store.sync(s.rng.intn(len(s.store.log) + 1))
	s.after(s.rng.between(time.Millisecond, 30*time.Millisecond), s.replicate)
}

// owner is the session that has a shard now; nil if there is none.
func (s *Sim) owner(shard message.Shard) *session {
	x := s.last[shard]
	if x == nil || x.ended || x.p.dead || x.epoch != s.store.visible[shard].epoch || s.cluster && x.timeline != s.store.timeline {
		return nil
	}
	return x
}

// failf notes the first thing that must not be.
func (s *Sim) failf(form string, args ...any) {
	if s.failure != "" {
		return
	}
	s.form, s.failure = form, fmt.Sprintf(form, args...)
	if len(s.failure) > 4000 { // it may show large bodies
		s.failure = s.failure[:4000] + "…"
	}
	if s.keep {
		s.tracef("FAIL %s", s.failure)
	}
}

// mix takes numbers into the hash of all that happens.
func (s *Sim) mix(numbers ...uint64) {
	for _, n := range numbers {
		s.hash = (s.hash ^ n) * 0x9e3779b97f4a7c15
		s.hash ^= s.hash >> 29
	}
}

func (s *Sim) mixText(n uint64, text string) { s.mix(n, xxh3.HashString(text)) }

// tracef keeps a line for people. Whoever calls it often looks at keep first.
func (s *Sim) tracef(form string, args ...any) {
	if s.keep {
		s.lines = append(s.lines, fmt.Sprintf("%10.3f ms  "+form, append([]any{float64(s.now-start) / 1e6}, args...)...))
	}
}

// Tail is the end of the trace.
func (r *Result) Tail(lines int) string {
	return strings.Join(r.Trace[max(0, len(r.Trace)-lines):], "\n")
}
