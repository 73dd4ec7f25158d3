package engine

// callList holds the calls that a loop's machine has, so that they can be
// answered if the machine is lost. Only the loop uses it.
type callList struct{ root call }

func (l *callList) init() { l.root.prev, l.root.next = &l.root, &l.root }

func (l *callList) add(c *call) {
	if c.listed {
		return
	}
	c.listed = true
	c.prev, c.next = &l.root, l.root.next
	c.next.prev, l.root.next = c, c
}

func (l *callList) remove(c *call) {
	if !c.listed {
		return
	}
	c.listed = false
	c.prev.next, c.next.prev = c.next, c.prev
	c.prev, c.next = nil, nil
}

// all are the calls in the list.
func (l *callList) all() (calls []*call) {
	for c := l.root.next; c != &l.root; c = c.next {
		calls = append(calls, c)
	}
	return calls
}

// takeAll empties the list.
func (l *callList) takeAll() []*call {
	calls := l.all()
	for _, c := range calls {
		l.remove(c)
	}
	return calls
}
