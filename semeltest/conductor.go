package semeltest

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing/synctest"
)

// point is an instant at which a program may crash: somebody waits there for
// leave to go on.
type point struct {
	before string // a crash here is "before …" if what is not durable is lost,
	after  string // and "after …" if it is kept
	rank   string // orders points that are waited at together
	turn   bool   // no instant of a crash: only one thing is to happen after the other
	commit bool   // a commit waits to become durable
	nth    int    // of those with this text before it, from 1
	during string // what the workload was at
	tail   bool   // there was something that was not durable
}

// conductor lets a program go on, one point at a time. In a bubble it waits
// until nothing else can go on before it chooses, so a run depends on nothing
// but the choices, and they on the order of the points' ranks, or on a seed.
type conductor struct {
	bubble bool
	random *rand.Rand       // nil: in the order of ranks
	crash  func(point) bool // decides, for each point in turn, and is what crashes

	arrivals chan *arrival
	stop     chan struct{}
	stopped  chan struct{}
}

// arrival is somebody who waits at a point.
type arrival struct {
	point
	alive chan bool
}

func newConductor(bubble bool, random *rand.Rand, crash func(point) bool) *conductor {
	c := &conductor{
		bubble: bubble, random: random, crash: crash,
		arrivals: make(chan *arrival), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	go c.conduct()
	return c
}

// pass waits at a point, and reports whether the program is still alive.
func (c *conductor) pass(p point) bool {
	a := &arrival{p, make(chan bool, 1)}
	select {
	case c.arrivals <- a:
		return <-a.alive
	case <-c.stopped:
		return false
	}
}

// end lets nobody pass any more. Nobody may wait at a point.
func (c *conductor) end() {
	close(c.stop)
	<-c.stopped
}

func (c *conductor) conduct() {
	defer close(c.stopped)
	dead := false
	var waiting []*arrival
	for {
		if len(waiting) == 0 {
			select {
			case a := <-c.arrivals:
				waiting = append(waiting, a)
			case <-c.stop:
				return
			}
		}
		if c.bubble && !dead {
			synctest.Wait()
			waiting = c.gather(waiting)
		}
		a := waiting[0]
		waiting = waiting[1:]
		if c.random != nil && len(waiting) > 0 {
			if i := c.random.IntN(len(waiting) + 1); i > 0 {
				a, waiting[i-1] = waiting[i-1], a
			}
		}
		dead = dead || c.crash(a.point)
		a.alive <- !dead
	}
}

// gather adds whoever else waits, and puts them in order.
func (c *conductor) gather(waiting []*arrival) []*arrival {
	for {
		select {
		case a := <-c.arrivals:
			waiting = append(waiting, a)
			continue
		default:
		}
		slices.SortStableFunc(waiting, func(a, b *arrival) int { return cmp.Compare(a.rank, b.rank) })
		return waiting
	}
}
