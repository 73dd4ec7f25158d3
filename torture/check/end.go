package check

import "strings"

// clientFile is how the names of clients' files begin.
const clientFile = "client-"

// atTheEnd judges that nothing is undecided (rule 6), and that everything that
// was decided was asked for once more after all that happened.
func (j *judge) atTheEnd() {
	drained := make(map[string]*event)
	for _, e := range j.h.drains {
		drained[j.h.files[e.file]] = e
	}
	for i, name := range j.h.files {
		if strings.HasPrefix(name, clientFile) && drained[name] == nil {
			j.found(CodeDrainMissing, []place{{int32(i), 1}}, "%s does not say that every undecided key was sent again", name)
		}
	}
	if !j.h.looked {
		j.found(CodeDrainMissing, nil, "nobody has looked for doubts and dead letters at the end")
	}
	for _, o := range j.h.order {
		switch {
		case o.kind == OpRead:
		case o.undecided():
			last := o.requests[len(o.requests)-1]
			j.found(CodeDrainIncomplete, []place{o.begun().callAt, last.callAt, last.retAt}, "%s was never decided", o)
		case o.first != nil && !o.again():
			j.found(CodeAgainMissing, decisionLines(o), "%s was decided, and nobody asked at the end whether it still is", o)
		}
	}
	for _, e := range j.h.left {
		if e.Type == Doubt {
			j.found(CodeDoubtLeft, []place{e.place}, "the doubt %s is not settled", e.EffectKey)
		} else {
			j.found(CodeDeadLeft, []place{e.place}, "a dead letter of %s is left", e.Agent)
		}
	}
}

// again says whether the key was sent once more at the end, and decided then.
func (o *operation) again() bool {
	for _, r := range o.requests {
		if r.phase == PhaseAgain && r.decided() {
			return true
		}
	}
	return false
}
