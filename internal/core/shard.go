package core

import (
	"encoding/binary"
	"maps"
	"math"
	"strings"
	"time"

	"github.com/semel-dev/semel/message"
)

// Config is what the machine is told about its surroundings. All durations and
// counts are positive; the driver fills in defaults.
type Config struct {
	Shard        message.Shard
	Shards       int
	MaxUnitBytes int
	Lease        time.Duration // how long a former owner may go on believing
	Retention    time.Duration // how long a settled outcome is kept, at least
	Skew         time.Duration // how far ahead a key's own time may be
	MaxJump      time.Duration // a longer leap of the clock across a restart pauses retention
	CacheBytes   int
	WindowKeys   int // identities in each half of the dedup window
	MaxState     int // bytes of an encoded state
	BackoffBase  time.Duration
	BackoffMax   time.Duration
	MaxAttempts  int  // of an accepted message, before it is a dead letter
	Running      int  // effects called at once
	Guest        bool // in the store of another program: effects are left as they are, and nothing is forgotten
	InboxBatch   int
	Suspects     int  // messages per source that are tried alone after an unclean start
	Feed         bool // each unit has a row of the agents that it changed
}

// Generations that a retention window is cut into.
const generationsPerWindow = 8

// Shard is the machine. It is not safe for concurrent use; one goroutine
// drives it.
type Shard struct {
	cfg      Config
	limits   limits
	behavior Behavior
	epoch    message.Epoch
	began    message.Time // this session
	now      message.Time

	sealed    message.Seq // the last unit sealed
	durable   message.Seq // the last unit known to be durable
	trimmed   message.Seq // the last unit that the overlay forgot
	open      *openUnit
	full      []*envelope // wait for the next unit
	postponed []func()    // what else waits for it
	inFlight  []*openUnit // sealed, not trimmed, in order
	spare     []*openUnit
	scratch   []byte

	opened      opened
	overlay     overlay
	outstanding []*Load // in the order of issue
	work        Work
	taken       Work

	cells  map[string]*cell
	ring   cellList
	cached int

	active map[string]*envelope // agent key + identity → the envelope alive for it
	waits  map[string][]*Caller // agent key + identity → who waits for the open row to settle
	window *window

	sources  []*source
	outEnds  []uint64
	outMoved []bool

	effects   map[message.ID]*effectRecord
	doubts    map[string][]*effectRecord // in doubt, by the open row of the message that waits for them
	settledAs map[message.ID]Resolution  // how effects of former sessions were settled, without bodies
	startable []*effectRecord            // asked, in order, waiting for their turn
	running   int
	reviving  map[message.ID]bool // dead letters on their way back

	timers    timerState
	firing    map[string]message.Time // timers whose message waits, by row
	alarms    wakeHeap
	retention retention
	feed      feed
	trial     trialState

	step     Step
	identity []byte // scratch

	spareEnvelope *envelope

	lead message.Time // of the keys' own times before the times when they were seen

	counters Counters
	doubtful doubtHeap
	dead     int    // dead letters
	sent     uint64 // the sum of outEnds
	consumed uint64 // the sum of what was taken from the sources
}

// Take returns the work gathered since the last Take. It is valid until the
// next call of Take.
func (s *Shard) Take() *Work {
	s.taken, s.work = s.work, Work{
		Loads: s.taken.Loads[:0], Answers: s.taken.Answers[:0], Calls: s.taken.Calls[:0],
		Pulls: s.taken.Pulls[:0], Wakes: s.taken.Wakes[:0], Alarms: s.taken.Alarms[:0],
	}
	return &s.taken
}

// advanceClock takes the time of an event. The machine's time never goes back.
func (s *Shard) advanceClock(now message.Time) {
	s.now = max(s.now, now)
}

// Tick lets everything happen that is due.
func (s *Shard) Tick(now message.Time) {
	s.advanceClock(now)
	s.fireAlarms()
	s.pullTimers()
	s.turnGeneration()
}

