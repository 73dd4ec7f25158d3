// Package engine drives the pure core: it owns the goroutines, the clock, the
// sessions with the store, the effects under way and the backpressure. Each
// shard has one loop that feeds its machine and commits its units, and one
// acker that waits for commits in order and lets go of what waited for them.
//
// Start reading at shard.go; call.go is the way in.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Config tunes an engine. A zero field means its default.
type Config struct {
	Retention      time.Duration // how long a settled outcome is kept, at least; 24 h
	Skew           time.Duration // how far ahead of our clock a key's own time may be; 5 min
	MaxClockJump   time.Duration // a longer leap across a restart pauses retention; as Retention
	CacheBytes     int           // of decoded states, over all shards; 256 MiB
	WindowKeys     int           // identities remembered in memory, over all shards; 512 Ki
	MaxInFlight    int           // calls accepted and not answered; 16384. As many again may wait for replays
	MaxState       int           // bytes of an agent's encoded state; 1 MiB
	MaxAttempts    int           // of an accepted message before it is a dead letter; 10
	EffectsRunning int           // effects called at once, over all shards; 1024
	BackoffBase    time.Duration // of retries; 50 ms
	BackoffMax     time.Duration // 30 s
	GiveUpGrace    time.Duration // how long a caller whose context ended waits to hear what is known; 1 s
	Feed           bool          // keep a change feed, see Changes
	Guest          bool          // in the store of another program: effects are left as they are, and nothing is forgotten
	FreeFloor      uint64        // bytes below which new work is refused; 256 MiB
	Owner          string        // who we are, for the store's record
	Address        string        // where the other nodes of a cluster reach this one, for its roster
	Peers          Peers         // ... and how this one reaches them; nil if it cannot
	Logger         *slog.Logger
	Now            func() time.Time
	Fatal          func(error)      // the device failed: the process must end; prints and exits with 74
	OnAlarm        func(core.Alarm) // besides the log
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	num := func(d *int, v int) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.Retention, 24*time.Hour)
	def(&c.Skew, 5*time.Minute)
	def(&c.MaxClockJump, c.Retention)
	def(&c.BackoffBase, 50*time.Millisecond)
	def(&c.BackoffMax, 30*time.Second)
	def(&c.GiveUpGrace, time.Second)
	num(&c.CacheBytes, 256<<20)
	num(&c.WindowKeys, 512<<10)
	num(&c.MaxInFlight, 16384)
	num(&c.MaxState, 1<<20)
	num(&c.MaxAttempts, 10)
	num(&c.EffectsRunning, 1024)
	if c.FreeFloor == 0 {
		c.FreeFloor = 256 << 20
	}
	if c.Owner == "" {
		host, _ := os.Hostname()
		c.Owner = fmt.Sprintf("%s/%d", host, os.Getpid())
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Fatal == nil {
		c.Fatal = func(err error) {
			fmt.Fprintf(os.Stderr, "semel: %v\nsemel: what was acknowledged is safe; the process ends so that recovery can say what the device holds\n", err)
			os.Exit(exitIOError)
		}
	}
	return c
}

// exitIOError is EX_IOERR of sysexits.h.
const exitIOError = 74

// Outside is how an effect reaches the outside world. Call and Probe may run
// concurrently and must respect ctx; Probe is nil unless the policy has one.
type Outside struct {
	Call, Probe func(ctx context.Context, job core.EffectJob) core.EffectResult
}

// Engine is an open store with the shards that run on it. It is safe for
// concurrent use.
type Engine struct {
	cfg      Config
	store    store.Store
	profile  store.Profile
	behavior core.Behavior
	outside  map[string]Outside
	clock    clock
	shards   []*shard
	cluster  *cluster // nil unless other processes have the store open too

	ctx     context.Context // of everything that the engine runs
	stop    context.CancelFunc
	running sync.WaitGroup // loops, ackers, reads, maintenance
	calling calling        // effects
	retire  chan store.Retention
	feed    feed
	window  syncWindow

	state      atomic.Int32
	startEnded chan struct{}
	startErr   error         // set before stateFailed
	stopping   atomic.Bool   // the loops take nothing from each other any more
	closed     chan struct{} // when Close has ended
	closeErr   error         // set before closed

	singles, batches sync.Pool // of calls that wait, to be used again

	inFlight atomic.Int64  // calls accepted and not answered
	jobs     atomic.Int64  // effects that the machines began and have not got back
	idle     chan struct{} // while closing: one of these has gone to zero, or a loop is quiesced
	full     atomic.Bool   // the device is nearly full
	fatal    sync.Once
	failed   atomic.Bool
	stats    stats

	trialMu sync.Mutex
	trial   *shard   // whose suspect is on trial
	trials  []*shard // who waits for it
}

// The states of an engine, in their order. The shards may be used by others
// than Start only once it has been stateStarted.
const (
	stateOpen = iota
	stateStarting
	stateFailed // to start
	stateStarted
	stateClosing
)

