package engine

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// shard runs one shard: its loop owns the machine; its acker waits for
// commits. They share only flights (a channel, in the order of commit) and
// what ackMu guards.
type shard struct {
	engine  *Engine
	id      message.Shard
	tenancy *tenancy // the node's part in the place of the shard; nil if the store is this process's alone
	queue   queue
	sess    atomic.Pointer[store.Session]
	failure atomic.Pointer[error] // why the shard is down; nil while it runs
	duty    atomic.Int32          // see tenancy.go
	clean   atomic.Bool           // the next session begins with nothing under way
	term    atomic.Uint64         // counts the times that the node was given the shard
	ran     atomic.Uint64         // ... and says in which its machine runs
	lapsed  atomic.Bool           // the lease was over when an effect was to be called

	// For readers beside the loop, see follow.go.
	reign     atomic.Uint64 // odd while a machine runs; raised when one begins or ends
	submitted atomic.Uint64 // the last unit that reads may show

	// Of the loop alone.
	machine *core.Shard            // nil while the shard is another node's
	pulled  message.Time           // when it looked into the outboxes of other nodes' shards
	missed  map[message.Shard]bool // whose outboxes could not be reached
	cutOff  bool                   // some could not, the last time that other parts were asked
	ahead   time.Duration          // of the shard's clock: it may have run on another node, whose clock was
	life    uint64                 // counts machines: what an older one asked for is not given to a newer
	calls   callList               // those that the machine has
	held    held                   // waits for the open unit
	batch   []event
	jobs    int    // effects that were begun, by this machine or one before, and not given back
	forgot  uint64 // ... except by machines up to this life
	attempts
	closing  bool // no effect is begun any more
	leaving  bool // ... and no call is taken, as another node is to have the shard
	stopping bool // nothing is taken from other shards any more
	resting  bool

	// Between loop and acker.
	flights  chan *flight
	acked    chan struct{} // closed when the acker has ended
	durable  atomic.Uint64 // the last unit acknowledged
	wantsAck atomic.Bool   // an acknowledgement is to wake the loop
	ackMu    sync.Mutex
	inFlight []*flight // in the order of commit
	broke    error     // why an acknowledgement failed

	standing standing // to the window

	spare chan held // emptied, for the next flights

	quiesced atomic.Bool   // closing, and all effects that were begun are counted
	atRest   chan struct{} // Close need not wait for the loop

	hinted []atomic.Bool // by source: a hint is in the queue

	stats shardStats
}

func newShard(e *Engine, id message.Shard) *shard {
	sh := &shard{engine: e, id: id, flights: make(chan *flight, e.profile.UnitsInFlight)}
	sh.spare = make(chan held, e.profile.UnitsInFlight+1)
	sh.queue.wake = make(chan struct{}, 1)
	sh.atRest = make(chan struct{})
	sh.hinted = make([]atomic.Bool, e.store.Shards())
	sh.calls.init()
	return sh
}

func (sh *shard) session() store.Session {
	if p := sh.sess.Load(); p != nil {
		return *p
	}
	return nil
}