// NextTick is when Tick has something to do. It may be long after any clock
// ends.
func (s *Shard) NextTick() message.Time {
	next := s.retention.nextTurn()
	if s.cfg.Guest { // which begins no generation
		next = math.MaxInt64
	}
	if s.Full() {
		return next // what is due waits for the next unit
	}
	if at := s.alarms.next(); at != 0 && at < next {
		next = at
	}
	if at := s.timers.next; at != 0 && !s.timers.loading && at < next {
		next = at
	}
	return next
}

// Durable is the last unit known to be durable, and Sealed the last one sealed.
func (s *Shard) Durable() message.Seq { return s.durable }

// Sealed is the last unit sealed.
func (s *Shard) Sealed() message.Seq { return s.sealed }

// Busy says whether the machine still waits for reads or runs a trial: work
// that it will finish by itself, without a new event from outside.
func (s *Shard) Busy() bool {
	if s.trial.env != nil || len(s.outstanding) > 0 || s.HasUnit() {
		return true
	}
	for _, src := range s.sources {
		if len(src.queue) > 0 || src.pulling {
			return true
		}
	}
	return false
}

// Recovered is what the store holds of the shard when a session begins.
type Recovered struct {
	Version  message.Version
	Meta     []message.Row // all of TableMeta
	Controls []message.Row // all of TableControl
	Effects  []message.Row // all of TableEffect
	Cursors  []message.Row // those of TableCursor that begin with "c"
	NextDue  []message.Row // the first row of TableDue, if any
	Dead     int           // the rows of TableDead
	New      bool          // the store holds nothing yet: no identity was ever seen
	Counters Counters      // of the last machine of this process, if there was one
	// Calling are effects that a former session of this process still calls:
	// every one comes back, with LateResult.
	Calling map[message.ID]bool
	// settledAs is how effects were settled whose calls may come back yet (HandOver).
	settledAs map[message.ID]Resolution
	// Unclean says that the last process did not end in order: what may have
	// killed it is tried alone. When this process opens the shard again before
	// that is over (Shard.Suspects), it says so again, with Since.
	Unclean bool
	// Since is the epoch of the first session of this process; zero if this is
	// the first. What was begun since then did not end a process.
	Since message.Epoch
}

// ClockOf reads a time that the shard had not passed, so that a driver can
// begin there if its own clock went back.
func ClockOf(meta []message.Row) (message.Time, error) {
	for _, r := range meta {
		if string(r.Key) == clockKey {
			c, err := readClock(message.RowKey{Table: message.TableMeta, Key: r.Key}, r.Value)
			return c.begin(), err
		}
	}
	return 0, nil
}

