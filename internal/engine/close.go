package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

const (
	// waitersGrace is how long callers may go on waiting while the engine
	// closes and no effect is under way: long enough for an answer that only
	// needs other agents, and no longer, because what they wait for may be a
	// timer or a person.
	waitersGrace = time.Second
	// stopGrace is how long Close waits, after its context has ended, for what
	// was told to stop.
	stopGrace = 500 * time.Millisecond
)

// Close takes no more calls and begins no more effects, waits until the calls
// under way are answered, the effects under way have returned and what they
// said is recorded, and closes the store. Effects that were asked for and not
// begun are called after the next start. A caller that waits for something
// which does not come soon is told that its message goes on.
//
// When ctx ends first, whatever still runs is cancelled and no longer waited
// for, and the error names it. Another Close waits for the first one and
// returns what it does.
func (e *Engine) Close(ctx context.Context) error {
	was := e.state.Swap(stateClosing)
	if was == stateClosing {
		select {
		case <-e.closed:
			return e.closeErr
		case <-ctx.Done():
			return fmt.Errorf("another Close is under way: %w", ctx.Err())
		}
	}
	e.feed.tell() // that it ends
	e.cluster.resign()
	var errs []error
	if was == stateStarted {
		errs = append(errs, e.drain(ctx))
	}
	e.stop()
	late := make(chan struct{})
	finished := make(chan error, 1)
	go func() { finished <- e.finish(was != stateOpen, late) }()
	select {
	case err := <-finished:
		errs = append(errs, err)
	case <-ctx.Done():
		timer := time.AfterFunc(stopGrace, func() { close(late) })
		defer timer.Stop()
		select {
		case err := <-finished:
			errs = append(errs, err)
		case <-time.After(2 * stopGrace):
			errs = append(errs, errors.New("something that was told to stop does not; the store is closed when it has"))
		}
	}
	if running := e.calling.names(); len(running) > 0 {
		errs = append(errs, fmt.Errorf("these still run, their results are lost, and the effects' policies decide what becomes of them: %s", strings.Join(running, ", ")))
	}
	e.closeErr = errors.Join(errs...)
	close(e.closed)
	return e.closeErr
}

// drain brings the engine to rest. First no effect is begun any more, what is
// under way ends and callers are answered; only then do the loops stop to take
// messages from each other, because callers may wait for those.
func (e *Engine) drain(ctx context.Context) error {
	unfinished := func(err error) error {
		return fmt.Errorf("closed before everything under way was finished (%s): %w", e.underWay(), err)
	}
	e.nudge()
	var grace <-chan time.Time
	for {
		switch {
		case slices.ContainsFunc(e.shards, func(sh *shard) bool { return !sh.quiesced.Load() }) || e.jobs.Load() > 0: // in this order: a quiesced loop begins none
			grace = nil
		case e.inFlight.Load() == 0:
			return e.settleLoops(ctx, unfinished)
		case grace == nil:
			grace = time.After(waitersGrace)
		}
		select {
		case <-e.idle:
		case <-grace:
			grace = nil
			for _, sh := range e.shards {
				sh.queue.push(event{run: func(*core.Shard) { sh.cancelAll() }})
			}
		case <-ctx.Done():
			return unfinished(ctx.Err())
		case <-e.ctx.Done():
			return unfinished(errors.New("the storage device failed"))
		}
	}
}

// settleLoops waits until each loop has made durable what it knows.
func (e *Engine) settleLoops(ctx context.Context, unfinished func(error) error) error {
	e.stopping.Store(true)
	e.nudge()
	var errs []error
	for _, sh := range e.shards {
		select {
		case <-sh.atRest:
			if err := sh.trouble(); err != nil {
				errs = append(errs, fmt.Errorf("shard %d was down when the engine closed: %w", sh.id, err))
			}
		case <-ctx.Done():
			return unfinished(ctx.Err())
		case <-e.ctx.Done():
			return unfinished(errors.New("the storage device failed"))
		}
	}
	return errors.Join(errs...)
}

// finish closes the store when nothing uses it any more, or when it is late:
// then whoever comes back finds it closed.
func (e *Engine) finish(started bool, late <-chan struct{}) error {
	if started {
		<-e.startEnded
	}
	ended := make(chan struct{})
	go func() { e.running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-late:
	}
	timer := time.NewTimer(stopGrace) // their results come too late to be recorded
	defer timer.Stop()
	select {
	case <-e.calling.none():
	case <-timer.C:
	case <-late:
	}
	var errs []error
	for _, sh := range e.shards {
		if s := sh.session(); s != nil {
			errs = append(errs, s.Close())
		}
	}
	errs = append(errs, e.cluster.leave())
	return errors.Join(append(errs, e.store.Close())...)
}

