package saga

// place is where in a saga something failed.
type place int

const (
	beforePivot place = iota // or without one
	atPivot
	behindPivot
	compensation
)

// verdict is what follows from a failure.
type verdict int

const (
	tryAgain verdict = iota
	giveUp           // and compensate
	parkIt
)

// judge is the rule by which every failure is dealt with. more says whether the
// step's tries are not used up; timedOut, that it was withdrawn because its time
// was over.
//
// What may have happened is never tried again: a second try is another effect,
// with another key, and would happen besides the first.
func judge(at place, state State, timedOut, more bool) (v verdict, code string) {
	switch at {
	case behindPivot:
		switch {
		case state == Unknown:
			return parkIt, CodeUnknown
		case more:
			return tryAgain, ""
		}
		return parkIt, CodeStepFailing
	case compensation:
		switch {
		case state == Unknown:
			return parkIt, CodeUndoUnknown
		case more:
			return tryAgain, ""
		}
		return parkIt, CodeUndoFailing
	case atPivot:
		if state == Unknown {
			// If it happened, to undo what is before it would be wrong; if it did
			// not, so would going on. Only somebody who looks can say.
			return parkIt, CodePivotUnknown
		}
	}
	if state == NotDone && more && !timedOut {
		return tryAgain, ""
	}
	return giveUp, ""
}

// place is where the step's Do or Undo stands.
func (m *machine) place(i int, undo bool) place {
	switch {
	case undo:
		return compensation
	case i == m.r.Pivot:
		return atPivot
	case m.r.Pivot >= 0 && m.r.Steps[m.r.Pivot].Do.State == Done && i > m.r.Pivot:
		return behindPivot
	}
	return beforePivot
}

// failed deals with a Do or an Undo that is not done. It is true if that is
// tried again.
func (m *machine) failed(i int, undo bool) bool {
	s := &m.r.Steps[i]
	x := s.sideOf(undo)
	retry := m.p.steps[i].retryOf(undo)
	switch v, code := judge(m.place(i, undo), x.State, x.TimedOut, x.Tries < retry.Attempts); v {
	case tryAgain:
		m.again(i, undo)
		return true
	case giveUp:
		m.fail(stepFailure(s))
	case parkIt:
		m.park(s.Name, code, "%s", failedWords(s, undo))
	}
	return false
}

// stepFailure is why the saga fails with the step.
func stepFailure(s *stepRecord) Failure {
	x := &s.Do
	f := Failure{Step: s.Name, Code: x.Code, Detail: x.Detail, Data: x.Data}
	switch {
	case x.TimedOut:
		f.Code = CodeStepTimeout
	case x.State == Unknown:
		f.Code = CodeUnknown
	case x.State == NotDone && f.Code == "":
		f.Code = CodeNotDone
	case f.Code == "":
		f.Code = "rejected"
	}
	return f
}