// Open opens the store. Nothing runs until Start.
func Open(ctx context.Context, o store.Opener, cfg Config) (*Engine, error) {
	cfg = cfg.withDefaults()
	st, err := o.OpenStore(ctx)
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, store: st, profile: st.Profile(), retire: make(chan store.Retention, 64), idle: make(chan struct{}, 1)}
	e.window.shared = e.profile.SharedLog
	e.singles.New, e.batches.New = newSingle, newBatch
	e.stats = stats{alarms: make(map[core.AlarmKind]uint64), used: -1, space: -1}
	e.startEnded, e.closed = make(chan struct{}), make(chan struct{})
	e.ctx, e.stop = context.WithCancel(context.Background())
	return e, nil
}

// Start recovers every shard and begins to process. It is called once. After
// an error the engine can only be closed.
func (e *Engine) Start(b core.Behavior, outside map[string]Outside) error {
	if !e.state.CompareAndSwap(stateOpen, stateStarting) {
		return errors.New("the engine was started or closed before")
	}
	defer close(e.startEnded)
	e.behavior, e.outside = b, outside
	if err := e.recover(); err != nil {
		e.startErr = err
		e.state.CompareAndSwap(stateStarting, stateFailed)
		return err
	}
	for _, sh := range e.shards {
		if sh.machine != nil {
			sh.startAcker()
		}
		e.running.Add(1)
		go sh.loop()
	}
	e.running.Add(2)
	go e.maintain()
	go e.watchSpace()
	if !e.state.CompareAndSwap(stateStarting, stateStarted) {
		return errors.New("the engine was closed while it started")
	}
	return nil
}

// recover makes the shards and their machines. Nothing runs yet.
func (e *Engine) recover() error {
	n := e.store.Shards()
	var err error
	if e.cluster, err = newCluster(e); err != nil {
		return err
	}
	if e.cluster != nil {
		if err := e.checkMoved(); err != nil {
			return err
		}
		e.clock.start(e.cfg.Now(), 0)
		e.cfg.Feed = false // no follower reads the shards of other nodes
		return e.cluster.start(e.ctx)
	}
	recovered := make([]core.Recovered, n)
	var furthest message.Time
	for i := range n {
		sh := newShard(e, message.Shard(i))
		e.shards = append(e.shards, sh)
		_, err := sh.openSession(e.ctx)
		if err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
		rec, err := sh.recovered(e.ctx)
		if err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
		rec.Unclean = !e.store.CleanStart()
		recovered[i] = rec
		at, err := core.ClockOf(rec.Meta)
		if err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
		furthest = max(furthest, at)
	}
	e.clock.start(e.cfg.Now(), furthest)
	for i, sh := range e.shards {
		if err := sh.begin(recovered[i]); err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
		e.cfg.Feed = e.cfg.Feed && sh.machine.KeepsFeed()
	}
	return nil
}

// checkMoved refuses a shared store that was moved away, or is not whole, before
// the node has any of its shards. Whoever marks the store later is heard of by
// the machines.
func (e *Engine) checkMoved() error {
	g, ok := e.store.(store.Glancer)
	if !ok {
		return nil
	}
	marks, err := g.Glance(e.ctx, core.MoveKey())
	if err != nil {
		return fmt.Errorf("see whether the store was moved: %w", err)
	}
	for i, mark := range marks {
		if _, err := core.CheckMoved(mark); err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
	}
	return nil
}

// Ready says whether calls are taken, and if not, why.
func (e *Engine) Ready() error {
	switch state := e.state.Load(); {
	case e.failed.Load():
		return errors.New("the storage device failed")
	case state == stateClosing:
		return errors.New("shutting down")
	case state == stateFailed:
		return fmt.Errorf("the start failed: %w", e.startErr)
	case state != stateStarted:
		return errors.New("not started")
	case e.full.Load():
		return errors.New("the storage device is nearly full: only replays are answered")
	}
	if err := e.cluster.ready(); err != nil {
		return err
	}
	if e.cluster.divided() {
		return nil
	}
	return troubleOf(e.shards)
}

// notRunning is the fault of whoever comes before Start or after Close.
func (e *Engine) notRunning() *message.Fault {
	switch e.state.Load() {
	case stateStarted:
		return nil
	case stateClosing:
		return &message.Fault{Code: message.CodeClosed, Detail: "the engine is shutting down"}
	}
	return notStarted
}

var notStarted = &message.Fault{Code: message.CodeClosed, Detail: "the engine was not started"}

// leave counts calls that were answered.
func (e *Engine) leave(n int) {
	if e.inFlight.Add(-int64(n)) <= 0 && e.closing() {
		e.progress()
	}
}

// broken ends the process: nothing may be acknowledged any more.
func (e *Engine) broken(err error) {
	e.failed.Store(true)
	e.fatal.Do(func() {
		e.cfg.Fatal(err)
		e.stop() // whoever still waits is told that nobody knows
	})
}

// alarm tells the operator.
func (e *Engine) alarm(a core.Alarm) {
	e.countAlarm(a.Kind)
	e.cfg.Logger.Error("alarm", "kind", string(a.Kind), "agent", a.Agent.String(), "id", a.ID.String(), "detail", a.Detail)
	if e.cfg.OnAlarm != nil {
		e.cfg.OnAlarm(a)
	}
}

// shardOf is the shard that runs an agent.
func (e *Engine) shardOf(a message.Agent) *shard {
	return e.shards[message.ShardOf(a, len(e.shards))]
}
