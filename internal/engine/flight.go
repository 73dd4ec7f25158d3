package engine

import (
	"fmt"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// held is what waits for a unit to be durable.
type held struct {
	answers []core.AnswerTo
	jobs    []core.EffectJob
	wakes   []message.Shard // to tell when the unit is durable, if the store shows it no earlier
}

// flight is a unit on its way to being durable.
type flight struct {
	seq     message.Seq
	number  uint64 // of the window
	pending store.Pending
	began   time.Time // when it was submitted
	held    held
	err     error // as the store said; it is read only of flights that were not acknowledged
}

// worthwhile is the size of a unit, in bytes, from which it is submitted while
// others are in flight. A smaller one gains by waiting: what gathers meanwhile
// shares its commit, and where shards share a log, its sync (see syncWindow).
const worthwhile = 256 << 10

// mayCommit says whether the open unit may be submitted now.
func (sh *shard) mayCommit() bool {
	n := sh.inFlightUnits()
	if sh.machine.Bytes() >= worthwhile {
		return n < sh.engine.profile.UnitsInFlight
	}
	open := sh.engine.window.open(sh) // it asks, even while a unit of its own is in flight
	return n == 0 && open
}

// commitNow submits the open unit.
func (sh *shard) commitNow() error {
	if err := sh.perform(); err != nil {
		return err
	}
	if sh.machine.HasUnit() {
		sh.commit()
	}
	return nil
}

// commitFull commits a unit that has grown to its bound, after waiting for
// room in flight: what is in the queue waits too, and new calls are refused
// when too many do.
func (sh *shard) commitFull() error {
	for sh.inFlightUnits() >= sh.engine.profile.UnitsInFlight {
		if err := sh.awaitAck(); err != nil {
			return err
		}
	}
	return sh.commitNow()
}

func (sh *shard) inFlightUnits() int {
	return int(sh.machine.Sealed() - message.Seq(sh.durable.Load()))
}

// awaitAck waits until a unit was acknowledged or failed.
func (sh *shard) awaitAck() error {
	before := sh.durable.Load()
	for sh.durable.Load() == before {
		if err := sh.ackFailure(); err != nil {
			return err
		}
		if err := sh.engine.ctx.Err(); err != nil {
			return err
		}
		sh.wantsAck.Store(true)
		if sh.durable.Load() != before {
			break
		}
		select {
		case <-sh.queue.wake:
		case <-sh.engine.ctx.Done():
		}
	}
	sh.machine.Committed(message.Seq(sh.durable.Load()))
	return nil
}

// letGo lets answers and effect calls go at once if the unit that they wait
// for is durable, else with its acknowledgement.
func (sh *shard) letGo(after message.Seq, h held) {
	if after > sh.machine.Sealed() {
		sh.held.add(h)
		return
	}
	if after > message.Seq(sh.durable.Load()) {
		sh.ackMu.Lock()
		for _, f := range sh.inFlight {
			if f.seq >= after {
				f.held.add(h)
				sh.ackMu.Unlock()
				return
			}
		}
		sh.ackMu.Unlock() // it was acknowledged meanwhile
	}
	if !sh.mine() {
		disown(h.answers)
	}
	sh.release(&h)
}

func (h *held) add(more held) {
	h.answers = append(h.answers, more.answers...)
	h.jobs = append(h.jobs, more.jobs...)
}

// answerAt answers a call that the machine knows nothing of.
func (sh *shard) answerAt(after message.Seq, c *call, a core.Answer) {
	sh.calls.remove(c)
	sh.letGo(after, held{answers: []core.AnswerTo{{After: after, Caller: &c.caller, Answer: a}}})
}

// commit seals the open unit and submits it.
func (sh *shard) commit() {
	before := sh.machine.Counters().UnitBytes
	u := sh.machine.Seal()
	sh.stats.units.observe(int64(sh.machine.Counters().UnitBytes-before), unitSizes, 1)
	f := &flight{number: sh.engine.window.submit(sh), seq: u.Version.Seq, held: sh.held, began: time.Now()}
	wakes := sh.machine.TakeWakes()
	sh.held = sh.spareHeld()
	sh.submitted.Store(uint64(f.seq)) // first: reads may show the unit before Commit returns
	f.pending = sh.session().Commit(sh.engine.ctx, u)
	if sh.engine.profile.LocalReads {
		sh.engine.hint(sh.id, wakes) // a unit is visible once it was submitted
	} else {
		f.held.wakes = append(f.held.wakes, wakes...)
	}
	sh.ackMu.Lock()
	sh.inFlight = append(sh.inFlight, f)
	sh.ackMu.Unlock()
	sh.flights <- f
}

// ack waits for commits in their order and lets go of what waited for them.
func (sh *shard) ack(flights <-chan *flight, done chan<- struct{}) {
	defer sh.engine.running.Done()
	defer close(done)
	for f := range flights {
		err := f.pending.Wait()
		sh.ackMu.Lock()
		f.err = err
		if err != nil && sh.broke == nil {
			sh.broke = fmt.Errorf("unit %d: %w", f.seq, err)
		}
		if sh.broke != nil {
			sh.ackMu.Unlock() // no later unit can be durable without this one
			sh.engine.window.land(f.number)
			sh.queue.wakeUp()
			continue
		}
		sh.stats.commits.observe(int64(time.Since(f.began)), commitTimes, 1e-9)
		sh.durable.Store(uint64(f.seq))
		sh.inFlight = sh.inFlight[1:]
		sh.ackMu.Unlock()
		sh.engine.window.land(f.number) // before callers are answered, who are about to push more
		sh.engine.feed.tell()
		if sh.wantsAck.Swap(false) {
			sh.queue.wakeUp()
		}
		sh.release(&f.held)
		sh.giveBack(f.held)
	}
}

// spareHeld returns an empty held, with the room of one that was let go.
func (sh *shard) spareHeld() held {
	select {
	case h := <-sh.spare:
		return h
	default:
		return held{}
	}
}

func (sh *shard) giveBack(h held) {
	clear(h.answers)
	clear(h.jobs)
	if cap(h.answers) > 1<<14 {
		return
	}
	select {
	case sh.spare <- held{answers: h.answers[:0], jobs: h.jobs[:0]}:
	default:
	}
}

func (sh *shard) ackFailure() error {
	sh.ackMu.Lock()
	defer sh.ackMu.Unlock()
	return sh.broke
}

// release lets go: everything in h is allowed now.
func (sh *shard) release(h *held) {
	for i := range h.jobs {
		sh.startEffect(h.jobs[i])
	}
	for i := range h.answers {
		callOf(h.answers[i].Caller).finish(h.answers[i].Answer)
	}
	if len(h.wakes) > 0 {
		sh.engine.hint(sh.id, h.wakes)
	}
}