// New starts the machine from what the store holds. Errors name the row that
// cannot be read, or say why the configuration is impossible.
func New(cfg Config, b Behavior, now message.Time, rec Recovered) (*Shard, error) {
	limits, err := limitsOf(cfg)
	if err != nil {
		return nil, err
	}
	unclean, err := rec.recoverMove()
	if err != nil {
		return nil, err
	}
	s := &Shard{
		cfg: cfg, limits: limits, behavior: b, epoch: rec.Version.Epoch, now: now,
		sealed: rec.Version.Seq, durable: rec.Version.Seq, trimmed: rec.Version.Seq,
		opened:  opened{limit: openedLimit(cfg.CacheBytes)},
		overlay: overlay{rows: make(map[uint64]*overlayRow)},
		cells:   make(map[string]*cell), active: make(map[string]*envelope), waits: make(map[string][]*Caller),
		outEnds: make([]uint64, cfg.Shards), outMoved: make([]bool, cfg.Shards),
		effects: make(map[message.ID]*effectRecord), reviving: make(map[message.ID]bool),
		firing: make(map[string]message.Time), doubts: make(map[string][]*effectRecord), settledAs: make(map[message.ID]Resolution),
	}
	s.counters, s.dead = rec.Counters, rec.Dead
	s.open = s.newUnit()
	s.ring.init()
	s.sources = make([]*source, cfg.Shards)
	for i := range s.sources {
		s.sources[i] = &source{shard: message.Shard(i), key: inboxCursorKey(message.Shard(i))}
	}
	s.trial.unclean, s.trial.since, s.trial.counts = rec.Unclean, rec.Since, make(map[message.ID]int)
	if err := s.recoverMeta(rec.Meta); err != nil {
		return nil, err
	}
	if unclean {
		if err := s.settleMove(rec.Meta); err != nil {
			return nil, err
		}
	}
	since := max(s.now, s.retention.disputed) + 1 // what was seen before, at whatever the clock said, the window does not know
	if rec.New {
		since = 0
	}
	s.window = newWindow(cfg.WindowKeys, since)
	for _, r := range rec.Cursors {
		if err := s.recoverCursor(r); err != nil {
			return nil, err
		}
	}
	for _, r := range rec.Controls {
		if err := s.recoverControl(r, rec.Unclean); err != nil {
			return nil, err
		}
	}
	for _, r := range rec.Effects {
		if err := s.recoverEffect(r, &rec); err != nil {
			return nil, err
		}
	}
	maps.Copy(s.settledAs, rec.settledAs)
	s.recoverTotals()
	if len(rec.NextDue) > 0 {
		due, err := readDue(rec.NextDue[0].Key)
		if err != nil {
			return nil, err
		}
		s.timers.next = due.due
	}
	if rec.Unclean {
		s.timers.suspectBelow = now
	}
	for _, src := range s.sources {
		if rec.Unclean {
			src.suspectUpTo = src.taken + uint64(cfg.Suspects)
		}
		s.pull(src)
	}
	s.pumpEffects()
	return s, nil
}

func (s *Shard) recoverMeta(rows []message.Row) error {
	var clock clockRow
	for _, r := range rows {
		k := message.RowKey{Table: message.TableMeta, Key: r.Key}
		switch {
		case string(r.Key) == clockKey:
			var err error
			if clock, err = readClock(k, r.Value); err != nil {
				return err
			}
		case string(r.Key) == leadKey:
			n, err := readNumber(k, r.Value)
			if err != nil {
				return err
			}
			s.lead = message.Time(n)
		case string(r.Key) == feedKey:
			n, err := readNumber(k, r.Value)
			if err != nil {
				return err
			}
			s.feed = feed{kept: true, floor: message.Seq(n)}
		case string(r.Key) == generationsKey:
			if err := s.retention.read(k, r.Value); err != nil {
				return err
			}
		case string(r.Key) == moveKey: // recoverMove has read it
		case strings.HasPrefix(string(r.Key), trialKey):
			if err := s.recoverTrial(k, r.Value); err != nil {
				return err
			}
		case len(r.Key) == 3 && r.Key[0] == 'o':
			n, err := readNumber(k, r.Value)
			if err != nil {
				return err
			}
			dst := binary.BigEndian.Uint16(r.Key[1:])
			if int(dst) >= len(s.outEnds) {
				return &CorruptError{rowName(k), "an outbox to a shard that does not exist"}
			}
			s.outEnds[dst] = n
		default:
			return &CorruptError{rowName(k), "not known to this version"}
		}
	}
	s.recoverFeed() // first: a generation that begins says how far the feed is
	s.recoverClock(clock)
	s.began = s.now
	return nil
}

func (s *Shard) recoverCursor(r message.Row) error {
	k := message.RowKey{Table: message.TableCursor, Key: r.Key}
	n, err := readNumber(k, r.Value)
	if err != nil {
		return err
	}
	if len(r.Key) != 3 || int(binary.BigEndian.Uint16(r.Key[1:])) >= len(s.sources) {
		return &CorruptError{rowName(k), "a cursor for a shard that does not exist"}
	}
	src := s.sources[binary.BigEndian.Uint16(r.Key[1:])]
	src.taken, src.fetched, src.purged = n, n, n
	return nil
}
