package saga

// backward undoes what was registered, the last stage first, and says whether
// to look again. What stands side by side in a stage is undone side by side.
func (m *machine) backward() (again bool) {
	if m.r.At < 0 {
		end := Compensated
		if m.r.Failure.Code == CodeCancelled && m.r.Failure.Step == "" {
			end = Cancelled
		}
		m.end(end)
		return false
	}
	busy := false
	for _, i := range m.p.stages[m.r.At] {
		s := &m.r.Steps[i]
		switch s.Undo.State {
		case Idle:
			if !m.undo(i) {
				return false
			}
			busy = busy || s.Undo.State == Asked
		case Asked, Backoff:
			busy = true
		case Done:
			if !m.kept(i, true) {
				return false
			}
		case Rejected, NotDone, Unknown:
			if !m.failed(i, true) {
				return false
			}
			busy = true
		}
	}
	if busy {
		return false
	}
	m.r.At--
	return true
}

// undo asks for a step's compensation, or finds that there is nothing to undo.
// It is false if the saga parks instead.
func (m *machine) undo(i int) bool {
	s, ps := &m.r.Steps[i], &m.p.steps[i]
	if !s.Registered || ps.undo == nil || s.fact() == DidNotHappen && !ps.always {
		s.Undo.State, s.Undo.Settled = Skipped, m.now
		return true
	}
	a, ok := m.request(i, true)
	if ok {
		m.ask(i, true, a)
	}
	return ok
}
