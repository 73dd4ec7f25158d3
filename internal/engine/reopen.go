package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

var (
	// What was not committed is certainly not done: the open unit, the units
	// that the store refused, and the calls that the machine had not executed.
	notDone = core.Answer{Fault: &message.Fault{
		Code: message.CodeStoreUnavailable, Detail: "the store refused or lost the commit, and the call was not executed; try again",
	}}
	commitUnknown = core.Answer{Fault: &message.Fault{
		Code: message.CodeCommitUnknown, Detail: "the store did not say whether the commit happened; ask again with the same key",
	}}
)

// reopen ends a session that failed and opens the shard again, as often as it
// takes. It reports false when the engine stops.
func (sh *shard) reopen(cause error) bool {
	e := sh.engine
	if e.ctx.Err() != nil {
		return false
	}
	sh.setDown(cause)
	if errors.Is(cause, store.ErrBroken) {
		e.broken(fmt.Errorf("shard %d: %w", sh.id, cause))
		<-e.ctx.Done() // nothing is acknowledged any more
		return false
	}
	if sh.tenancy != nil && (errors.Is(cause, store.ErrFenced) || !sh.mine()) {
		e.cfg.Logger.Warn("a shard is left to another node", "shard", sh.id, "cause", cause)
	} else {
		e.cfg.Logger.Error("a shard is opened again", "shard", sh.id, "cause", cause)
	}

	sh.reign.Add(1)
	close(sh.flights)
	<-sh.acked
	lost := &lostSession{
		machine: sh.machine, epoch: sh.session().Version().Epoch, alone: true,
		flights: sh.inFlight, uncalled: make(map[message.ID]int),
	}
	sh.life++
	e.leaveTrial(sh)
	sh.giveUpOpen()
	sh.settle(lost, nil)
	sh.failed(cause, message.Seq(sh.durable.Load()), sh.now())

	var kept []event
	for {
		if sh.tenancy != nil && (errors.Is(cause, store.ErrFenced) || !sh.mine()) {
			sh.leave(lost, dutyLeft)
			return true
		}
		last := e.closing() // then a few more attempts are made: what is known should be recorded
		if last && sh.tries > closingTries {
			break
		}
		if wait := sh.wait(); wait > 0 && !last {
			running := sh.refuseFor(wait, sh.whileDown(cause), &kept)
			if !running {
				break
			}
			last = e.closing()
		}
		if err := sh.takeUp(lost); err != nil {
			cause = err
		} else {
			sh.queue.putBack(kept)
			sh.failure.Store(nil)
			return true
		}
		if errors.Is(cause, store.ErrBroken) {
			e.broken(fmt.Errorf("shard %d: %w", sh.id, cause))
		}
		e.cfg.Logger.Error("a shard cannot be opened", "shard", sh.id, "error", cause)
		sh.setDown(cause)
		sh.failed(cause, 0, sh.now())
		if last {
			break
		}
	}
	// The store never said: nobody knows.
	for _, f := range lost.flights {
		f.held.finish(commitUnknown)
	}
	sh.rest()
	for sh.refuseFor(time.Hour, isDown(cause), &kept) {
	}
	sh.flights = make(chan *flight) // for loop to close
	return false
}

// lostSession is what is left of a session that failed.
type lostSession struct {
	machine  *core.Shard
	epoch    message.Epoch // of the last session that we had
	alone    bool          // nobody else had one since the machine's
	flights  []*flight     // whose fate is not known
	uncalled map[message.ID]int
}

// takeUp opens the shard, settles what is in question and starts a machine.
func (sh *shard) takeUp(lost *lostSession) error {
	e := sh.engine
	if s := sh.session(); s != nil {
		if err := s.Close(); err != nil {
			e.cfg.Logger.Warn("closing a failed session", "shard", sh.id, "error", err)
		}
	}
	former := sh.session()
	v, err := sh.openSession(e.ctx)
	if err != nil {
		return err
	}
	if s, ok := sh.session().(store.Successor); ok {
		lost.alone = lost.alone && former != nil && s.Follows(former)
	} else {
		lost.alone = lost.alone && v.Epoch == lost.epoch+1
	}
	lost.epoch = v.Epoch
	sh.settle(lost, &v)
	rec, err := sh.recovered(e.ctx)
	if err != nil {
		return err
	}
	rec.Calling = e.calling.called()
	uncalled := lost.uncalled
	if !lost.alone {
		uncalled = nil // somebody else may have called them
	}
	if err := lost.machine.HandOver(&rec, uncalled); err != nil {
		return err
	}
	if err := sh.begin(rec); err != nil {
		return err
	}
	sh.startAcker()
	return nil
}

// giveUpOpen answers the calls whose unit was never submitted.
func (sh *shard) giveUpOpen() {
	open, calls := sh.held, sh.calls.takeAll()
	sh.held = held{}
	open.finish(notDone)
	sh.jobsOver(len(open.jobs))
	// Every open row is durable if every unit is: else the row of this caller
	// may be among what is lost.
	durable := !sh.machine.HasUnit() && uint64(sh.machine.Sealed()) == sh.durable.Load()
	for _, c := range calls {
		switch {
		case !c.caller.InFlight():
			c.finish(notDone)
		case durable:
			c.finish(core.Answer{Fault: &message.Fault{Code: message.CodeInFlight, Detail: "it was accepted and goes on; ask again with the same key"}})
		default:
			c.finish(commitUnknown)
		}
	}
}