func (sh *shard) down() error {
	if p := sh.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// trouble is why the shard is down, unless it is another node's.
func (sh *shard) trouble() error {
	if err := sh.down(); err != errElsewhere {
		return err
	}
	return nil
}

func (sh *shard) setDown(err error) { sh.failure.Store(&err) }

// openSession takes the shard over.
func (sh *shard) openSession(ctx context.Context) (message.Version, error) {
	s, err := sh.engine.store.Open(ctx, sh.id, sh.engine.cfg.Owner)
	if err != nil {
		return message.Version{}, err
	}
	sh.sess.Store(&s)
	return s.Version(), nil
}

// recovered reads what the session's machine starts from.
func (sh *shard) recovered(ctx context.Context) (rec core.Recovered, err error) {
	s := sh.session()
	rec.Version = s.Version()
	rec.New = rec.Version.Seq == 0
	scan := func(t message.Table, limit int, prefix string) (rows []message.Row) {
		for from := []byte(prefix); err == nil; {
			var page []message.Row
			page, err = s.Scan(ctx, store.Range{Table: t, From: from, To: store.PrefixEnd([]byte(prefix))}, min(limit, scanPage))
			rows = append(rows, page...)
			if len(page) < scanPage || len(rows) >= limit {
				return rows
			}
			from = append(append([]byte(nil), page[len(page)-1].Key...), 0)
		}
		return nil
	}
	const all = int(^uint(0) >> 1)
	rec.Meta = scan(message.TableMeta, all, "")
	rec.Controls = scan(message.TableControl, all, "")
	rec.Effects = scan(message.TableEffect, all, "")
	rec.Cursors = scan(message.TableCursor, all, "c")
	rec.NextDue = scan(message.TableDue, 1, "")
	if err == nil {
		rec.Dead, err = sh.countDead(ctx)
	}
	return rec, err
}

const scanPage = 1024

// begin makes the machine and, with it, a new life of the shard.
func (sh *shard) begin(rec core.Recovered) error {
	e := sh.engine
	n := len(e.shards)
	cfg := core.Config{
		Shard: sh.id, Shards: n, MaxUnitBytes: e.profile.MaxUnitBytes,
		Lease:     e.profile.Lease,
		Retention: e.cfg.Retention, Skew: e.cfg.Skew, MaxJump: e.cfg.MaxClockJump,
		CacheBytes: e.cfg.CacheBytes / n, WindowKeys: max(e.cfg.WindowKeys/n/2, 1024), MaxState: e.cfg.MaxState,
		BackoffBase: e.cfg.BackoffBase, BackoffMax: e.cfg.BackoffMax, MaxAttempts: e.cfg.MaxAttempts,
		Running: max(e.cfg.EffectsRunning/n, 1), InboxBatch: inboxBatch,
		// What may have been under way: the units in flight and the one that
		// was open, each with at most the messages that were fetched.
		Suspects: inboxBatch * (e.profile.UnitsInFlight + 1),
		Feed:     e.cfg.Feed,
		Guest:    e.cfg.Guest,
	}
	if e.closing() {
		cfg.Running = 0
	}
	// The machine begins with a pull from every source: hints that were lost
	// with the last one must not keep the next from being given.
	for i := range sh.hinted {
		sh.hinted[i].Store(false)
	}
	if err := sh.setClock(rec.Meta); err != nil {
		return err
	}
	m, err := core.New(cfg, e.behavior, sh.now(), rec)
	if err != nil {
		return err
	}
	sh.machine = m
	sh.life++
	sh.durable.Store(uint64(rec.Version.Seq))
	sh.began(rec.Version.Seq, sh.now())
	sh.flights = make(chan *flight, e.profile.UnitsInFlight)
	sh.held, sh.inFlight, sh.broke = held{}, nil, nil
	sh.pulled = 0
	clear(sh.missed)
	sh.quiesced.Store(false)
	sh.lapsed.Store(false)
	sh.submitted.Store(uint64(rec.Version.Seq))
	sh.reign.Add(1)
	e.feed.tell()
	sh.publish()
	return nil
}

// setClock sets the shard's clock ahead of the node's by as much as the last
// node's was. Where that is little, the machine lets its time stand still until
// the node's has come up to it, or each takeover would add to it.
func (sh *shard) setClock(meta []message.Row) error {
	at, err := core.ClockOf(meta)
	if err != nil {
		return err
	}
	sh.ahead = 0
	if lead := time.Duration(at - sh.engine.clock.now()); lead > time.Second && sh.tenancy != nil {
		sh.ahead = lead
	}
	return nil
}

// now is the shard's time. It runs on the loop.
func (sh *shard) now() message.Time { return sh.engine.clock.now() + message.Time(sh.ahead) }

// startAcker lets commits be acknowledged.
func (sh *shard) startAcker() {
	sh.acked = make(chan struct{})
	sh.engine.running.Add(1)
	go sh.ack(sh.flights, sh.acked)
}

const inboxBatch = 128

// loop feeds the machine until the engine stops. Every event is handled, then
// the open unit is committed if no sync is under way, or if it is large:
// otherwise events gather into it, so the sync under way is the batching window
// and there is no timer.
func (sh *shard) loop() {
	defer sh.engine.running.Done()
	defer func() { close(sh.flights) }()
	defer sh.rest()
	ended := false
	defer sh.mustEnd(&ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for sh.engine.ctx.Err() == nil {
		if sh.machine == nil && !sh.away() {
			break
		}
		err := errLapsed
		if sh.mine() {
			err = sh.turn()
		}
		if err == nil {
			err = sh.ackFailure()
		}
		if err != nil {
			if !sh.reopen(err) {
				break
			}
			continue
		}
		if sh.quieten() {
			if !sh.engine.closing() {
				sh.handAway()
				continue
			}
			sh.leftAs(dutyRested)
			break
		}
		sh.sleep(timer)
	}
	ended = true
}

// mustEnd ends the process if the loop does not end by itself: without it, or
// with a machine that a step left in the middle, every later call would hang
// or lie. After a restart the message that did it is tried alone, and becomes a
// dead letter when it does it again (FAULTS 54).
func (sh *shard) mustEnd(ended *bool) {
	if *ended {
		return
	}
	if v := recover(); v != nil {
		panic(v) // not ours to hide
	}
	panic(fmt.Sprintf("semel: the loop of shard %d was ended from within (last step: %s): "+
		"no handler, query or codec may call runtime.Goexit, nor FailNow of a test", sh.id, sh.machine.LastStep()))
}

// turn takes what has gathered through the machine once.
func (sh *shard) turn() error {
	m := sh.machine
	sh.quiesce()
	sh.stopping = sh.engine.stopping.Load() || sh.leaving
	now := sh.now()
	if d := message.Seq(sh.durable.Load()); d > m.Durable() {
		m.Committed(d)
	}
	sh.batch = sh.queue.take(sh.batch)
	for i := range sh.batch {
		ev := &sh.batch[i]
		var err error
		switch {
		case ev.call != nil && sh.leaving && (ev.msg != nil || ev.run != nil):
			ev.call.finish(elsewhere)
		case ev.call != nil && ev.call.state.Load() == givenUp && !ev.call.listed:
			ev.call.finish(core.Answer{}) // nobody waits for what was not even begun
		case ev.msg != nil:
			sh.calls.add(ev.call)
			m.Submit(now, &ev.call.caller, ev.msg)
		case ev.run != nil:
			if ev.call != nil {
				sh.calls.add(ev.call)
			}
			ev.run(m)
		default:
			err = sh.cancel(ev.call)
		}
		switch {
		case err != nil:
		case m.Full():
			err = sh.commitFull()
		case i%64 == 63 && m.Bytes() >= worthwhile && sh.mayCommit():
			err = sh.commitNow()
		}
		if err != nil {
			clear(sh.batch[:i+1])
			sh.queue.putBack(sh.batch[i+1:])
			return err
		}
	}
	clear(sh.batch)
	if !sh.stopping {
		m.Tick(now)
		sh.pullOthers(m, now)
	}
	for {
		if err := sh.perform(); err != nil {
			return err
		}
		if !m.HasUnit() || !sh.mayCommit() {
			break
		}
		sh.commit()
	}
	sh.engine.releaseTrial(sh)
	return nil
}

// perform does the machine's work until there is none left.
func (sh *shard) perform() error {
	m := sh.machine
	for {
		w := m.Take()
		sh.publish()
		// First, so that whoever hears of something finds it in the log.
		for _, a := range w.Alarms {
			sh.engine.alarm(a)
		}
		for _, p := range w.Panics {
			sh.engine.cfg.Logger.Error("a handler panicked", "agent", p.Agent.String(), "action", p.Action, "panic", p.Value, "stack", string(p.Stack))
		}
		for i := range w.Answers {
			a := &w.Answers[i]
			if f := a.Answer.Fault; f != nil && f.Code == message.CodeCanceled && sh.onItsWay() {
				a.Answer = elsewhere // it did not give up: we did
			}
			sh.calls.remove(callOf(a.Caller))
			sh.letGo(a.After, held{answers: w.Answers[i : i+1]})
		}
		if n := len(w.Calls); n > 0 { // counted before they are durable: Close waits for them
			sh.jobs += n
			sh.engine.jobs.Add(int64(n))
		}
		for i := range w.Calls {
			sh.letGo(w.Calls[i].After, held{jobs: w.Calls[i : i+1]})
		}
		if w.Retire != nil {
			sh.engine.retireLater(store.Retention{Shard: sh.id, Epoch: sh.session().Version().Epoch, Below: w.Retire.Below, Consumed: w.Retire.Consumed})
		}
		if w.Trial {
			sh.engine.wantTrial(sh)
		}
		loads, pulls := w.Loads, w.Pulls
		if len(loads) == 0 && len(pulls) == 0 {
			return nil
		}
		if sh.stopping {
			var err error
			if loads, err = sh.turnAway(loads, pulls); err != nil {
				return err
			}
			if pulls = nil; len(loads) == 0 {
				continue
			}
		}
		if err := sh.read(loads, pulls); err != nil {
			return err
		}
	}
}

// sleep waits until there is something to do.
func (sh *shard) sleep(timer *time.Timer) {
	m := sh.machine
	blocked := m.HasUnit()
	if blocked && sh.mayCommit() {
		return // the acknowledgement came meanwhile, and nobody told
	}
	if blocked || m.OnTrial() || sh.stopping {
		sh.wantsAck.Store(true)
		if message.Seq(sh.durable.Load()) > m.Durable() || sh.ackFailure() != nil {
			return
		}
	}
	if !sh.queue.sleep() {
		return
	}
	wait := time.Second
	if next := m.NextTick(); next != 0 && !sh.stopping { // it does not tick while it stops
		wait = min(wait, time.Duration(next-sh.now()))
	}
	timer.Reset(max(wait, 0))
	select {
	case <-sh.queue.wake:
		// Callers that were answered, or that woke us, are about to push more:
		// let those that are ready go first, so that one unit takes them all.
		runtime.Gosched()
	case <-timer.C:
	case <-sh.engine.ctx.Done():
	}
}

// cancel gives a call up whose caller does not want to wait any longer. It
// runs on the loop.
func (sh *shard) cancel(c *call) error {
	detail := "it was executed, but the caller gave up before it was known to be durable; ask again with the same key"
	if c.listed {
		sh.machine.Cancel(sh.now(), &c.caller)
		if err := sh.perform(); err != nil || !c.listed {
			return err
		}
		sh.calls.remove(c)
		detail = "the caller gave up while it was looked at, before it could be said what comes of it; ask again"
	}
	c.finish(core.Answer{Fault: &message.Fault{Code: message.CodeCommitUnknown, Detail: detail}})
	return nil
}
