package semeltest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-dev/semel"
)

// life is a program from its start to its end or its crash.
type life struct {
	h         *history
	plan      *plan
	run       *Run
	conductor *conductor
	crashAt   *crash
	ctx       context.Context // ends with the life
	die       context.CancelFunc
	dead      atomic.Bool
	unjudged  atomic.Bool            // a doubt was settled by what a service answered, as it is
	during    atomic.Pointer[string] // what the workload is at
	mu        sync.Mutex
	points    []point
}

// live runs the program once.
func (h *history) live(w Workload, at *crash) (crashed bool, err error) {
	l := &life{h: h, plan: &h.plan, crashAt: at}
	l.ctx, l.die = context.WithCancel(context.Background())
	defer l.die()
	l.conductor = newConductor(!h.o.realTime, h.plan.shuffle, l.arrive)
	defer l.conductor.end()
	cfg := h.o.config
	cfg.Fatal = func(error) {} // the device is broken because the program has crashed
	app, err := semel.Open(l.ctx, l, &cfg)
	if err != nil {
		return false, err
	}
	ended := false
	defer func() { // also if the workload ends its goroutine
		if !ended {
			_ = l.end(app)
		}
	}()
	l.run = &Run{App: app, World: &World{ledger: h.ledger, life: l}}
	w(l.run)
	if err = l.agree(); err == nil {
		err = l.work()
	}
	ended = true
	if closing := l.end(app); err == nil {
		err = closing
	}
	l.mu.Lock()
	h.points = l.points
	l.mu.Unlock()
	if l.dead.Load() {
		return true, nil // whatever went wrong: nobody was there to see
	}
	if mistakes := h.ledger.mistakes(); mistakes != nil {
		err = mistakes // whatever else went wrong follows
	}
	return false, err
}

// work starts the program, makes its calls, and looks at what came of them.
func (l *life) work() error {
	if err := l.run.App.Start(l.ctx); err != nil {
		return err
	}
	if err := l.calls(); err != nil || l.dead.Load() {
		return err
	}
	l.at("the time after the last call")
	if err := l.settle(); err != nil || l.dead.Load() {
		return err
	}
	for _, check := range l.run.checks {
		if err := l.do(check); err != nil {
			return err
		}
	}
	var err error
	l.h.result, err = l.look()
	return err
}

// end closes the App. One that has crashed is not waited for.
func (l *life) end(app *semel.App) error {
	ctx, cancel := context.WithTimeout(context.Background(), l.h.o.patience())
	defer cancel()
	if l.dead.Load() {
		cancel()
	}
	l.at("the program's end")
	l.turn(callRank)
	err := app.Close(ctx)
	if err != nil {
		l.h.left = err
	}
	return err
}

func (l *life) at(what string) { l.during.Store(&what) }

// pass waits for leave to go on, and reports whether the program is alive.
func (l *life) pass(p point) bool { return !l.dead.Load() && l.conductor.pass(p) }

// turn waits until it is the turn of what changes the disk without being
// durable yet: so the order of the log does not depend on who is quicker.
func (l *life) turn(rank string) { l.pass(point{rank: rank, turn: true}) }

// arrive is told of each point in turn, and crashes the program at the one
// that the plan names.
func (l *life) arrive(p point) (crashed bool) {
	l.h.moved.Add(1)
	if p.turn {
		return false
	}
	if at := l.during.Load(); at != nil {
		p.during = *at
	}
	p.tail = l.h.disk.Applied() > l.h.disk.Durable()
	l.mu.Lock()
	p.nth = 1
	for _, was := range l.points {
		if was.before == p.before {
			p.nth++
		}
	}
	l.points = append(l.points, p)
	l.mu.Unlock()
	if at := l.crashAt; at == nil || p.before != at.point.before || p.nth != at.point.nth {
		return false
	}
	l.h.at = append(l.h.at, p)
	l.dead.Store(true)
	l.h.ledger.crash()
	keep := 0
	if l.crashAt.keep {
		keep = int(l.h.disk.Applied() - l.h.disk.Durable())
	}
	l.h.disk.Crash(keep)
	l.die()
	return true
}

// agree checks that the workload asks for what it asked for in its first life.
func (l *life) agree() error {
	h, now := l.h, l.run.steps
	if h.steps == nil {
		h.steps = now
		return nil
	}
	return sameSteps(h.steps, now)
}

func sameSteps(before, now []step) error {
	if len(before) != len(now) {
		return fmt.Errorf("the workload listed %d calls, and %d when it was asked again: it must list the same each time", len(before), len(now))
	}
	for i := range now {
		if !now[i].same(&before[i]) {
			return fmt.Errorf("call %d was %s, and when the workload was asked again %s: a program that comes back cannot repeat a call whose key it does not have; "+
				"derive the key from what the call is about, or store it first", i+1, before[i].what(), now[i].what())
		}
	}
	return nil
}

// settle waits until what the calls caused is over, and settles doubts.
func (l *life) settle() error {
	app, o := l.run.App, l.h.o
	deadline := time.Now().Add(o.patience())
	calm := 0
	for !l.dead.Load() {
		l.h.moved.Add(1)
		if o.realTime {
			time.Sleep(time.Millisecond) // nobody tells when the last message is consumed
		} else {
			time.Sleep(o.settle)
		}
		if err := l.settleDoubts(); err != nil {
			return err
		}
		st := app.Stats()
		if st.EffectsPending == 0 && st.OutboxLag == 0 && st.QueueLength == 0 {
			if calm++; calm > 2 || !o.realTime {
				return nil
			}
			continue
		}
		calm = 0
		if time.Now().After(deadline) {
			return l.unsettled()
		}
	}
	return nil
}

// unsettled says what does not come to its end.
func (l *life) unsettled() error {
	return errors.Join(fmt.Errorf("not everything that the calls caused has come to its end within %v", l.h.o.patience()), l.open())
}

// open says what is not settled, and what failed for good, and why.
func (l *life) open() error {
	var errs []error
	for e, err := range l.run.App.Effects(l.ctx) {
		if err != nil {
			return err
		}
		errs = append(errs, fmt.Errorf("effect %q of %s is not settled after %d attempts: %s", e.Effect, e.Agent, e.Attempts, e.Reason))
	}
	for d, err := range l.run.App.DeadLetters(l.ctx) {
		if err != nil {
			return err
		}
		errs = append(errs, fmt.Errorf("%s of %s is a dead letter: %s", d.Action, d.Agent, d.Reason))
		if l.unjudged.Load() {
			errs = append(errs, errors.New("if the World's answer does not decode as the effect's reply, by which a doubt was settled: use World.Judge"))
		}
	}
	return errors.Join(errs...)
}