// closing says whether new work is refused for good.
func (e *Engine) closing() bool { return e.state.Load() == stateClosing }

// nudge makes every loop look at what it is told.
func (e *Engine) nudge() {
	for _, sh := range e.shards {
		sh.queue.push(event{run: func(*core.Shard) {}})
	}
}

// progress tells a drain that something it waits for may have come.
func (e *Engine) progress() {
	select {
	case e.idle <- struct{}{}:
	default:
	}
}

// underWay says what a drain still waits for.
func (e *Engine) underWay() string {
	what := []string{fmt.Sprintf("%d calls", max(e.inFlight.Load(), 0))}
	what = append(what, e.calling.names()...)
	for _, sh := range e.shards {
		if err := sh.trouble(); err != nil {
			what = append(what, fmt.Sprintf("shard %d, which is down: %v", sh.id, err))
		}
	}
	return strings.Join(what, ", ")
}

// quiesce begins no more effects while the engine closes, or the shard is given
// away. It runs on the loop.
func (sh *shard) quiesce() {
	giving := sh.giving()
	if !sh.closing && (giving || sh.engine.closing()) {
		sh.closing = true
		sh.machine.Quiesce()
	}
	if giving && !sh.leaving && sh.jobs == 0 {
		// Whoever waits for what does not come any more here asks the next node.
		sh.leaving = true
		sh.cancelAll()
	}
}

// quieten says, after a turn, how far the loop is with closing. It reports true
// when the loop has nothing left to do.
func (sh *shard) quieten() bool {
	if !sh.closing {
		return false
	}
	// Every effect that was begun is counted by now, and no other will be.
	if !sh.quiesced.Swap(true) {
		sh.engine.progress()
	}
	m := sh.machine
	return sh.stopping && sh.queue.empty() && !m.Busy() && uint64(m.Sealed()) == sh.durable.Load()
}

// rest says that Close need not wait for the loop.
func (sh *shard) rest() {
	if sh.resting {
		return
	}
	sh.resting = true
	sh.quiesced.Store(true)
	sh.jobsOver(sh.jobs)
	close(sh.atRest)
	sh.engine.progress()
}

// turnAway answers, while the loop comes to rest, that no messages of others
// and no timers are there: they wait in the store for the next start. It
// returns the reads that must be made.
func (sh *shard) turnAway(loads []*core.Load, pulls []message.Cursor) (rest []*core.Load, err error) {
	now := sh.now()
	for _, l := range loads {
		if l.Due == nil {
			rest = append(rest, l)
		} else if err := sh.machine.DueLoaded(now, l, nil, nil); err != nil {
			return nil, err
		}
	}
	for _, c := range pulls {
		if err := sh.machine.Delivered(now, c.Source, nil); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// cancelAll takes back every caller that waits for an agent or an outcome; the
// others wait for a read, and are answered when it ends. It runs on the loop.
// A call that was answered may serve another already, so each is looked at
// before the first answer leaves.
func (sh *shard) cancelAll() {
	now := sh.now()
	for _, c := range sh.calls.all() {
		sh.machine.Cancel(now, &c.caller)
	}
	if err := sh.perform(); err != nil {
		sh.readFailed(err)
	}
}

// calling is the set of effects whose functions run.
type calling struct {
	mu    sync.Mutex
	jobs  map[*core.EffectJob]struct{}
	empty chan struct{} // closed by the last one to leave; nil unless awaited
}

func (c *calling) add(j *core.EffectJob) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.jobs == nil {
		c.jobs = make(map[*core.EffectJob]struct{})
	}
	c.jobs[j] = struct{}{}
}

func (c *calling) remove(j *core.EffectJob) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.jobs, j)
	if len(c.jobs) == 0 && c.empty != nil {
		close(c.empty)
		c.empty = nil
	}
}

// called are the effects that are called, and not only probed.
func (c *calling) called() map[message.ID]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make(map[message.ID]bool)
	for j := range c.jobs {
		if !j.Probe {
			ids[j.ID] = true
		}
	}
	return ids
}

// none is closed when none runs.
func (c *calling) none() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.empty == nil {
		c.empty = make(chan struct{})
	}
	empty := c.empty
	if len(c.jobs) == 0 {
		close(c.empty)
		c.empty = nil
	}
	return empty
}

// namesShown keeps an error readable.
const namesShown = 8

func (c *calling) names() (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for j := range c.jobs {
		names = append(names, fmt.Sprintf("effect %q (%s) of %s", j.Name, j.ID, j.Agent))
	}
	slices.Sort(names)
	if n := len(names) - namesShown; n > 0 {
		names = append(names[:namesShown], fmt.Sprintf("and %d more", n))
	}
	return names
}
