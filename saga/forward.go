package saga

// forward takes the next steps of a saga that is on its way to completion, and
// says whether to look again.
func (m *machine) forward() (again bool) {
	if m.r.At == len(m.p.stages) {
		m.end(Completed)
		return false
	}
	stage := m.p.stages[m.r.At]
	// All answers are looked at before anything is asked for: when one step
	// failed, its neighbours must not be asked again.
	busy := false
	for _, i := range stage {
		switch x := &m.r.Steps[i].Do; x.State {
		case Asked, Backoff:
			busy = true
		case Done:
			if !m.kept(i, false) {
				return true
			}
		case Rejected, NotDone, Unknown:
			if !m.failed(i, false) {
				return true
			}
			busy = true
		}
	}
	// And all requests are made before one is asked for: if the definition
	// refuses the last one, the first need not be undone.
	requests := make([]asked, len(stage))
	for n, i := range stage {
		if m.r.Steps[i].Do.State == Idle {
			var ok bool
			if requests[n], ok = m.request(i, false); !ok {
				return true
			}
		}
	}
	for n, i := range stage {
		if m.r.Steps[i].Do.State == Idle {
			m.ask(i, false, requests[n])
			busy = busy || m.r.Steps[i].Do.State == Asked
		}
	}
	if busy {
		return false
	}
	m.r.At++
	return true
}

// turn ends what a failed saga has under way, and when that is over, begins to
// compensate. So no compensation overtakes its action: it is asked for only when
// the action was answered, or was withdrawn, and the answer to that says that
// nothing more will come of it.
func (m *machine) turn() (again bool) {
	busy, last := false, -1
	for i := range m.r.Steps {
		x := &m.r.Steps[i].Do
		switch x.State {
		case Asked:
			busy = true
			if !x.Withdrawn && !m.p.steps[i].do.action {
				x.Withdrawn = true
				m.order(order{kind: orderWithdraw, step: i})
			}
		case Backoff:
			x.State = NotDone
			m.order(order{kind: orderNoTimer, step: i})
		case Done:
			// Its compensation may need to know what it replied.
			if !m.kept(i, false) && m.r.Park != nil {
				return false
			}
		}
		if m.r.Steps[i].Registered {
			last = max(last, m.p.steps[i].stage)
		}
	}
	if busy {
		return false
	}
	m.r.Phase, m.r.At = Compensating, last
	return true
}
