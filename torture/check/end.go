package check

import "strings"

// clientFile is how the names of clients' files begin.
const clientFile = "client-"

// restarted judges that the server was ready again after each kill. The evidence
// is the last thing that it said.
func (j *judge) restarted() {
	if !strings.Contains(j.h.manifest.Failed, FailedRestart) {
		return
	}
	var last *request
	for _, r := range j.h.requests {
		if r.status != 0 && (last == nil || r.ret > last.ret) {
			last = r
		}
	}
	var lines []place
	if last != nil {
		lines = []place{last.callAt, last.retAt}
	}
	j.found(CodeServerLost, lines, "%s", j.h.manifest.Failed)
}

// atTheEnd judges that nothing is undecided (rule 6), and that everything that
// was decided was asked for once more after all that happened.
func (j *judge) atTheEnd() {
	for _, e := range j.h.left {
		switch e.Type {
		case Doubt:
			j.found(CodeDoubtLeft, []place{e.place}, "the doubt %s is not settled", e.EffectKey)
		case Dead:
			j.found(CodeDeadLeft, []place{e.place}, "a dead letter of %s is left", e.Agent)
		case Open:
			j.found(CodeTransactionLeft, []place{e.place}, "the transaction %s is not over: %s", e.Tx, e.Text)
		}
	}
	if !j.h.manifest.Finished {
		return // there was no end
	}
	j.drained()
	calm, last := j.h.calm()
	if e := j.h.looked; e == nil || e.At < calm-maxSkew {
		j.flaw(CodeDrainMissing, lastLines(last, e), "nobody has looked for doubts and dead letters after the last fault")
	}
	for _, o := range j.h.order {
		if o.kind != OpRead && o.first != nil && !o.again(calm) {
			j.flaw(CodeAgainMissing, append(decisionLines(o), lastLines(last)...), "%s was decided, and was not answered again after the last fault", o)
		}
	}
}

// drained judges that every key was sent until it was decided.
func (j *judge) drained() {
	drained := make(map[int32]bool)
	said := 0
	for _, e := range j.h.drains {
		drained[e.file] = true
		said += e.Left
	}
	for i, name := range j.h.files {
		if strings.HasPrefix(name, clientFile) && !drained[int32(i)] {
			j.flaw(CodeDrainMissing, []place{{int32(i), 1}}, "%s does not say that every undecided key was sent again", name)
		}
	}
	open := 0
	for _, o := range j.h.order {
		if o.kind == OpRead || o.kind == OpMalformed || o.first != nil {
			continue
		}
		open++
		if !o.refusedForGood() {
			last := o.requests[len(o.requests)-1]
			j.found(CodeDrainIncomplete, []place{o.begun().callAt, last.callAt, last.retAt}, "%s was never decided", o)
		}
	}
	if said > open {
		j.found(CodeDrainIncomplete, places(j.h.drains), "the clients gave up %d keys, and only of %d does the history say so", said, open)
	}
}

// lastLines are where those of the events are that there are.
func lastLines(events ...*event) (all []place) {
	for _, e := range events {
		if e != nil {
			all = append(all, e.place)
		}
	}
	return all
}

// again says whether the key was sent once more, after a moment, at the end, and
// decided then.
func (o *operation) again(after int64) bool {
	for _, r := range o.requests {
		if r.phase == PhaseAgain && r.decided() && r.call >= after-maxSkew {
			return true
		}
	}
	return false
}
