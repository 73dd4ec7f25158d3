package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// reopen ends a session that failed and opens the shard again, as often as it
// takes. Units in question are settled by the version that Open returns: those
// up to it were committed, the others never will be. It reports false when the
// engine stops.
func (sh *shard) reopen(cause error) bool {
	e := sh.engine
	if e.ctx.Err() != nil {
		return false
	}
	sh.failure.Store(&cause)
	if errors.Is(cause, store.ErrBroken) {
		e.broken(fmt.Errorf("shard %d: %w", sh.id, cause))
		<-e.ctx.Done() // nothing is acknowledged any more
		return false
	}
	e.cfg.Logger.Error("a shard is opened again", "shard", sh.id, "cause", cause)

	close(sh.flights)
	<-sh.acked
	flights, open, calls := sh.inFlight, sh.held, sh.calls.takeAll()
	sh.life++
	if s := sh.session(); s != nil {
		if err := s.Close(); err != nil {
			e.cfg.Logger.Warn("closing a failed session", "shard", sh.id, "error", err)
		}
	}
	// What was not committed is certainly not done: the open unit, and the
	// calls that the machine had not executed.
	notDone := core.Answer{Fault: &message.Fault{
		Code: message.CodeStoreUnavailable, Detail: "the store refused or lost the commit, and the call was not executed; try again",
	}}
	for _, a := range open.answers {
		callOf(a.Caller).finish(notDone)
	}
	for _, c := range calls {
		if c.caller.InFlight() {
			c.finish(core.Answer{Fault: &message.Fault{Code: message.CodeInFlight, Detail: "it was accepted and goes on; ask again with the same key"}})
		} else {
			c.finish(notDone)
		}
	}
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		rec, err := sh.openSession(e.ctx)
		if err == nil {
			sh.settle(flights, rec.Version.Seq, notDone)
			flights = nil
			err = sh.begin(rec)
		}
		if err == nil {
			sh.failure.Store(nil)
			return true
		}
		if errors.Is(err, store.ErrBroken) {
			e.broken(fmt.Errorf("shard %d: %w", sh.id, err))
		}
		e.cfg.Logger.Error("a shard cannot be opened", "shard", sh.id, "error", err)
		sh.failure.Store(&err)
		if !sh.refuseFor(wait, err) {
			// The store never said: nobody knows.
			sh.settleUnknown(flights)
			sh.flights = make(chan *flight) // for loop to close
			return false
		}
	}
}

// settle answers what waited for units in question. Effect calls are left to
// the new machine, which finds them in the store.
func (sh *shard) settle(flights []*flight, committed message.Seq, notDone core.Answer) {
	for _, f := range flights {
		for _, a := range f.held.answers {
			if f.seq <= committed {
				callOf(a.Caller).finish(a.Answer)
			} else {
				callOf(a.Caller).finish(notDone)
			}
		}
	}
}

func (sh *shard) settleUnknown(flights []*flight) {
	for _, f := range flights {
		for _, a := range f.held.answers {
			callOf(a.Caller).finish(core.Answer{Fault: &message.Fault{
				Code: message.CodeCommitUnknown, Detail: "the store did not say whether the commit happened; ask again with the same key",
			}})
		}
	}
}

// refuseFor answers calls that come while the shard is down, for a while. It
// reports false when the engine stops.
func (sh *shard) refuseFor(wait time.Duration, cause error) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		for _, ev := range sh.queue.take(nil) {
			if ev.call != nil {
				ev.call.finish(core.Answer{Fault: &message.Fault{Code: message.CodeStoreUnavailable, Detail: "the shard is down: " + cause.Error()}})
			}
		}
		if !sh.queue.sleep(true) {
			continue
		}
		select {
		case <-sh.queue.wake:
		case <-timer.C:
			return true
		case <-sh.engine.ctx.Done():
			return false
		}
	}
}
