package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// errLapsed ends a session whose node could not renew its lease.
var errLapsed = errors.New("the node's lease is over")

// errElsewhere is why a shard of another node is down.
var errElsewhere = errors.New("another node has the shard, or is about to have it")

var elsewhere = core.Answer{Fault: &message.Fault{
	Code: message.CodeElsewhere, Detail: "another node has the agent's shard, or is about to have it; nothing was accepted here",
}}

// disown takes back what a machine says of itself, without a commit that proves
// that the shard is its node's still: another node may have gone on. What was
// recorded as settled stays true; what was accepted, the next node knows.
func disown(answers []core.AnswerTo) {
	for i := range answers {
		switch to := &answers[i]; {
		case to.Answer.Replayed && to.Answer.Outcome != nil && to.Answer.Outcome.Status.Settled():
		case ofBefore(to):
			to.Answer = commitUnknown
		default:
			to.Answer = elsewhere
		}
	}
}

// untilMine is how long a shard of another node is waited for: its loop is woken
// when it is this node's.
const untilMine = 1000 * time.Hour

// isElsewhere says whether another node is to be asked.
func isElsewhere(f *message.Fault) bool { return f != nil && f.Code == message.CodeElsewhere }

// take begins the loop's duty. clean says that the last holder left nothing
// under way; what this node did since is not forgotten.
func (sh *shard) take(clean bool) {
	if !clean {
		sh.clean.Store(false)
	}
	sh.term.Add(1)
	sh.duty.Store(int32(dutyOwn))
	sh.queue.wakeUp()
}

// giveAway has the loop bring the shard to rest.
func (sh *shard) giveAway() {
	if sh.duty.CompareAndSwap(int32(dutyOwn), int32(dutyGive)) {
		sh.queue.wakeUp()
	}
}

// dismiss tells the loop that the shard is not the node's.
func (sh *shard) dismiss() {
	sh.clean.Store(true) // of what comes after it, the next claim tells
	if sh.duty.Swap(int32(dutyAway)) != int32(dutyAway) {
		sh.queue.wakeUp()
	}
}

// leftAs says how the loop left the shard, unless it was dismissed.
func (sh *shard) leftAs(d duty) {
	if sh.tenancy == nil {
		return
	}
	if d == dutyLeft {
		sh.clean.Store(false)
	}
	if !sh.duty.CompareAndSwap(int32(dutyOwn), int32(d)) {
		sh.duty.CompareAndSwap(int32(dutyGive), int32(d))
	}
	sh.tenancy.hurry()
}

// mine says whether the shard's machine may work: always, unless the store is
// shared. Whoever asks it afterwards knows what was so before.
func (sh *shard) mine() bool {
	return sh.tenancy == nil || sh.isHeld() && sh.ran.Load() == sh.term.Load() && !sh.lapsed.Load()
}

// isHeld says whether the node holds the shard.
func (sh *shard) isHeld() bool {
	d := duty(sh.duty.Load())
	return (d == dutyOwn || d == dutyGive) && sh.tenancy.valid()
}

// onItsWay says whether another node is to have the shard soon.
func (sh *shard) onItsWay() bool {
	return sh.leaving || sh.tenancy != nil && sh.engine.closing()
}

// giving says whether the shard is to be brought to rest for another node.
func (sh *shard) giving() bool { return duty(sh.duty.Load()) == dutyGive }

// away answers for a shard that is not the node's, until it is. It reports false
// when the engine stops.
func (sh *shard) away() bool {
	e := sh.engine
	for !e.closing() {
		if !sh.isHeld() {
			sh.setDown(errElsewhere)
			if !sh.refuseFor(untilMine, elsewhere, nil) {
				break
			}
			continue
		}
		err := sh.takeOver()
		if err == nil {
			sh.failure.Store(nil)
			return true
		}
		if errors.Is(err, store.ErrBroken) {
			e.broken(fmt.Errorf("shard %d: %w", sh.id, err))
		}
		e.cfg.Logger.Error("a shard cannot be opened", "shard", sh.id, "error", err)
		sh.setDown(err)
		sh.failed(err, 0, sh.now())
		if !sh.refuseFor(sh.wait(), sh.whileDown(err), nil) {
			break
		}
	}
	sh.setDown(errElsewhere)
	sh.rest()
	for sh.refuseFor(time.Hour, elsewhere, nil) {
	}
	return false
}

// takeOver opens a shard that another node may have had, and starts a machine.
func (sh *shard) takeOver() error {
	e, term := sh.engine, sh.term.Load()
	if _, err := sh.openSession(e.ctx); err != nil {
		return err
	}
	rec, err := sh.recovered(e.ctx)
	if err == nil {
		rec.Unclean, rec.Calling = !sh.clean.Load(), e.calling.called()
		err = sh.begin(rec)
	}
	if err != nil {
		return errors.Join(err, sh.session().Close())
	}
	sh.clean.Store(false)
	sh.ran.Store(term)
	sh.startAcker()
	// Hints that the last node owed the shards here are made up for.
	for dst := range e.shards {
		e.hintHere(sh.id, []message.Shard{message.Shard(dst)})
	}
	return nil
}

// leave ends the session of a shard that is not the node's any more, or that is
// at rest. What it was asked and did not answer, the next holder knows.
func (sh *shard) leave(lost *lostSession, as duty) {
	for _, f := range lost.flights {
		f.held.finish(commitUnknown)
	}
	sh.jobsOver(sh.jobs) // their results come too late to be recorded here
	if err := sh.session().Close(); err != nil {
		sh.engine.cfg.Logger.Warn("closing a session", "shard", sh.id, "error", err)
	}
	sh.machine, sh.forgot = nil, sh.life
	sh.flights = make(chan *flight) // for loop to close
	sh.closing, sh.leaving, sh.stopping = false, false, false
	sh.leftAs(as)
}

// handAway leaves a shard that is at rest.
func (sh *shard) handAway() {
	sh.reign.Add(1)
	close(sh.flights)
	<-sh.acked
	sh.life++
	sh.engine.leaveTrial(sh)
	sh.leave(&lostSession{}, dutyRested)
	sh.engine.cfg.Logger.Info("a shard was given away", "shard", sh.id)
}
