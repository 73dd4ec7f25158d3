package engine

import (
	"slices"

	"github.com/semel-dev/semel/internal/core"
)

// Suspects of an unclean start run one at a time in the whole process, so that
// if it dies again, the one that was running is the one that did it.

// wantTrial asks for a shard's turn.
func (e *Engine) wantTrial(sh *shard) {
	e.trialMu.Lock()
	defer e.trialMu.Unlock()
	if e.trial != nil && e.trial != sh {
		if !slices.Contains(e.trials, sh) {
			e.trials = append(e.trials, sh)
		}
		return
	}
	e.grantTrial(sh)
}

// releaseTrial passes the turn on when the shard has no suspect on trial.
func (e *Engine) releaseTrial(sh *shard) {
	if sh.machine.OnTrial() {
		return
	}
	e.passTrial(sh)
}

// passTrial passes the turn on if the shard has it.
func (e *Engine) passTrial(sh *shard) {
	e.trialMu.Lock()
	defer e.trialMu.Unlock()
	if e.trial != sh {
		return
	}
	e.trial = nil
	if len(e.trials) > 0 {
		next := e.trials[0]
		e.trials = e.trials[1:]
		e.grantTrial(next)
	}
}

// leaveTrial lets the others have their turns while the shard is down.
func (e *Engine) leaveTrial(sh *shard) {
	e.trialMu.Lock()
	e.trials = slices.DeleteFunc(e.trials, func(o *shard) bool { return o == sh })
	e.trialMu.Unlock()
	e.passTrial(sh)
}

// hasTrial says whether it is the shard's turn.
func (e *Engine) hasTrial(sh *shard) bool {
	e.trialMu.Lock()
	defer e.trialMu.Unlock()
	return e.trial == sh
}

func (e *Engine) grantTrial(sh *shard) {
	e.trial = sh
	sh.queue.push(event{run: func(m *core.Shard) {
		if e.hasTrial(sh) { // it may have gone down meanwhile
			m.TrialGranted(sh.now())
		}
	}})
}
