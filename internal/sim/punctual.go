package sim

import (
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// What is due is done soon. A wake-up that is lost shows nowhere else: the next
// turn of a generation, or whatever comes from outside, makes up for it.

// lateBound is how late a session that is well is with what is due, at most.
const lateBound = 150 * time.Millisecond

// lastFailure is when, and in which session, a step failed last.
type lastFailure struct {
	x  *session
	at message.Time
}

// checkPunctual judges what runs now and was due at a time of the machine's.
func (s *Sim) checkPunctual(what string, a message.Agent, due message.Time) {
	x := s.running
	late := x.clock() - due
	if late <= message.Time(lateBound) || s.chaos.on[Delay] || s.backwards[x.id] {
		return
	}
	if at := due - x.offset; x.began <= at && x.p.n.well <= at && x.p.slowTo <= at && x.tried <= at {
		s.failf("%s of %s is %v late, and node %d was well", what, a, time.Duration(late), x.p.n.id)
	}
}

// failedStep notes that a step failed of a message that only the machine tries
// again.
func (s *Sim) failedStep(k name) { s.failedAt[k] = lastFailure{s.running, s.running.clock()} }

// checkRetry: the machine tries again what failed, after a pause, unless the
// agent was held meanwhile, or the message died of it.
func (s *Sim) checkRetry(st *core.Step, k name) {
	f, ok := s.failedAt[k]
	a := st.Message().To
	if ok && f.x == s.running && s.failures[k] < s.cfg.MaxAttempts && s.heldTo[a.ID] <= f.at {
		s.checkPunctual("a retry", a, f.at+message.Time(s.cfg.BackoffMax))
	}
}
