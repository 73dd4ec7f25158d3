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

// takeAll empties the list.
func (l *callList) takeAll() (calls []*call) {
	for l.root.next != &l.root {
		c := l.root.next
		l.remove(c)
		calls = append(calls, c)
	}
	return calls
}