// settle answers what waited for units in question, as far as their fate is
// known. A definite answer of the store is the truth, and so it is for every
// unit behind a refused one: units follow each other without a gap. Of the
// others the version that the next Open returns decides: a unit that the shard
// never came to is not committed, and never will be; one that it came to is
// ours only if nobody else had the shard in between.
//
// Effects whose start turns out to be durable were never called: their jobs
// waited for just that.
func (sh *shard) settle(lost *lostSession, opened *message.Version) {
	var unknown []*flight
	refused := false
	for _, f := range lost.flights {
		refused = refused || definite(f.err)
		switch {
		case refused || opened != nil && f.seq > opened.Seq:
			f.held.finish(notDone)
		case f.err == nil || opened != nil && lost.alone:
			f.held.finish(core.Answer{})
			for _, j := range f.held.jobs {
				if !j.Probe {
					lost.uncalled[j.ID] = j.Attempt
				}
			}
			sh.engine.hint(sh.id, f.held.wakes)
		case opened != nil:
			f.held.finish(commitUnknown)
			sh.engine.hint(sh.id, f.held.wakes) // a false hint does no harm
		default:
			unknown = append(unknown, f)
			continue
		}
		sh.jobsOver(len(f.held.jobs))
	}
	lost.flights = unknown
}

// definite says whether the store's answer settles that a unit is not, and will
// not be, committed.
func definite(err error) bool {
	return errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrTooLarge) || errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrClosed) ||
		errors.Is(err, store.ErrUnavailable)
}

// finish answers who waits: as the machine did, unless a fault says otherwise.
// That the unit is lost says nothing of what happened before it.
func (h *held) finish(a core.Answer) {
	for i := range h.answers {
		to := &h.answers[i]
		switch {
		case a.Fault == nil:
			callOf(to.Caller).finish(to.Answer)
		case ofBefore(to):
			callOf(to.Caller).finish(commitUnknown)
		default:
			callOf(to.Caller).finish(a)
		}
	}
}

// ofBefore says whether an answer tells of more than the step whose unit it
// waits for: of a message that was accepted or executed earlier.
func ofBefore(to *core.AnswerTo) bool {
	f := to.Answer.Fault
	return to.Answer.Replayed || to.Caller.Accepted() || f != nil && f.Code.Kind() == message.Unknown
}

// isDown is the answer of a shard that is opened again.
func isDown(cause error) core.Answer {
	return core.Answer{Fault: &message.Fault{Code: message.CodeStoreUnavailable, Detail: "the shard is down: " + cause.Error()}}
}

// whileDown is what calls are told while the shard is opened again: in a cluster to
// ask another node, which may have it by then. What a failover has set back, no
// node runs.
func (sh *shard) whileDown(cause error) core.Answer {
	if sh.tenancy != nil && !errors.Is(cause, store.ErrLost) {
		return elsewhere
	}
	return isDown(cause)
}

// refuseFor answers calls that come while the shard is down, for a while, until
// the engine closes or the shard is this node's, and keeps what else comes if
// kept is not nil. It reports false when the engine stops.
func (sh *shard) refuseFor(wait time.Duration, a core.Answer, kept *[]event) bool {
	e := sh.engine
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		for _, ev := range sh.queue.take(nil) {
			switch {
			case ev.call == nil:
				if kept != nil && !sh.resting {
					*kept = append(*kept, ev)
				}
			case ev.msg == nil && ev.run == nil:
				ev.call.finish(commitUnknown)
			default:
				ev.call.finish(a)
			}
		}
		if e.closing() && !sh.resting {
			return e.ctx.Err() == nil
		}
		if wait == untilMine && sh.isHeld() {
			return true
		}
		if !sh.queue.sleep() {
			continue
		}
		select {
		case <-sh.queue.wake:
		case <-timer.C:
			return true
		case <-e.ctx.Done():
			return false
		}
	}
}

// attempts slows down the reopenings of a shard that comes no further.
type attempts struct {
	tries int          // failures since it last came further
	from  message.Seq  // where the present machine began, and when
	at    message.Time // zero while there is none
}

const (
	firstWait   = 10 * time.Millisecond
	longestWait = 5 * time.Second
	alarmAfter  = 8 // failures: a bit over a second
	// closingTries is how often a shard that comes no further is opened again
	// while the engine closes.
	closingTries = 3
	calmAfter    = message.Time(time.Minute)
)

func (a *attempts) began(seq message.Seq, now message.Time) { a.from, a.at = seq, now }

// wait is how long to wait before the next attempt.
func (a *attempts) wait() time.Duration {
	if a.tries < 2 {
		return 0
	}
	return min(firstWait<<min(a.tries-2, 20), longestWait)
}

// failed counts a failure, after the shard came to a sequence. A unit that is
// too large will be so again, however much else was committed in between.
func (sh *shard) failed(cause error, durable message.Seq, now message.Time) {
	a := &sh.attempts
	if a.at != 0 && (durable > a.from && !errors.Is(cause, store.ErrTooLarge) || now-a.at > calmAfter) {
		a.tries = 0
	}
	a.at = 0
	a.tries++
	if a.tries != alarmAfter {
		return
	}
	what := "see whether the store can be reached and is not open elsewhere; work goes on by itself when it can"
	switch {
	case errors.Is(cause, store.ErrLost):
		what = "nobody runs it before the units are back or a person has accepted that they are gone"
	case errors.Is(cause, store.ErrTooLarge):
		what = "one step writes more than the store's unit holds: make its messages and effects smaller, or the unit larger"
	}
	sh.engine.alarm(core.Alarm{Kind: core.AlarmShardDown, Detail: fmt.Sprintf("shard %d was opened %d times and comes no further: %v; %s", sh.id, a.tries, cause, what)})
}
